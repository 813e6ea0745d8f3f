"""Each folder of examples/ starts before the demo application, and does what its comments promise."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, TypeAlias

import pytest
import yaml

from gateway.development import make_development_certificates
from tests.kit.http_client import Answer, Client
from tests.kit.process import ROOT, Gateway, command, free_port, until

EXAMPLES = ROOT / "examples"
SETUPS = sorted(path.parent.name for path in EXAMPLES.glob("*/config.yaml"))
pytestmark = pytest.mark.e2e

Ports: TypeAlias = dict[int, int]


class Setup(NamedTuple):
    """One that runs: the ports that stand for those in its files, and the gateway."""

    ports: Ports
    gateway: Gateway


@contextlib.contextmanager
def demo(port: int) -> Iterator[None]:
    """The demo application at a port; ended with 0."""
    child = subprocess.Popen([sys.executable, str(EXAMPLES / "demo/app.py"), "--listen", f"127.0.0.1:{port}"], cwd=ROOT)

    def listens() -> bool:
        assert child.poll() is None, "the demo application has ended"
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    try:
        until(listens)
        yield
    finally:
        child.send_signal(signal.SIGTERM)
        code = child.wait(30)
    assert code == 0


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[[str], Setup]]:
    """Starts the setup of a name with its applications; free ports take the place of its own, which are the keys."""
    with contextlib.ExitStack() as stack:

        def start(name: str) -> Setup:
            folder = tmp_path / name
            shutil.copytree(EXAMPLES / name, folder)
            if "certs/" in (folder / "config.yaml").read_text():
                make_development_certificates(folder / "certs")
            ports = _give_free_ports(folder)
            for port in (3000, 3001):
                if port in ports:
                    stack.enter_context(demo(ports[port]))
            return Setup(ports, stack.enter_context(Gateway(folder)))

        yield start


def _give_free_ports(folder: Path) -> Ports:
    """Puts free ports in the place of those of the files, that of the admin listener included."""
    ports: Ports = {9090: free_port()}
    for path in [folder / "config.yaml", *folder.glob("rules/*.yaml")]:
        text = path.read_text()
        for found in re.findall(r"127\.0\.0\.1:(\d+)|redirect_to_https: (\d+)", text):
            number = int("".join(found))
            if number not in ports:
                ports[number] = free_port()
        text = re.sub(r"(127\.0\.0\.1:|redirect_to_https: )(\d+)", lambda one: f"{one[1]}{ports[int(one[2])]}", text)
        if path.name == "config.yaml":
            bind = f"  bind: 127.0.0.1:{ports[9090]}\n"
            text = text.replace("admin:\n", f"admin:\n{bind}") if "admin:\n" in text else f"{text}\nadmin:\n{bind}"
            text = re.sub(r"pre_stop: \w+", "pre_stop: 100ms", text)
        path.write_text(text)
    return ports


def ask(port: int, method: str, target: str, *fields: str, body: bytes = b"", host: str = "localhost") -> Answer:
    with Client(("127.0.0.1", port)) as client:
        return client.ask(method, target, *fields, body=body, host=host)


def test_every_setup_is_tested() -> None:
    """Each folder with a configuration has its test here, and its line in the index."""
    index = (EXAMPLES / "README.md").read_text()
    here = Path(__file__).read_text()
    assert SETUPS == ["behind-a-balancer", "canary", "one-app", "two-sites", "uploads-and-streams"]
    assert [name for name in SETUPS if f'started("{name}")' not in here or f"]({name}/config.yaml)" not in index] == []


@pytest.mark.parametrize("name", SETUPS)
def test_nothing_in_it_is_doubtful(name: str, tmp_path: Path) -> None:
    """`gateway check --strict` has nothing to say."""
    folder = tmp_path / name
    shutil.copytree(EXAMPLES / name, folder)
    make_development_certificates(folder / "certs")
    code, _out, said = command("check", "--strict", folder=folder)
    assert (code, said) == (0, "")


def test_one_app(started: Callable[[str], Setup], tmp_path: Path) -> None:
    """The application answers, and `gateway ctl` may change things with the token of state_dir."""
    ports = started("one-app").ports
    assert "time" in ask(ports[8080], "GET", "/api/time").json
    folder = tmp_path / "one-app"
    assert command("ctl", "maintenance", "on", "--message", "Back in a minute.", folder=folder)[0] == 0
    assert until(lambda: ask(ports[8080], "GET", "/api/time").status == 503)
    assert command("ctl", "maintenance", "off", folder=folder)[0] == 0


def test_two_sites(started: Callable[[str], Setup], tmp_path: Path) -> None:
    """Http leads to https, each host has its site, and the file in rules/ counts."""
    ports = started("two-sites").ports
    redirected = ask(ports[8080], "GET", "/a?b=c")
    assert (redirected.status, redirected["location"]) == (308, f"https://localhost:{ports[8443]}/a?b=c")
    trust = ssl.create_default_context(cafile=str(tmp_path / "two-sites/certs/ca.pem"))
    with Client(("127.0.0.1", ports[8443]), trust) as client:
        first = client.ask("GET", "/api/time", host="localhost")
        assert (first.status, first["x-frame-options"]) == (200, "DENY")
        assert client.ask("GET", "/", host="127.0.0.1").text == "The second site.\n"
        moved = client.ask("GET", "/old/page", host="127.0.0.1")
        assert (moved.status, moved["location"]) == (301, f"https://127.0.0.1:{ports[8443]}/new")


def test_uploads_and_streams(started: Callable[[str], Setup]) -> None:
    """A large body is refused where pages are, and taken where uploads are; events come one by one."""
    port = started("uploads-and-streams").ports[8080]
    large = b"x" * (2 * 1024 * 1024)
    assert ask(port, "POST", "/echo", body=large).status == 413
    assert ask(port, "POST", "/upload", body=large).json["bytes"] == len(large)
    assert ask(port, "GET", "/events?count=1").text.startswith("id: 0\ndata: ")
    upgrade = (
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: " + "A" * 22 + "==",
    )
    with Client(("127.0.0.1", port)) as client:
        assert client.ask("GET", "/ws", *upgrade).status == 101
    with Client(("127.0.0.1", port)) as client:
        assert client.ask("GET", "/", *upgrade).status != 101


def test_canary(started: Callable[[str], Setup]) -> None:
    """Testers get the new version; of the visitors a small part does, and each of them always the same."""
    ports, gateway = started("canary")
    new = f"127.0.0.1:{ports[3001]}"
    visitors = [f"visitor-{number}" for number in range(150)]
    with Client(("127.0.0.1", ports[8080])) as client:
        client.ask("GET", "/api/time", "X-Canary: 1")
        for visitor in visitors * 2:
            client.ask("GET", f"/echo?{visitor}", f"Cookie: session={visitor}")
    until(lambda: gateway.log.count() == 301)
    lines = [json.loads(line) for line in gateway.log]
    assert [line["upstream"] for line in lines if line["route"] == "testers"] == [new]
    served = {visitor: {line["upstream"] for line in lines if line["query"] == visitor} for visitor in visitors}
    assert {len(endpoints) for endpoints in served.values()} == {1}
    assert 0 < sum(endpoints == {new} for endpoints in served.values()) < 40


def test_behind_a_balancer(started: Callable[[str], Setup]) -> None:
    """The client is who the PROXY header says; without one the connection is closed; health has a port of its own."""
    ports = started("behind-a-balancer").ports
    header = b"PROXY TCP4 203.0.113.9 198.51.100.1 5555 80\r\n"
    with Client(("127.0.0.1", ports[8080]), first=header) as client:
        fields = client.ask("GET", "/echo", host="shop.example.com").json["fields"]
    assert "x-forwarded-for: 203.0.113.9" in fields
    assert "x-forwarded-port: 80" in fields
    with socket.create_connection(("127.0.0.1", ports[8080]), 30) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert plain.recv(1) == b""
    assert ask(ports[9091], "GET", "/readyz").status == 200


def test_what_is_watched_is_there(tmp_path: Path) -> None:
    """The gateway of deploy/compose.yaml has, after a request, the series that its alerts look at."""
    app, port, probe = free_port(), free_port(), free_port()
    text = (ROOT / "deploy/compose/config.yaml").read_text()
    for old, new in (
        ("app:3000", f"127.0.0.1:{app}"), ("0.0.0.0:8080", f"127.0.0.1:{port}"), ("0.0.0.0:9091", f"127.0.0.1:{probe}"),
        ("127.0.0.1:9090", f"127.0.0.1:{free_port()}"), ("/var/lib/gateway", "state"),
    ):  # fmt: skip
        assert old in text
        text = text.replace(old, new)
    tmp_path.joinpath("config.yaml").write_text(text)
    with demo(app), Gateway(tmp_path):
        assert ask(port, "GET", "/api/time").status == 200
        series = until(lambda: _series(probe, "gateway_requests_total"))
    rules = yaml.safe_load((ROOT / "deploy/monitoring/alerts.yml").read_text())["groups"][0]["rules"]
    watched = {name for rule in rules for name in re.findall(r"gateway_\w+", rule["expr"])}
    # Without TLS, active checks or failures these have nothing to count.
    only_then = r"gateway_(certificate|upstream_endpoint|upstream_connect_failures|access_log)"
    assert {name for name in watched - series if not re.match(only_then, name)} == set()


def _series(port: int, wanted: str) -> set[str]:
    """The names of all series of a scrape; none before `wanted` is one of them."""
    names = set(re.findall(r"^([a-z_]+)[ {]", ask(port, "GET", "/metrics").text, re.MULTILINE))
    return names if wanted in names else set()
