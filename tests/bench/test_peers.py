"""The proxies of a run do the same work: what each that is installed here sends up, sends down and logs."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bench.certificates import make_pair
from bench.peers import RESPONSE_FIELDS, Peer, Running, running
from bench.processes import Cores, choose_cores
from bench.run import PEERS
from bench.stage import Stage
from tests.kit.http_client import Client
from tests.kit.origin import Origin

pytestmark = pytest.mark.e2e

FOUND = [peer for find in PEERS.values() if (peer := find()) is not None]
TARGET = "/shop/cart?page=2"


@contextmanager
def standing(peer: Peer, folder: Path) -> Iterator[tuple[Running, Origin]]:
    """`peer` before an origin that echoes."""
    folder.chmod(0o755)
    with Origin() as origin:
        stage = Stage(folder, _spread(choose_cores()), origin.port, origin.port, make_pair(folder))
        with running([peer], stage) as field:
            yield field[0], origin


def _spread(cores: Cores) -> Cores:
    """Nothing is measured here: the other core is less likely to be another test's."""
    return cores._replace(proxy=cores.others)


def log_lines(folder: Path, peer: Peer) -> list[dict[str, Any]]:
    """The JSON lines that speak of our request, in whichever file of the peer's folder they are."""
    lines = []
    for path in folder.glob(f"{peer.name}-*/*"):
        if path.name in {"access.log", "output"}:
            lines += [json.loads(line) for line in path.read_text().splitlines() if "/shop/cart" in line]
    return lines


@pytest.mark.parametrize("peer", FOUND, ids=lambda peer: peer.name)
def test_the_same_work(peer: Peer, tmp_path: Path) -> None:
    """Five fields up, eight down, one connection kept to the origin, and one line of JSON for the request."""
    with standing(peer, tmp_path) as (site, origin):
        with Client(("127.0.0.1", site.ports.plain)) as client:
            answer = client.ask("GET", TARGET, "User-Agent: tester", host="shop.example")
            before = origin.connections
            for _ in range(5):
                assert client.ask("GET", "/more").status == 200
        assert origin.connections == before
        asked = origin.wait_asked(1, TARGET)
    assert answer.status == 200
    assert (asked["host"], asked["x-forwarded-host"], asked["x-forwarded-proto"]) == ("shop.example",) * 2 + ("http",)
    assert asked["x-forwarded-for"]
    assert asked["x-request-id"] == answer["x-request-id"]
    if peer.name == "gateway":  # its own values, and Via for the one that is not its default
        down = {name.lower() for name in RESPONSE_FIELDS} - {
            "strict-transport-security", "x-permitted-cross-domain-policies",
        }  # fmt: skip
        assert down | {"via"} <= {name for name, _value in answer.fields}
    else:
        assert {name: answer[name] for name in RESPONSE_FIELDS} == RESPONSE_FIELDS
    (line,) = log_lines(tmp_path, peer)
    assert {"tester", "200"} <= set(map(str, line.values()))


@pytest.mark.parametrize("peer", FOUND, ids=lambda peer: peer.name)
def test_the_same_pair(peer: Peer, tmp_path: Path) -> None:
    """Each serves the certificate of the run over TLS, and closes nothing in between."""
    with standing(peer, tmp_path) as (site, _origin):
        trusting = ssl.create_default_context()
        trusting.check_hostname = False
        trusting.verify_mode = ssl.CERT_NONE
        with Client(("127.0.0.1", site.ports.tls), trusting) as client:
            assert isinstance(client.socket, ssl.SSLSocket)
            assert client.socket.getpeercert(binary_form=True) == ssl.PEM_cert_to_DER_cert(_leaf(tmp_path))
            assert [client.ask("GET", TARGET).status for _ in range(3)] == [200] * 3


def _leaf(folder: Path) -> str:
    text = (folder / "certs" / "localhost.crt").read_text()
    return text[: text.index("-----END") + len("-----END CERTIFICATE-----")] + "\n"


def test_the_yardsticks_are_here() -> None:
    """Every run compares with nginx, and HAProxy shows that nginx is no exception."""
    missing = {"nginx", "haproxy"} - {peer.name for peer in FOUND}
    if missing:
        pytest.skip(f"apt-get install {' '.join(sorted(missing))}")
