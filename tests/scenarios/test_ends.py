"""How it ends: what is open is finished, new connections are refused, and the exit code tells how it went."""

from __future__ import annotations

import errno
import signal
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from gateway.development import make_development_certificates
from tests.kit.http_client import Client
from tests.kit.origin import Asked, Origin, Script, Talk
from tests.kit.process import Gateway, free_port, get, until, write_config

pytestmark = pytest.mark.e2e

CUT_SHORT = 4


async def waits(asked: Asked, talk: Talk) -> None:
    """Answers when the test says so."""
    await talk.read_body(asked)
    await talk.origin.gate(asked.target).wait()
    await talk.answer(b"late but whole")


async def begins(asked: Asked, talk: Talk) -> None:
    """Sends half of its body, and the rest when the test says so."""
    await talk.head("Content-Length: 10")
    await talk.write(b"first")
    await talk.origin.gate(asked.target).wait()
    await talk.write(b"later")


class House(NamedTuple):
    gateway: Gateway
    origin: Origin
    http: int
    https: int
    admin: int
    probe: int
    tls: ssl.SSLContext


@contextmanager
def house(folder: Path, drain: str, code: int = 0) -> Iterator[House]:
    """A gateway of this test's own, which must end with `code`."""
    make_development_certificates(folder / "certs")
    http, https, admin, probe = (free_port() for _ in range(4))
    with Origin({"/waits*": waits, "/begins*": begins}) as origin:
        write_config(
            folder,
            listeners=[
                {"bind": f"127.0.0.1:{http}"},
                {"bind": f"127.0.0.1:{https}", "tls": {"certificates": "certs/"}},
            ],
            upstreams={"app": {"endpoints": [origin.url]}},
            routes=[{"upstream": "app"}],
            admin={"bind": f"127.0.0.1:{admin}", "probe": f"127.0.0.1:{probe}"},
            shutdown={"drain": drain},
        )
        tls = ssl.create_default_context(cafile=str(folder / "certs" / "ca.pem"))
        with Gateway(folder, "-c", "config.yaml") as gateway:
            gateway.code = code
            yield House(gateway, origin, http, https, admin, probe, tls)


def refuses(port: int) -> bool:
    """Whether nobody listens there any more."""
    with socket.socket() as probe:
        probe.settimeout(5)
        return probe.connect_ex(("127.0.0.1", port)) in {errno.ECONNREFUSED, errno.ECONNRESET}


def test_a_drain_cuts_nothing(tmp_path: Path) -> None:
    """On SIGTERM requests under way finish, at every stage of theirs, new connections are refused, idle ones closed,
    /readyz says why, and the exit code is 0."""
    with house(tmp_path, "30s") as it:
        idle, waiting, streaming, uploading = (Client(("127.0.0.1", it.http)) for _ in range(4))
        secure = Client(("127.0.0.1", it.https), it.tls)
        idle_secure = Client(("127.0.0.1", it.https), it.tls)
        assert idle.ask("GET", "/x").status == 200
        assert idle_secure.ask("GET", "/x").status == 200
        assert get(it.admin, "/readyz").status == 200
        waiting.request("GET", "/waits")
        secure.request("GET", "/waits-secure")
        streaming.request("GET", "/begins")
        _status, _reason, fields = streaming.head()
        uploading.send(b"POST /up HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nfirst")
        for target in ("/waits", "/waits-secure", "/begins", "/up"):
            it.origin.wait_asked(1, target)
        it.gateway.signal(signal.SIGTERM)

        assert idle.rest() == b""
        assert idle_secure.rest() == b""
        assert until(lambda: refuses(it.http))
        assert until(lambda: refuses(it.https))
        for port in (it.admin, it.probe):
            answer = get(port, "/readyz")
            assert (answer.status, answer.json["reasons"]) == (503, ["draining"])
            assert get(port, "/healthz").status == 200
        assert "gateway_draining 1.0" in get(it.probe, "/metrics").text
        assert it.gateway.alive

        uploading.send(b"later")
        answer = uploading.answer()
        assert (answer.status, answer.json["length"], answer["connection"]) == (200, 10, "close")
        for target in ("/waits", "/waits-secure", "/begins"):
            it.origin.open_gate(target)
        assert b"".join(streaming.body("GET", 200, fields, [])) == b"firstlater"
        for client in (waiting, secure):
            answer = client.answer()
            assert (answer.status, answer.text, answer["connection"]) == (200, "late but whole", "close")
        for client in (waiting, secure, streaming, uploading):
            assert client.rest() == b""
            client.close()
        idle.close()
        idle_secure.close()
        said = it.gateway.ended(0)
        assert "draining" in said
        assert it.gateway.log.count() == 6


def test_a_request_on_its_way_in_is_still_answered(tmp_path: Path) -> None:
    """Half a head, sent before SIGTERM, may be completed within the drain time."""
    with house(tmp_path, "30s") as it, Client(("127.0.0.1", it.http)) as client:
        client.send(b"GET /x HTTP/1.1\r\nHo")
        assert until(lambda: "gateway_connections_open 1.0" in get(it.admin, "/metrics").text)
        it.gateway.signal(signal.SIGTERM)
        it.gateway.said.first(lambda line: True if "draining" in line else None)
        client.send(b"st: localhost\r\n\r\n")
        answer = client.answer()
        assert (answer.status, answer["connection"]) == (200, "close")
        assert client.rest() == b""


def test_the_drain_time_ends(tmp_path: Path) -> None:
    """A request that outlasts the drain time is cut, and the exit code says so."""
    with house(tmp_path, "300ms", CUT_SHORT) as it, Client(("127.0.0.1", it.http)) as client:
        client.request("GET", "/waits")
        it.origin.wait_asked(1)
        began = time.monotonic()
        it.gateway.signal(signal.SIGTERM)
        assert client.rest() == b""
        assert time.monotonic() - began >= 0.3
        assert "connections are cut" in it.gateway.ended(CUT_SHORT)


def test_a_second_signal_cuts(tmp_path: Path) -> None:
    """Ctrl-C twice does not wait for the drain."""
    with house(tmp_path, "30s", CUT_SHORT) as it, Client(("127.0.0.1", it.http)) as client:
        client.request("GET", "/waits")
        it.origin.wait_asked(1)
        began = time.monotonic()
        it.gateway.signal(signal.SIGINT)
        it.gateway.said.first(lambda line: True if "draining" in line else None)
        it.gateway.signal(signal.SIGINT)
        assert client.rest() == b""
        it.gateway.ended(CUT_SHORT)
        assert time.monotonic() - began < 10


def test_a_signal_right_after_the_start(tmp_path: Path) -> None:
    """A SIGTERM that comes as soon as it serves, before the admin side is there, ends it cleanly."""
    with house(tmp_path, "5s") as it:
        it.gateway.signal(signal.SIGTERM)
        it.gateway.ended(0)


def test_a_slow_reader_gets_its_answer_to_the_end(tmp_path: Path) -> None:
    """An answer that is written but not yet read is not cut by the end of the drain's work."""
    with house(tmp_path, "30s") as it, Client(("127.0.0.1", it.http), receive_buffer=4096) as client:
        size = 4 << 20
        client.send(b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc")
        assert client.answer().status == 200
        it.origin.scripts["/large"] = large_answer(size)
        client.request("GET", "/large")
        it.origin.wait_asked(1, "/large")
        _status, _reason, fields = client.head()
        it.gateway.signal(signal.SIGTERM)
        it.gateway.said.first(lambda line: True if "draining" in line else None)
        assert sum(len(piece) for piece in client.body("GET", 200, fields, [])) == size
        assert client.rest() == b""


def large_answer(size: int) -> Script:
    async def script(asked: Asked, talk: Talk) -> None:
        """A large body."""
        await talk.answer(bytes(size))

    return script
