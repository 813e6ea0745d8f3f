"""One question to the admin listener, and what is said when there is no answer."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.admin_client import Door, NoAnswer, Question, ask, parse_door, trust
from gateway.server.settings import Bind
from tests.kit.admin import TOKEN, FakeGateway, beside
from tests.kit.tls import issue, put

STATUS = Question("GET", "/status")


@contextmanager
def saying(answer: bytes | None) -> Iterator[Door]:
    """Something that listens and answers one request with `answer`, None for nothing at all."""
    with socket.create_server(("127.0.0.1", 0)) as opened:
        opened.settimeout(10)
        done = threading.Event()

        def serve() -> None:
            accepted, _ = opened.accept()
            with accepted:
                accepted.recv(4096)
                if answer is None:
                    done.wait(10)
                else:
                    accepted.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield Door(Bind("127.0.0.1", opened.getsockname()[1]))
        done.set()
        thread.join(10)


@pytest.mark.parametrize(
    ("text", "bind", "tls"),
    [
        ("127.0.0.1:9090", Bind("127.0.0.1", 9090), False),
        ("http://localhost:9090/", Bind("localhost", 9090), False),
        ("https://gw.lan:9443", Bind("gw.lan", 9443), True),
        ("unix:/run/admin.sock", Bind("", 0, "/run/admin.sock"), False),
    ],
)
def test_addresses(text: str, bind: Bind, tls: bool) -> None:
    """As in the configuration, or as a URL."""
    assert parse_door(text) == (bind, tls)


@pytest.mark.parametrize("text", ["ftp://a:1", "a", "https://a", "http://a:1/path"])
def test_what_is_no_address(text: str) -> None:
    """Said with an example."""
    with pytest.raises(ValueError, match="write for example"):
        parse_door(text)


def test_questions_and_answers(tmp_path: Path) -> None:
    """Values come back as JSON, refusals too; bodies and the token are sent; over TCP and a Unix socket."""
    gateway = FakeGateway()
    for bind in ("127.0.0.1:0", f"unix:{tmp_path}/admin.sock"):
        with beside(gateway, bind=bind, token=TOKEN) as address:
            where = Bind("", 0, address) if isinstance(address, str) else Bind(*address)
            assert ask(Door(where), STATUS).value["generation"] == 3
            level = Question("PUT", "/log/level", {"level": "debug"})
            assert ask(Door(where), level).status == 401
            assert ask(Door(where), level, TOKEN).value["after"]["level"] == "debug"
    assert gateway.asked == [("log_level", "debug", 600.0)] * 2


def test_https(tmp_path: Path) -> None:
    """By an authority, or by the listener's own certificate; with a certificate of our own; else a sentence."""
    authority = issue(common="Test CA", ca=True)
    ca, own = put(tmp_path, "ca", authority), put(tmp_path, "admin", issue("127.0.0.1", by=authority))
    ops = issue(common="ops", by=authority)
    (tmp_path / "ops.pem").write_bytes(ops.pem + ops.key_pem)
    tls = {"certificate": "admin.pem", "key": "admin.key", "client_ca": "ca.pem"}
    with beside(FakeGateway(folder=tmp_path), tls=tls) as address:
        bind = Bind(*address)
        for trusted in (ca, own):
            assert ask(Door(bind, trust(trusted, tmp_path / "ops.pem")), Question("POST", "/reload")).status == 200
        with pytest.raises(NoAnswer, match=r"is not trusted: .*--ca FILE"):
            ask(Door(bind, trust(None, None)), STATUS)
        with pytest.raises(NoAnswer, match=r"--cert FILE|No gateway answers"):
            ask(Door(bind, trust(ca, None)), STATUS)
        with pytest.raises(NoAnswer, match=r"No gateway answers|does not speak HTTP"):
            ask(Door(bind), STATUS)
    for ca_file, certificate in ((tmp_path / "none.pem", None), (None, tmp_path / "admin.key")):
        with pytest.raises(NoAnswer, match="cannot be used"):
            trust(ca_file, certificate)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>", "is not the admin listener of a gateway"),
        (b"SSH-2.0-OpenSSH_9\r\n", "does not speak HTTP"),
        (b"", "does not speak HTTP|No gateway answers"),
        (None, r"does not answer within 0.2s"),
    ],
)
def test_something_else_answers(said: bytes | None, message: str) -> None:
    """Or nothing does: told, after a bounded time."""
    with saying(said) as door, pytest.raises(NoAnswer, match=message):
        ask(door, STATUS, patience=0.2)


def test_nobody_answers(tmp_path: Path) -> None:
    """The address and the reason."""
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    with pytest.raises(NoAnswer, match=f"No gateway answers at 127.0.0.1:{port}: Connection refused"):
        ask(Door(Bind("127.0.0.1", port)), STATUS)
    with pytest.raises(NoAnswer, match="No such file"):
        ask(Door(Bind("", 0, str(tmp_path / "none.sock"))), STATUS)
