"""`gateway certs`: what is served, from files and from a gateway that runs; and what is said when none does."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest

from gateway.admin_client import Door, NoAnswer
from gateway.certs import Served, from_files, from_gateway, listing
from gateway.config import ConfigError, quick
from gateway.development import make_development_certificates
from gateway.server.listener import open_socket
from gateway.server.settings import Bind, parse_bind

END = datetime(2026, 12, 1, tzinfo=UTC)
ENTRY = {
    "names": ["a.test", "*.a.test"], "issuer": "CN=ca", "not_before": END, "not_after": END, "path": "/c/a.pem",
    "fingerprint": "00", "is_development": False, "kind": "ecdsa",
}  # fmt: skip


@contextmanager
def answering(bind: Bind, answer: bytes) -> Iterator[tuple[Bind, list[bytes]]]:
    """A server for one request at `bind`, whose port 0 becomes a real one; what it was asked."""
    asked: list[bytes] = []
    with closing(open_socket(bind, 1)) as opened:
        opened.setblocking(True)
        opened.settimeout(10)

        def serve() -> None:
            accepted, _ = opened.accept()
            with accepted:
                accepted.settimeout(10)
                asked.append(accepted.recv(4096))
                accepted.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield (bind if bind.path else bind._replace(port=opened.getsockname()[1])), asked
        thread.join(10)


def answer(body: bytes, status: str = "200 OK") -> bytes:
    return b"HTTP/1.1 %b\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b" % (status.encode(), len(body), body)


@pytest.mark.parametrize("where", ["127.0.0.1:0", "0.0.0.0:0", ":0", "unix"])
def test_a_gateway_is_asked_at_its_admin_address(where: str, tmp_path: Path) -> None:
    """Over TCP, also where it listens at every address, or its Unix socket; a certificate of two listeners once."""
    bind = Bind("", 0, str(tmp_path / "admin.sock")) if where == "unix" else parse_bind(where)
    with answering(bind, answer(orjson.dumps([ENTRY, ENTRY]))) as (admin, asked):
        rows = from_gateway(Door(admin))
    assert rows == [Served("", ("a.test", "*.a.test"), "CN=ca", END, "/c/a.pem")]
    assert asked[0].startswith(b"GET /certificates HTTP/1.1\r\nHost: localhost\r\n")


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (answer(b"", "404 Not Found"), "is not the admin listener of a gateway"),
        (answer(b"<html>"), "is not the admin listener of a gateway"),
        (answer(b'{"a": 1}'), "is not the admin listener of a gateway"),
        (answer(json.dumps([{"names": []}]).encode()), "is not the admin listener of a gateway"),
        (answer(b"3"), "is not the admin listener of a gateway"),
    ],
)
def test_something_else_answers(said: bytes, message: str) -> None:
    """It is told, and nothing of what it said is believed."""
    with answering(parse_bind("127.0.0.1:0"), said) as (admin, _asked), pytest.raises(NoAnswer, match=message):
        from_gateway(Door(admin))


def test_nobody_answers(tmp_path: Path) -> None:
    """The address and the reason."""
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    with pytest.raises(NoAnswer, match=f"No gateway answers at 127.0.0.1:{port}: Connection refused"):
        from_gateway(Door(Bind("127.0.0.1", port)))
    with pytest.raises(NoAnswer, match="No such file"):
        from_gateway(Door(Bind("", 0, str(tmp_path / "none.sock"))))


def test_files_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each certificate with the listener that serves it; warnings go where they are told to."""
    make_development_certificates(tmp_path / "certs", wall=0.0)
    monkeypatch.chdir(tmp_path)
    warnings: list[str] = []
    (row,) = from_files(quick("http://app", [], ["127.0.0.1:8443"], None), warnings.append)
    assert (row.listener, row.path) == ("127.0.0.1:8443", "certs/localhost.pem")
    assert "localhost" in row.names
    assert "EXPIRED" in warnings[0]


def test_files_that_are_missing_are_a_mistake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the configuration that names them."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="there is no such folder"):
        from_files(quick("http://app", [], ["127.0.0.1:8443"], None), print)


@pytest.mark.parametrize(
    ("days", "said"),
    [
        (90, "90 days left  issuer"),
        (1, "1 day left  <-- renew  issuer"),
        (-1, "expired 1 day ago  <-- renew  issuer"),
        (-5, "expired 5 days ago  <-- renew  issuer"),
    ],
)
def test_a_listing_says_what_is_left(days: int, said: str) -> None:
    """And which of them to renew."""
    row = Served("0.0.0.0:443", ("a.test", "b.test"), "CN=ca", END, "/c/a.pem")
    first, second = listing([row], END.timestamp() - days * 86400)
    assert first == "0.0.0.0:443  a.test, b.test"
    assert second.strip().startswith(said)
    assert next(listing([row._replace(listener="")], 0.0)) == "a.test, b.test"
