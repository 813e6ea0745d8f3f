"""The first five minutes: no configuration at all, curl over http and https, and what each command says."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from gateway.development import make_development_certificates
from tests.kit.json_schema import mistakes
from tests.kit.origin import Asked, Origin, Talk
from tests.kit.process import Gateway, command, free_port, get

pytestmark = pytest.mark.e2e


class House(NamedTuple):
    """`gateway run --to`, with http, https and admin, before an origin."""

    gateway: Gateway
    origin: Origin
    http: int
    https: int
    admin: int
    folder: Path


async def refuse_early(asked: Asked, talk: Talk) -> None:
    """Answers before the body, takes what still comes, and closes."""
    await talk.answer(b"no", 403, "Connection: close")
    talk.close()
    while await talk.reader.read(65536):
        pass


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("first")
    make_development_certificates(folder / "certs")
    http, https, admin = free_port(), free_port(), free_port()
    with Origin({"/refused": refuse_early}) as origin:
        words = ["--to", origin.url, "--listen", f"127.0.0.1:{http}", "--listen", f"[::1]:{http}"]
        words += ["--tls-listen", f"127.0.0.1:{https}", "--admin", f"127.0.0.1:{admin}"]
        with Gateway(folder, *words) as gateway:
            yield House(gateway, origin, http, https, admin, folder)


def curl(*words: str, stdin: bytes = b"") -> bytes:
    """Standard output of curl, which must be content."""
    done = subprocess.run(
        ["curl", "-sS", "--noproxy", "*", "--max-time", "20", *words], input=stdin, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_curl_over_http(house: House) -> None:
    """Without a file, curl reaches the origin, its Host preserved and its address told."""
    told = json.loads(curl(f"http://localhost:{house.http}/hello?a=b"))
    fields = dict(told["fields"])
    assert told["line"] == "GET /hello?a=b HTTP/1.1"
    assert fields["host"] == f"localhost:{house.http}"
    assert fields["x-forwarded-for"] in {"127.0.0.1", "::1"}
    assert fields["x-forwarded-proto"] == "http"
    assert fields["x-request-id"]


def test_curl_over_ipv6(house: House) -> None:
    """An IPv6 listener serves, and names the client by its IPv6 address."""
    told = json.loads(curl(f"http://[::1]:{house.http}/"))
    assert dict(told["fields"])["x-forwarded-for"] == "::1"


@pytest.mark.parametrize("version", [["--tls-max", "1.2"], ["--tlsv1.3"]], ids=["1.2", "1.3"])
def test_curl_over_https_with_the_development_authority(house: House, version: list[str]) -> None:
    """curl trusts the gateway by certs/ca.pem alone, and the origin learns of https."""
    ca = str(house.folder / "certs" / "ca.pem")
    told = json.loads(curl("--cacert", ca, *version, f"https://localhost:{house.https}/"))
    assert dict(told["fields"])["x-forwarded-proto"] == "https"


def test_safe_fields_without_a_word(house: House) -> None:
    """With no file at all, answers have safe fields, and no HSTS for localhost."""
    head = curl("-I", "--cacert", str(house.folder / "certs" / "ca.pem"), f"https://localhost:{house.https}/").decode()
    assert "x-content-type-options: nosniff" in head.lower()
    assert "strict-transport-security" not in head.lower()


def test_curl_expects_to_be_asked_for_its_body(house: House) -> None:
    """curl's `Expect: 100-continue` is answered at once, and the body arrives whole."""
    body = b"x" * 200_000
    url = f"http://localhost:{house.http}/upload"
    field = ["-H", "Expect: 100-continue", "--expect100-timeout", "15"]
    told = json.loads(curl("--data-binary", "@-", *field, "-w", "", url, stdin=body))
    assert told["length"] == len(body)
    assert "expect" not in dict(told["fields"])
    spoken = subprocess.run(
        ["curl", "-sSv", "--max-time", "20", "--data-binary", "@-", *field, url],
        input=body, capture_output=True, check=True,
    )  # fmt: skip
    assert b"< HTTP/1.1 100 Continue" in spoken.stderr


def test_a_body_that_nobody_wants_is_not_asked_for(house: House) -> None:
    """A body over the limit is refused instead of asked for: not one byte of it is sent."""
    spoken = subprocess.run(
        ["curl", "-sSv", "--max-time", "20", "--data-binary", "@-", "-H", "Expect: 100-continue",
         "--expect100-timeout", "15", "-o", "/dev/null", "-w", "%{http_code} %{size_upload}",
         f"http://localhost:{house.http}/upload"],
        input=b"x" * 3_000_000, capture_output=True, check=True,
    )  # fmt: skip
    assert spoken.stdout == b"413 0"
    assert b"100 Continue" not in spoken.stderr


def test_an_early_answer_reaches_a_client_that_still_sends(house: House) -> None:
    """An origin that answers before the body is read is heard by a client that sends it all."""
    url = f"http://localhost:{house.http}/refused"
    assert curl("--data-binary", "@-", "-w", " %{http_code}", url, stdin=b"x" * 900_000) == b"no 403"


def test_compressed_answers_pass(house: House) -> None:
    """The client's Accept-Encoding goes to the origin: the gateway is transparent for codings."""
    told = json.loads(curl("-H", "Accept-Encoding: gzip, br", f"http://localhost:{house.http}/"))
    assert dict(told["fields"])["accept-encoding"] == "gzip, br"


def test_it_says_what_listens(house: House) -> None:
    """The first lines name every listener, and where health and metrics are."""
    text = house.gateway.said.text
    for line in (f"  http://127.0.0.1:{house.http}\n", f"  http://[::1]:{house.http}\n"):
        assert line in text
    assert f"  https://127.0.0.1:{house.https}\n" in text
    assert f"  http://127.0.0.1:{house.admin}/metrics" in text
    assert get(house.admin, "/readyz").json == {"status": "ready"}


def test_a_busy_port_is_one_sentence(tmp_path: Path) -> None:
    """A taken port, of a listener or of the admin side, ends it with code 3 and one sentence that helps."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for flag in ("--listen", "--admin"):
            other = ["--admin", f"127.0.0.1:{free_port()}"] if flag == "--listen" else []
            other += ["--listen", f"127.0.0.1:{free_port()}"] if flag == "--admin" else []
            code, out, err = command(
                "run", "--to", "http://127.0.0.1:1", flag, f"127.0.0.1:{port}", *other, folder=tmp_path
            )
            assert (code, out) == (3, "")
            assert err.count("\n") == 1
            assert f"127.0.0.1:{port} is taken" in err


def test_https_without_certificates_says_how_to_make_them(tmp_path: Path) -> None:
    """--tls-listen in a folder without certs/ ends with code 1 and says so."""
    code, _out, err = command(
        *("run", "--to", "http://127.0.0.1:1", "--tls-listen", f"127.0.0.1:{free_port()}"),
        *("--admin", f"127.0.0.1:{free_port()}"),
        folder=tmp_path,
    )
    assert code == 1
    assert "certs" in err


BAD = """\
listeners:
  - bind: 127.0.0.1:70000
upstreams:
  app: {endpoints: ["http://127.0.0.1:3000"], balanse: first}
routes:
  - upstream: apq
  - match: {path: /x}
    redirect: /y
    timeouts: {connect: 3 sec}
defaults: {body_limit: lots}
"""


@pytest.mark.parametrize("word", ["run", "check"])
def test_a_bad_file_says_all_its_mistakes(tmp_path: Path, word: str) -> None:
    """Five mistakes are five lines with file, line and column, and code 1."""
    tmp_path.joinpath("config.yaml").write_text(BAD)
    code, out, err = command(word, folder=tmp_path)
    lines = err.splitlines()
    assert (code, out) == (1, "")
    assert lines[-1] == f"{len(lines) - 1} errors"
    places = [re.match(r"config\.yaml:(\d+):(\d+): ", line) for line in lines[:-1]]
    assert all(places), err
    assert {int(place[1]) for place in places if place} >= {2, 4, 6, 10}
    assert re.search(r"balanse.*did you mean.*balance", err), err


GOOD = """\
listeners:
  - bind: 127.0.0.1:8080
  - bind: 127.0.0.1:8443
    tls: {certificates: certs/}
upstreams:
  app: {endpoints: ["http://127.0.0.1:3000"]}
routes:
  - {name: old, match: {path: /old}, redirect: /new}
  - {name: all, upstream: app}
"""


def test_commands_answer(tmp_path: Path) -> None:
    """check, explain, certs and schema say what they found on standard output, with code 0."""
    tmp_path.joinpath("config.yaml").write_text(GOOD)
    code, out, _err = command("certs", "--make", "certs", folder=tmp_path)
    assert code == 0
    assert "localhost" in out
    assert command("check", folder=tmp_path)[:2] == (
        0,
        "config.yaml: ok: 2 listeners, 2 routes, 1 upstream, 0 warnings\n",
    )
    code, out, _err = command("explain", "GET", "https://localhost:8443/old?a", folder=tmp_path)
    assert code == 0
    assert "https on 127.0.0.1:8443" in out
    assert re.search(r"answer\s+308 to /new\?a, by redirect", out)
    code, out, _err = command("certs", folder=tmp_path)
    assert code == 0
    assert re.search(r"127\.0\.0\.1:8443  localhost, .*127\.0\.0\.1", out)
    assert "days left" in out


def test_the_schema_knows_a_good_file(tmp_path: Path) -> None:
    """`gateway schema` prints a JSON Schema that a good configuration fits."""
    code, out, _err = command("schema", folder=tmp_path)
    assert code == 0
    good = {"upstreams": {"app": {"endpoints": ["http://a:1"]}}, "routes": [{"upstream": "app"}]}
    schema = json.loads(out)
    assert mistakes(good, schema) == []
    assert mistakes({**good, "rotes": []}, schema)


def test_ctrl_c_ends_it_cleanly(tmp_path: Path) -> None:
    """SIGINT, the Ctrl-C of a terminal, ends it with code 0 and without a traceback."""
    words = [
        "--to",
        "http://127.0.0.1:1",
        "--listen",
        f"127.0.0.1:{free_port()}",
        "--admin",
        f"127.0.0.1:{free_port()}",
    ]
    with Gateway(tmp_path, *words) as gateway:
        gateway.signal(signal.SIGINT)
        gateway.ended(0)
