"""`gateway ctl` and `gateway reload` against a listener: what is asked, what is said, and the exit code."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from structlog.testing import capture_logs

from gateway import cli, ctl
from gateway.admin.actions import Maintenance
from gateway.admin.token_file import NAME
from gateway.server.settings import Bind
from tests.kit.admin import TOKEN, FakeGateway, beside

Ctl = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def _audit_log() -> Iterator[None]:
    """The lines of the listener's own log, which lives in this process, stay away from what the command says."""
    with capture_logs():
        yield


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[FakeGateway]:
    """A gateway whose admin listener config.yaml of `tmp_path` names, with its token."""
    made = FakeGateway()
    with beside(made, token=TOKEN) as address:
        write_config(tmp_path, {"bind": str(Bind(*address)), "token": "${env:ADMIN_TOKEN}"})
        yield made


@pytest.fixture
def typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ctl:
    """Runs a command in `tmp_path`: exit code, standard output, standard error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ADMIN_TOKEN", TOKEN)

    def run(*words: str) -> tuple[int, str, str]:
        code = cli.main(list(words))
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def write_config(folder: Path, admin: dict[str, Any], **more: Any) -> None:
    upstreams = {"app": {"endpoints": ["http://127.0.0.1:3000"]}}
    whole = {"upstreams": upstreams, "routes": [{"upstream": "app"}], "admin": admin, **more}
    folder.joinpath("config.yaml").write_text(yaml.safe_dump(whole))


def test_what_can_be_looked_at(gateway: FakeGateway, typed: Ctl) -> None:
    """Tables for people, JSON for programs; no token is needed."""
    code, out, err = typed("ctl", "status")
    assert (code, err) == (ctl.DONE, "")
    assert out.startswith("gateway 9.9.9, configuration 3, ready\n")
    assert "unix:/run/app.sock" in typed("ctl", "upstreams")[1]
    assert "everything" in typed("ctl", "routes")[1]
    assert typed("ctl", "errors")[1] == "No request has failed of late.\n"
    assert json.loads(typed("ctl", "status", "--json")[1])["generation"] == 3
    assert gateway.asked == []


def test_what_can_be_asked_for(gateway: FakeGateway, typed: Ctl) -> None:
    """Each order reaches its action, with names as they are; what has changed is said."""
    assert typed("ctl", "drain", "app", "unix:/run/app.sock") == (0, "drained: False -> True\n", "")
    assert typed("ctl", "undrain", "app", "unix:/run/app.sock")[1] == "drained: True -> False\n"
    assert typed("ctl", "weight", "app", "10.0.0.5:3000", "5")[1] == "weight: 1 -> 5\n"
    assert typed("ctl", "log-level", "debug", "--for", "5m")[0] == 0
    assert typed("ctl", "maintenance", "on", "--message", "Back at noon.", "--retry-after", "30m")[0] == 0
    assert typed("ctl", "maintenance", "off", "--route", "all")[0] == 0
    assert typed("ctl", "reload")[1] == "Configuration 4 is in force.\n"
    assert typed("reload") == (0, "Configuration 5 is in force.\n", "")
    assert gateway.asked == [
        ("drain", "app", "unix:/run/app.sock"),
        ("undrain", "app", "unix:/run/app.sock"),
        ("weight", "app", "10.0.0.5:3000", 5),
        ("log_level", "debug", 300.0),
        ("maintenance", Maintenance("Back at noon.", 1800.0), ""),
        ("maintenance", None, "all"),
        ("reload",),
        ("reload",),
    ]


def test_what_is_refused_says_why(gateway: FakeGateway, typed: Ctl) -> None:
    """Code 1, the reason, and every mistake; with --json the problem details too."""
    code, out, err = typed("ctl", "drain", "app", "10.0.0.9:1")
    assert (code, out, err) == (1, "", "Refused: there is no endpoint 10.0.0.9:1 of an upstream app.\n")
    code, out, err = typed("ctl", "weight", "app", "10.0.0.5:3000", "5000", "--json")
    assert (code, json.loads(out)["status"]) == (1, 422)
    assert "#/weight" in err
    gateway.faulty = "config.yaml:1:1: no\nconfig.yaml:2:1: nor this"
    code, out, err = typed("reload")
    assert (code, out) == (1, "")
    assert err.splitlines()[1:] == gateway.faulty.splitlines()


def test_where_the_token_is_found(tmp_path: Path, typed: Ctl) -> None:
    """In a file that is named, in the configuration, in the state_dir; a wrong or missing one is told."""
    gateway = FakeGateway(state_dir=tmp_path)
    with beside(gateway) as address:
        bind = str(Bind(*address))
        (tmp_path / "mine").write_text((tmp_path / NAME).read_text())
        write_config(tmp_path, {"bind": bind})
        assert typed("reload", "--token-file", "mine")[0] == 0
        code, _out, err = typed("reload")
        assert code == 1
        assert "--token-file FILE" in err
        write_config(tmp_path, {"bind": bind}, state_dir=".")
        assert typed("reload") == (0, "Configuration 5 is in force.\n", "")
        (tmp_path / NAME).chmod(0o644)
        code, _out, err = typed("reload")
        assert code == 1
        assert "The token cannot be read" in err
        assert typed("reload", "--token-file", "nowhere")[0] == 2


def test_a_faulty_configuration_still_names_its_gateway(gateway: FakeGateway, typed: Ctl, tmp_path: Path) -> None:
    """It is what one wants to know about: what is right in it is used, and the gateway says what is wrong."""
    path = tmp_path / "config.yaml"
    path.write_text(path.read_text().replace("upstream: app", "upstraem: app"))
    gateway.faulty = "config.yaml:9:3: no"
    code, _out, err = typed("reload")
    assert (code, "config.yaml:9:3: no" in err) == (1, True)
    bind = yaml.safe_load(path.read_text())["admin"]["bind"]
    (tmp_path / "token").write_text(TOKEN)
    path.write_text("admin: [")
    code, _out, err = typed("reload", "--admin", bind, "--token-file", "token")
    assert (code, "config.yaml:9:3: no" in err) == (1, True)


def test_nobody_there(typed: Ctl, tmp_path: Path) -> None:
    """Code 3, and what mends it."""
    with socket.create_server(("127.0.0.1", 0)) as gone:
        where = f"127.0.0.1:{gone.getsockname()[1]}"
    code, out, err = typed("ctl", "status", "--admin", where)
    assert (code, out, err) == (3, "", f"No gateway answers at {where}: Connection refused. Is it running?\n")
    write_config(tmp_path, {"bind": where})
    code, _out, err = typed("ctl", "status")
    assert code == 3
    assert "-c FILE, or --admin ADDR" in err


def test_another_version_is_told_in_a_sentence(gateway: FakeGateway, typed: Ctl) -> None:
    """What cannot be understood is no traceback; --json shows it as it is."""
    gateway.errors.append({"unheard": "of"})
    code, out, err = typed("ctl", "errors")
    assert (code, out, "not a gateway of this version" in err) == (3, "", True)
    assert json.loads(typed("ctl", "errors", "--json")[1]) == gateway.errors


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["ctl", "status", "--admin", "nowhere"], "--admin: "),
        (["ctl", "status", "--admin", "https://a:1", "--ca", "none.pem"], "none.pem cannot be used"),
        (["ctl", "status", "-c", "none.yaml"], "there is no file none.yaml"),
        (["ctl", "status"], "no admin listener"),
    ],
)
def test_what_was_typed_wrong(typed: Ctl, tmp_path: Path, words: list[str], said: str) -> None:
    """Code 2, before anybody is asked."""
    write_config(tmp_path, {"bind": None})
    code, out, err = typed(*words)
    assert (code, out) == (2, "")
    assert said in err
