"""Origins over TLS, origins that fail, and origins that come and go: what is retried, where, and what is never."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.kit.certificates import Authority
from tests.kit.http_client import Answer, Client
from tests.kit.origin import Asked, Origin, Talk
from tests.kit.process import Gateway, free_port, write_config

pytestmark = pytest.mark.e2e


async def closes_at_once(asked: Asked, talk: Talk) -> None:
    """Takes a request and closes, the first time; answers the second."""
    if sum(1 for other in talk.origin.asked if other.target == asked.target) == 1:
        talk.close()
    else:
        await talk.answer(b"second")


async def closes_after_the_answer(asked: Asked, talk: Talk) -> None:
    """Keeps the connection by its word, and closes it a moment later: the next request meets a dead connection."""
    await talk.read_body(asked)
    await talk.answer(b"bye")
    talk.close()


async def refuses_early(asked: Asked, talk: Talk) -> None:
    """Answers before it has read the body, and closes with it unread: a reset follows the answer."""
    await talk.answer(b"too much", 413, "Connection: close")
    talk.close()


async def half(asked: Asked, talk: Talk) -> None:
    """Breaks off in the middle of its answer."""
    await talk.head("Content-Length: 1000")
    await talk.write(b"x" * 500)
    talk.close()


async def half_of_chunks(asked: Asked, talk: Talk) -> None:
    """Breaks off between two chunks."""
    await talk.head("Transfer-Encoding: chunked")
    await talk.chunk(b"x" * 500)
    talk.close()


async def stalls(asked: Asked, talk: Talk) -> None:
    """Never answers, until the test says so."""
    await talk.origin.gate(asked.target).wait()
    talk.close()


async def stalls_in_its_body(asked: Asked, talk: Talk) -> None:
    """Begins to answer and stops."""
    await talk.head("Content-Length: 1000")
    await talk.write(b"x" * 500)
    await talk.origin.gate(asked.target).wait()


class Alerting:
    """A TLS server that wants a certificate, and says so in an alert, as OpenSSL does."""

    def __init__(self, tls: ssl.SSLContext) -> None:
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Alerting:
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                with self._listener.accept()[0] as accepted, contextlib.suppress(ssl.SSLError):
                    self._tls.wrap_socket(accepted, server_side=True)


class House(NamedTuple):
    gateway: Gateway
    origin: Origin
    secure: Origin
    port: int

    def ask(self, method: str, target: str, *fields: str, body: bytes = b"") -> Answer:
        with Client(("127.0.0.1", self.port)) as client:
            return client.ask(method, target, *fields, body=body)

    def asked(self, target: str) -> int:
        return sum(1 for asked in self.origin.asked if asked.target == target)


SCRIPTS = {
    "/flaky/*": closes_at_once, "/leaves": closes_after_the_answer, "/half": half, "/chunks": half_of_chunks,
    "/slow/*": stalls, "/stuck": stalls_in_its_body, "/early": refuses_early,
}  # fmt: skip


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("origins")
    authority = Authority(folder / "origins-ca")
    client_authority = Authority(folder / "clients-ca", "Clients")
    pair = authority.issue("origin.test", "localhost")
    ours = client_authority.issue("gateway.test")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(pair)
    mutual = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    mutual.load_cert_chain(pair)
    mutual.load_verify_locations(client_authority.path)
    mutual.verify_mode = ssl.CERT_REQUIRED
    port, dead = free_port(), f"http://127.0.0.1:{free_port()}"
    with (
        Origin(SCRIPTS) as origin,
        Origin() as second,
        Origin(greeting=b"220 this is a mail server\r\n") as plain,
        Origin(tls=tls) as secure,
        Origin(tls=mutual) as closed,
        Alerting(mutual) as alerting,
    ):
        ca = str(authority.path)
        upstreams = {
            "app": {"endpoints": [origin.url]},
            "leaver": {"endpoints": [origin.url]},
            "lame": {"endpoints": [dead, origin.url], "balance": "first", "ejection": "off"},
            "dead": {"endpoints": [dead, f"http://127.0.0.1:{free_port()}"]},
            "turns": {"endpoints": [origin.url, second.url], "balance": "round_robin"},
            "shares": {"endpoints": [{"url": origin.url, "weight": 3}, second.url], "balance": "round_robin"},
            "sticky": {"endpoints": [origin.url, second.url], "balance": "hash", "hash_on": "header:x-user"},
            "small": {
                "endpoints": [origin.url],
                "pool": {"max_open": 1, "queue": 1, "queue_timeout": "400ms"},
            },
            "secure": {"endpoints": [secure.url], "tls": {"ca": ca, "server_name": "origin.test"}},
            "wrong-name": {"endpoints": [secure.url], "tls": {"ca": ca, "server_name": "other.test"}},
            "unknown-ca": {
                "endpoints": [secure.url], "tls": {"ca": str(client_authority.path), "server_name": "origin.test"},
            },
            "by-address": {"endpoints": [secure.url], "tls": {"ca": ca}},
            "unchecked": {"endpoints": [secure.url], "tls": {"verify": False}},
            "not-tls": {"endpoints": [plain.url.replace("http:", "https:")], "tls": {"ca": ca}},
            "mutual": {
                "endpoints": [closed.url], "tls": {"ca": ca, "server_name": "origin.test", "certificate": str(ours)},
            },
            "stranger": {"endpoints": [closed.url], "tls": {"ca": ca, "server_name": "origin.test"}},
            "alerted": {"endpoints": [alerting.url], "tls": {"ca": ca, "server_name": "origin.test"}},
        }  # fmt: skip
        routes = [{"match": {"path": f"/{name}/*"}, "upstream": name, "rewrite": {"strip_prefix": f"/{name}"},
                   "timeouts": {"connect": "3s", "head": "500ms", "read": "500ms"}} for name in upstreams]  # fmt: skip
        listeners = [{"bind": f"127.0.0.1:{port}"}]
        # One worker: turns and pools are each worker's own.
        write_config(folder, workers=1, listeners=listeners, upstreams=upstreams, routes=routes)
        with Gateway(folder, "-c", "config.yaml") as gateway:
            yield House(gateway, origin, secure, port)


@pytest.mark.parametrize("name", ["secure", "unchecked"])
def test_an_origin_over_tls(house: House, name: str) -> None:
    """An https origin is reached with its own authority and name, or unchecked where the operator says so."""
    answer = house.ask("GET", f"/{name}/x")
    assert (answer.status, answer.json["line"]) == (200, "GET /x HTTP/1.1")


def test_an_origin_that_wants_a_certificate(house: House) -> None:
    """The gateway shows its certificate to an origin that asks for one."""
    assert house.ask("POST", "/mutual/x", body=b"abc").json["length"] == 3


@pytest.mark.parametrize("name", ["wrong-name", "unknown-ca", "by-address"])
def test_an_origin_that_may_be_somebody_else(house: House, name: str) -> None:
    """A certificate for another name, or by an authority not trusted here, is 502, and nothing is sent."""
    before = len(house.secure.asked)
    answer = house.ask("GET", f"/{name}/x")
    assert answer.status == 502
    assert len(house.secure.asked) == before
    logged = house.gateway.logged(request_id=answer["x-request-id"])
    assert (logged["cause"], logged["error"]) == ("certificate_refused", "tls_certificate_error")


@pytest.mark.parametrize(
    ("name", "causes"),
    # A server of TLS 1.3 refuses us after the handshake, as far as we see it, and asyncio's does so without a word.
    [("not-tls", {"tls_failed"}), ("alerted", {"tls_failed"}), ("stranger", {"tls_failed", "closed_before_head"})],
)
def test_an_origin_without_tls_in_common(house: House, name: str, causes: set[str]) -> None:
    """An origin that speaks no TLS, or refuses us without a certificate, is 502."""
    answer = house.ask("GET", f"/{name}/x")
    assert answer.status == 502
    assert house.gateway.logged(request_id=answer["x-request-id"])["cause"] in causes


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_dead_endpoint_is_not_seen(house: House, method: str) -> None:
    """Where one endpoint refuses, the other answers, a POST too: not one byte of it had been sent."""
    for _ in range(5):
        answer = house.ask(method, "/lame/x", body=b"body" if method == "POST" else b"")
        assert answer.status == 200
        assert answer.json["length"] == (4 if method == "POST" else 0)
    logged = house.gateway.logged(request_id=answer["x-request-id"])
    assert (logged["attempts"], logged["upstream"]) == (2, f"127.0.0.1:{house.origin.port}")


def test_all_endpoints_dead(house: House) -> None:
    """When all refuse, it is 502 after each was tried once."""
    answer = house.ask("GET", "/dead/x")
    assert answer.status == 502
    logged = house.gateway.logged(request_id=answer["x-request-id"])
    assert (logged["attempts"], logged["cause"]) == (2, "connect_refused")


def test_turns_and_shares(house: House) -> None:
    """round_robin gives each endpoint its turn, in proportion to the weights."""

    def counts(target: str) -> list[int]:
        ids = [house.ask("GET", target)["x-request-id"] for _ in range(8)]
        upstreams = Counter(house.gateway.logged(request_id=one)["upstream"] for one in ids)
        return sorted(upstreams.values())

    assert counts("/turns/x") == [4, 4]
    assert counts("/shares/x") == [2, 6]


def test_the_same_user_goes_to_the_same_endpoint(house: House) -> None:
    """hash on a field keeps a user at an endpoint, and different users at different ones."""
    asked = [(user, house.ask("GET", "/sticky/x", f"X-User: {user}")["x-request-id"]) for user in "abcdefghij" * 3]
    chosen: dict[str, set[str]] = {}
    for user, one in asked:
        chosen.setdefault(user, set()).add(house.gateway.logged(request_id=one)["upstream"])
    assert all(len(upstreams) == 1 for upstreams in chosen.values())
    assert len(set.union(*chosen.values())) == 2


def test_an_idempotent_request_is_asked_again(house: House) -> None:
    """A GET, and a PUT with a small body, are asked again when the origin closes without a byte."""
    assert house.ask("GET", "/app/flaky/get").text == "second"
    assert house.ask("PUT", "/app/flaky/put", body=b"abc").text == "second"
    assert (house.asked("/flaky/get"), house.asked("/flaky/put")) == (2, 2)


def test_a_post_is_never_asked_twice(house: House) -> None:
    """A POST of which a byte was sent is not repeated, with or without a body."""
    assert house.ask("POST", "/app/flaky/post", body=b"abc").status == 502
    assert house.ask("POST", "/app/flaky/empty").status == 502
    assert (house.asked("/flaky/post"), house.asked("/flaky/empty")) == (1, 1)


def test_an_origin_that_refuses_a_body_without_reading_it(house: House) -> None:
    """The client gets the origin's answer, whatever became of the rest of the body."""
    for _ in range(10):
        answer = house.ask("POST", "/app/early", body=b"x" * 900_000)
        assert (answer.status, answer.text) == (413, "too much")


def test_a_connection_that_died_while_idle(house: House) -> None:
    """An origin that closes an idle connection, even as the next request is on its way, costs no idempotent request."""
    with Client(("127.0.0.1", house.port)) as client:
        for method in ("GET", "PUT", "GET", "DELETE", "OPTIONS") * 4:
            answer = client.ask(method, "/leaver/leaves", body=b"x" if method == "PUT" else b"")
            assert (answer.status, answer.text) == (200, "bye")


@pytest.mark.parametrize(("target", "framing"), [("/app/half", "content-length"), ("/app/chunks", "transfer-encoding")])
def test_an_answer_cut_short_is_cut_short(house: House, target: str, framing: str) -> None:
    """What the origin did not finish is not finished for it: the client sees the connection break."""
    with Client(("127.0.0.1", house.port)) as client:
        client.request("GET", target)
        status, _reason, fields = client.head()
        assert status == 200
        assert framing in dict(fields)
        assert not client.rest().endswith(b"0\r\n\r\n")
    assert house.gateway.logged(path=target)["cause"] == "response_incomplete"


def test_an_origin_that_does_not_answer(house: House) -> None:
    """No head in time is 504, after one more attempt for a GET; a POST is asked once."""
    with Client(("127.0.0.1", house.port)) as getting, Client(("127.0.0.1", house.port)) as posting:
        getting.request("GET", "/app/slow/get")
        posting.request("POST", "/app/slow/post", body=b"x")
        assert (posting.answer().status, getting.answer().status) == (504, 504)
    assert (house.asked("/slow/get"), house.asked("/slow/post")) == (2, 1)


def test_an_origin_that_stops_in_its_body(house: House) -> None:
    """A body that stalls is broken off after its time."""
    with Client(("127.0.0.1", house.port)) as client:
        client.request("GET", "/app/stuck")
        client.head()
        assert client.rest() == b"x" * 500
    assert house.gateway.logged(path="/app/stuck")["cause"] == "read_timeout"


def test_a_busy_origin_has_a_queue(house: House) -> None:
    """With all connections busy one request waits for its time, the next does not: both are 503 with Retry-After."""
    address = ("127.0.0.1", house.port)
    with Client(address) as first, Client(address) as second, Client(address) as third:
        first.request("POST", "/small/slow/busy")
        house.origin.wait_asked(1, "/slow/busy")
        second.request("GET", "/small/x")
        third.request("GET", "/small/y")
        for answer in (second.answer(), third.answer()):
            assert answer.status == 503
            assert answer["retry-after"]
            logged = house.gateway.logged(request_id=answer["x-request-id"])
            assert (logged["cause"], logged["error"]) == ("pool_exhausted", "connection_limit_reached")
        house.origin.open_gate("/slow/busy")
        assert first.answer().status in {502, 504}


def test_a_client_that_leaves_frees_the_origin(house: House) -> None:
    """A client that resets ends its request at the origin, and is logged as 499."""
    with Client(("127.0.0.1", house.port)) as client:
        client.request("POST", "/app/slow/left", "X: y")
        house.origin.wait_asked(1, "/slow/left")
        client.socket.setsockopt(1, 13, b"\x01\0\0\0\0\0\0\0")  # SO_LINGER 0: a reset
    logged = house.gateway.logged(path="/app/slow/left")
    assert (logged["status"], logged["cause"]) == (499, "client_gone")
