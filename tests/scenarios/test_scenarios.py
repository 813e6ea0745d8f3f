"""Every *.yaml beside this file: a configuration, an origin's script, and the steps of a client.

A file is one gateway process, started together with all others, and each of its steps is a test of its own.

    about    one sentence
    config   config.yaml; `listeners` (<http> and <https>) and `admin` are added where they are missing
    files    more files of its folder, by name
    origin   what the origin answers, by path (`/a/*` is a prefix): {status, fields, body}, or `raw` bytes after which
             it closes; everything else is answered by an echo of the request in JSON
    steps    - it: what it shows
               send: GET /path          over: http | https
               fields: {Name: value}    Host is <host> unless given
               body: text               raw: "all the bytes of the request"
               expect: {status, fields, body, json, contains, lacks, closed, informational}
               asked: {line, fields, body}, `nothing`, or a number of requests: what the origin got
               logged: fields of its line in the access log

A field's value is its whole text, null where it must be absent, or /a regular expression/.
"""

from __future__ import annotations

import contextlib
import re
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.development import make_development_certificates
from tests.kit.certificates import Authority
from tests.kit.http_client import Answer, Client
from tests.kit.origin import Asked, Origin, Script, Talk
from tests.kit.process import Gateway, free_port

pytestmark = pytest.mark.e2e


class Loader(yaml.SafeLoader):
    """YAML 1.2's booleans, as config.yaml has them: `on` and `off` are words."""


Loader.yaml_implicit_resolvers = {
    letter: [(tag, pattern) for tag, pattern in found if letter in "tTfF" or tag != "tag:yaml.org,2002:bool"]
    for letter, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
FILES = sorted(Path(__file__).parent.glob("*.yaml"))
SCENARIOS = {path.stem: yaml.load(path.read_text(), Loader) for path in FILES}
STEPS = [
    pytest.param(name, step, id=f"{name}: {step['it']}") for name, scenario in SCENARIOS.items()
    for step in scenario["steps"]
]  # fmt: skip
NOTHING = "nothing"


class Stage:
    """One scenario on its feet: its origin, its gateway, and the words that stand for their addresses."""

    def __init__(self, scenario: dict[str, Any], folder: Path, authority: Authority) -> None:
        self.folder = folder
        self.origin = Origin(
            {path: play(told) for path, told in self._spread(scenario.get("origin", {})).items()}
        ).__enter__()
        self.http, self.https, dead = free_port(), free_port(), free_port()
        self.words = {
            "<http>": f"127.0.0.1:{self.http}",
            "<https>": f"127.0.0.1:{self.https}",
            "<https port>": str(self.https),
            "<origin>": f"127.0.0.1:{self.origin.port}",
            "<dead>": f"127.0.0.1:{dead}",
        }
        certificates = folder / "certs"
        make_development_certificates(certificates)
        certificates.joinpath("shop.pem").write_bytes(authority.issue("shop.test", "*.shop.test").read_bytes())
        self.tls = ssl.create_default_context(cafile=str(authority.path))
        self.tls.load_verify_locations(certificates / "ca.pem")
        config = {
            "listeners": [{"bind": "<http>"}, {"bind": "<https>", "tls": {"certificates": "certs/"}}],
            "admin": {"bind": None},
            "shutdown": {"drain": "2s"},
            **scenario["config"],
        }
        for name, text in {**scenario.get("files", {}), "config.yaml": yaml.safe_dump(config)}.items():
            folder.joinpath(name).parent.mkdir(parents=True, exist_ok=True)
            folder.joinpath(name).write_text(self.filled(text))
        self.gateway = Gateway(folder, "-c", "config.yaml")

    def _spread(self, origin: dict[str, Any]) -> dict[str, Any]:
        return {path: told if isinstance(told, dict) else {"body": told} for path, told in origin.items()}

    def filled(self, text: str) -> str:
        for word, value in self.words.items():
            text = text.replace(word, value)
        return text

    def client(self, step: dict[str, Any], host: str) -> Client:
        if step.get("over", "http") == "http":
            return Client(("127.0.0.1", self.http))
        name = host.partition(":")[0]
        return Client(("127.0.0.1", self.https), self.tls, name)


def play(told: dict[str, Any]) -> Script:
    """The script of one entry under `origin`."""

    async def script(asked: Asked, talk: Talk) -> None:
        await talk.read_body(asked)
        if "raw" in told:
            await talk.write(told["raw"].encode("latin-1"))
            talk.close()
            return
        fields = [
            f"{name}: {value}" for name, values in told.get("fields", {}).items()
            for value in (values if isinstance(values, list) else [values])
        ]  # fmt: skip
        await talk.answer(told.get("body", "").encode(), told.get("status", 200), *fields, method=asked.method)

    return script


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Stage]]:
    """All scenarios, started side by side."""
    authority = Authority(tmp_path_factory.mktemp("authority"))
    with contextlib.ExitStack() as stack:
        made = {}
        for name, scenario in SCENARIOS.items():
            stage = made[name] = Stage(scenario, tmp_path_factory.mktemp(name), authority)
            stack.push(stage.origin)
        for stage in made.values():
            stack.enter_context(stage.gateway)
        yield made


@pytest.mark.parametrize(("name", "step"), STEPS)
def test_scenario(stages: dict[str, Stage], name: str, step: dict[str, Any]) -> None:
    """One step of a client, what it gets, what the origin got and what the access log says."""
    stage = stages[name]
    origin = stage.origin
    known = len(origin.asked)
    answer = talk(stage, step)
    check_answer(stage, step.get("expect", {}), answer)
    if "asked" in step:
        check_asked(stage, step["asked"], origin.asked[known:])
    if "logged" in step:
        logged = stage.gateway.logged(request_id=answer["x-request-id"])
        for name, value in step["logged"].items():
            wanted = stage.filled(value) if isinstance(value, str) else value
            assert fits(wanted, logged.get(name)), logged


def talk(stage: Stage, step: dict[str, Any]) -> Answer:
    """Sends the step's request and reads its answer."""
    fields = {name: stage.filled(str(value)) for name, value in step.get("fields", {}).items()}
    host = fields.pop("Host", "shop.test")
    with stage.client(step, host) as client:
        method, _, target = stage.filled(step.get("send", "GET /")).partition(" ")
        if "raw" in step:
            client.send(stage.filled(step["raw"]).encode("latin-1"))
            method = step["raw"].partition(" ")[0]
        else:
            lines = [f"{name}: {value}" for name, value in fields.items()]
            client.request(method, target, *lines, host=host, body=step.get("body", "").encode())
        answer = client.answer(method)
        if step.get("expect", {}).get("closed"):
            assert client.rest() == b""
        return answer


def check_answer(stage: Stage, wanted: dict[str, Any], answer: Answer) -> None:
    assert answer.status == wanted.get("status", 200), answer
    for name, value in wanted.get("fields", {}).items():
        assert fits(stage.filled(value) if isinstance(value, str) else value, answer[name]), (name, answer[name])
    assert [status for status, _fields in answer.informational] == wanted.get("informational", [])
    if "body" in wanted:
        assert answer.text == wanted["body"]
    for text in wanted.get("contains", []):
        assert text in answer.text
    for text in wanted.get("lacks", []):
        assert text not in answer.text
    for name, value in wanted.get("json", {}).items():
        assert fits(value, answer.json.get(name)), answer.json


def check_asked(stage: Stage, wanted: Any, got: list[Asked]) -> None:
    if wanted == NOTHING or isinstance(wanted, int):
        assert len(got) == (0 if wanted == NOTHING else wanted), got
        return
    assert len(got) == 1, [asked.line for asked in got]
    asked = got[0]
    if "line" in wanted:
        assert asked.line == f"{wanted['line']} HTTP/1.1"
    for name, value in wanted.get("fields", {}).items():
        assert fits(stage.filled(value) if isinstance(value, str) else value, asked[name]), (name, asked[name])
    if "body" in wanted:
        assert asked.body.decode() == wanted["body"]


def fits(wanted: Any, value: Any) -> bool:
    """Whether a value is what a scenario says."""
    if isinstance(wanted, str) and len(wanted) > 2 and wanted.startswith("/") and wanted.endswith("/"):
        return value is not None and re.search(wanted[1:-1], str(value)) is not None
    return bool(wanted == value)
