"""filters/access_log: what a line says, what it hides, and that nobody else can write one."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Cause, UpstreamFault
from gateway.exchange import Connection, Exchange, TlsFacts, Verdict
from gateway.filters.access_log import MOST_OF_A_LINE, Config, FieldName, build
from gateway.hooks import Hooks, Shared
from gateway.http.message import Request, Response

WALL = 1795210613.086  # 2026-11-20T21:36:53.086Z
EVERY = list(get_args(FieldName))
ALWAYS = EVERY[: EVERY.index("referer") + 1]


def over(**fields: bytes) -> Exchange:
    """An exchange that is over: GET /a?page=2, 200, a quarter of a second; `fields` are request fields."""
    request = Request(b"GET", b"/a?page=2", b"/a", b"page=2", 1)
    request.host = b"shop.example"
    request.index = {name.replace("_", "-").encode(): value for name, value in fields.items()}
    exchange = Exchange(Connection("192.0.2.1", 1, "127.0.0.1:80", "web", 0.0), request, 1.0)
    exchange.started = 99.75
    exchange.id = b"01JD"
    exchange.received, exchange.sent = 3, 1024
    exchange.response = Response(200, [])
    exchange.ended = 100.0
    return exchange


def lines_of(config: Any, *exchanges: Exchange, route: str = "shop") -> list[bytes]:
    written: list[bytes] = []
    shared = Shared(route=route, open_log=lambda _output: written.append, wall=lambda: WALL, now=lambda: 100.0)
    hooks = build(config, shared)
    for exchange in exchanges:
        assert hooks.log is not None
        hooks.log(exchange)
    return written


def line_of(config: Any, exchange: Exchange, route: str = "shop") -> dict[str, Any]:
    (line,) = lines_of(config, exchange, route=route)
    found: dict[str, Any] = json.loads(line)
    return found


def test_the_usual_line() -> None:
    """Every field that is always there, in the documented order."""
    line = line_of(Config(), over(user_agent=b"curl/8", referer=b"https://shop.example/"))
    assert line == {
        "time": "2026-11-20T21:36:53.086Z", "request_id": "01JD", "client": "192.0.2.1", "method": "GET",
        "scheme": "http", "host": "shop.example", "path": "/a", "query": "page=2", "protocol": "HTTP/1.1",
        "status": 200, "bytes_in": 3, "bytes_out": 1024, "duration_ms": 250.0, "route": "shop",
        "user_agent": "curl/8", "referer": "https://shop.example/",
    }  # fmt: skip
    assert list(line) == ALWAYS


def everything() -> Exchange:
    exchange = over(user_agent=b"curl/8")
    exchange.client = "198.51.100.7"
    exchange.connection.tls = TlsFacts("TLSv1.3", "AES", "shop.example", "http/1.1", "t13d_x_y", None)
    exchange.scheme = "https"
    exchange.endpoint, exchange.attempts, exchange.upstream_seconds = "10.0.0.1:3000", 2, 0.0305
    exchange.verdict = Verdict("firewall", "probes", Response(403, [], body=b""))
    exchange.fault = UpstreamFault(Cause.HEAD_TIMEOUT, "no head within 60s")
    exchange.trace = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    return exchange


def test_a_line_with_everything() -> None:
    """The fields that are there only when they have something to say, all at once."""
    line = line_of(Config(), everything())
    assert list(line) == EVERY
    assert {name: line[name] for name in EVERY if name not in ALWAYS} == {
        "upstream": "10.0.0.1:3000", "upstream_ms": 30.5, "attempts": 2, "peer": "192.0.2.1", "verdict": "firewall",
        "rule": "probes", "cause": "head_timeout", "error": "http_response_timeout", "detail": "no head within 60s",
        "tls": "TLSv1.3", "ja4": "t13d_x_y", "trace_id": "0af7651916cd43dd8448eb211c80319c",
    }  # fmt: skip


ANY = st.one_of(
    st.binary(max_size=30),
    st.sampled_from([b"", b"plain", b"\n", b'"}\r\n{"a":"', b"\x1b[2J", b"\x7f", b"\xff", "é\u2028".encode(), b"%b%d"]),
)
CLIENT_TEXT = st.one_of(st.text(max_size=20), st.sampled_from(["192.0.2.1", "", "\ud800", '"\n']))


@st.composite
def exchanges(draw: st.DrawFn) -> Exchange:
    """Arbitrary bytes wherever a client, a peer or an origin has a say; every optional part there or not."""
    exchange = over(user_agent=draw(ANY), referer=draw(ANY), accept=draw(ANY), cookie=draw(ANY))
    request = exchange.request
    request.method, request.host, request.path = draw(ANY), draw(ANY), draw(ANY)
    request.query = draw(st.one_of(st.none(), ANY))
    request.minor = draw(st.sampled_from([0, 1]))
    exchange.id = draw(ANY)
    exchange.client = draw(CLIENT_TEXT)
    exchange.scheme = draw(st.sampled_from(["http", "https", 'x"\n']))
    exchange.sent = draw(st.integers(0, 1 << 50))
    exchange.started = draw(st.floats(0, 101))
    if draw(st.booleans()):
        exchange.response = None
    if draw(st.booleans()):
        exchange.connection.tls = TlsFacts("TLSv1.2", "", "", "", draw(CLIENT_TEXT), None)
    if draw(st.booleans()):
        exchange.endpoint, exchange.attempts = draw(st.sampled_from(["10.0.0.1:1", 'unix:/"\n'])), 1
        exchange.upstream_seconds = draw(st.floats(0, 100))
    if draw(st.booleans()):
        exchange.verdict = Verdict("limits", draw(CLIENT_TEXT), Response(429, [], body=b""))
    if draw(st.booleans()):
        exchange.fault = UpstreamFault(Cause.BAD_RESPONSE, draw(CLIENT_TEXT))
    exchange.trace = draw(st.one_of(st.just(b""), ANY))
    return exchange


@given(st.lists(exchanges(), max_size=5))
def test_as_many_lines_as_exchanges_and_each_parses(several: list[Exchange]) -> None:
    """The quick rendering says the same as the one field by field, in printable text that nobody can break out of."""
    quick = lines_of(Config(), *several, route='shop "%b"\n')
    full = lines_of(Config(fields=EVERY), *several, route='shop "%b"\n')
    assert len(quick) == len(full) == len(several)
    for one, other in zip(quick, full, strict=True):
        assert one[-1:] == b"\n"
        assert one[:-1].decode().isprintable()
        assert json.loads(one) == json.loads(other)
        assert list(json.loads(one)) == list(json.loads(other))


@given(st.lists(exchanges(), max_size=3), st.sampled_from(["logfmt", "combined"]))
def test_text_formats_cannot_be_forged_either(several: list[Exchange], form: str) -> None:
    """One printable line each."""
    written = lines_of(Config.model_validate({"format": form}), *several)
    assert len(written) == len(several)
    for line in written:
        assert line[-1:] == b"\n"
        assert line[:-1].decode().isprintable()


def test_remembered_pieces_do_not_mix_exchanges_up() -> None:
    """Endpoints, verdicts and TLS facts are rendered once; the next exchange still gets its own."""
    first, second = over(), over()
    for exchange, name in ((first, "one"), (second, "two")):
        exchange.endpoint = name
        exchange.verdict = Verdict("limits", name, Response(429, [], body=b""))
        exchange.connection.tls = TlsFacts("TLSv1.3", "", "", "", name, None)
    found = [json.loads(line) for line in lines_of(Config(), first, second, first)]
    assert [(line["upstream"], line["rule"], line["ja4"]) for line in found] == [
        ("one", "one", "one"), ("two", "two", "two"), ("one", "one", "one"),
    ]  # fmt: skip


def test_what_is_remembered_is_bounded() -> None:
    """Rules that name what a client sent, and endpoints that come and go, do not fill the memory."""

    def different(number: int) -> Exchange:
        exchange = over()
        exchange.endpoint = f"10.0.0.1:{number}"
        exchange.verdict = Verdict("limits", f"client {number}", Response(429, [], body=b""))
        return exchange

    written = lines_of(Config(), *map(different, range(2500)))
    assert [json.loads(line)["rule"] for line in written] == [f"client {number}" for number in range(2500)]


def test_lines_fit_into_one_write() -> None:
    """Endless values are cut, on the quick path and the slow one, so that lines of two processes stay apart."""
    exchange = over(user_agent=b"a" * 16000, referer=b"\x01" * 16000)
    exchange.request.path = b"/" + b"b" * 8000
    exchange.request.query = b"\xff" * 8000
    for config in (Config(), Config(format="logfmt"), Config(format="combined")):
        (line,) = lines_of(config, exchange)
        assert len(line) <= MOST_OF_A_LINE
    assert line_of(Config(), over(user_agent=b"a" * 16000))["user_agent"] == "a" * 1024 + "..."


def test_secrets_stay_secret() -> None:
    """Query keys in the query and in the Referer; fields that authorise, even where an operator asks for them."""
    exchange = over(
        referer=b"https://shop.example/?token=abc&a=1", authorization=b"Bearer abc", cookie=b"a=abc", accept=b"*/*"
    )
    exchange.request.query = b"page=2&password=abc"
    config = Config(headers=["Authorization", "cookie", "Accept", "absent"])
    for written in (*lines_of(config, exchange), *lines_of(Config(), exchange)):
        assert b"abc" not in written
    line = line_of(config, exchange)
    assert line["headers"] == {"authorization": "[redacted]", "cookie": "[redacted]", "accept": "*/*"}
    assert line["query"] == "page=2&password=[redacted]"
    assert line_of(Config(redact_query=[]), exchange)["query"] == "page=2&password=abc"


@pytest.mark.parametrize(
    ("referer", "shown"),
    [
        (b"https://ann:hunter2@shop.example/a@b", "https://[redacted]@shop.example/a@b"),
        (b"https://ann:hunter2@shop.example", "https://[redacted]@shop.example"),
        (b"https://ann@x:hunter2@shop.example:8443/?q=a@b", "https://[redacted]@shop.example:8443/?q=a@b"),
        (b"//hunter2@shop.example/", "//[redacted]@shop.example/"),
        (b"https://shop.example/?TOKEN=hunter2&a=1#x", "https://shop.example/?TOKEN=[redacted]&a=1#x"),
        (b"https://shop.example/#access_token=hunter2&a=1", "https://shop.example/#access_token=[redacted]&a=1"),
        (b"https://hunter2@shop.example/?a=1#token=hunter2", "https://[redacted]@shop.example/?a=1#token=[redacted]"),
        (b"https://medium.example/@ann?next=//b@c/", "https://medium.example/@ann?next=//b@c/"),
        (b"about:client", "about:client"),
        (b"", ""),
    ],
)
def test_secrets_of_a_referer(referer: bytes, shown: str) -> None:
    """User and password, and the query keys, in the query and in the fragment; in every format, asked for twice too."""
    exchange = over(referer=referer)
    assert line_of(Config(), exchange)["referer"] == shown
    asked = line_of(Config(headers=["Referer"]), exchange)
    assert (asked["referer"], asked["headers"]["referer"]) == (shown, shown)
    for line in lines_of(Config(format="combined"), exchange) + lines_of(Config(format="logfmt"), exchange):
        assert b"hunter2" not in line


def test_logfmt_and_combined() -> None:
    """The same exchange in the other formats."""
    exchange = over(user_agent=b'curl "x"', accept=b"a b")
    config = Config(format="logfmt", fields=["client", "query", "status", "user_agent"], headers=["Accept"])
    assert lines_of(config, exchange) == [
        b'client=192.0.2.1 query="page=2" status=200 user_agent="curl \\"x\\"" headers.accept="a b"\n'
    ]
    assert lines_of(Config(format="combined"), exchange) == [
        b'192.0.2.1 - - [20/Nov/2026:21:36:53 +0000] "GET /a?page=2 HTTP/1.1" 200 1024 "-" "curl \\x22x\\x22"\n'
    ]


def test_a_selection_is_kept_in_its_order() -> None:
    """`fields` says what a line has and in which order."""
    line = line_of(Config(fields=["status", "path", "cause"]), over())
    assert list(line.items()) == [("status", 200), ("path", "/a")]


def test_a_share_of_the_lines() -> None:
    """Every fourth success is logged, and every failure."""
    failed, broken = over(), over()
    failed.fault = UpstreamFault(Cause.CLIENT_GONE)
    broken.response = Response(503, [])
    assert len(lines_of(Config(sample=0.25), *[over()] * 100)) == 25
    assert len(lines_of(Config(sample=0.0), *[over(), failed, broken] * 10)) == 20


def test_a_client_that_left_before_the_answer() -> None:
    """Without a response the status is the cause's."""
    gone = over()
    gone.response = None
    assert line_of(Config(), gone)["status"] == 499
    gone.fault = UpstreamFault(Cause.NO_ROUTE)
    assert line_of(Config(), gone)["status"] == 404


def test_a_clock_that_went_back_is_no_negative_duration() -> None:
    """An exchange cannot have begun after it ended."""
    exchange = over()
    exchange.started = 101.0
    assert line_of(Config(), exchange)["duration_ms"] == 0
    assert line_of(Config(fields=EVERY), exchange)["duration_ms"] == 0


def test_off_is_off(tmp_path: Path) -> None:
    """`access_log: off` leaves no hook behind."""
    assert build("off", Shared(wall=lambda: WALL, now=lambda: 100.0)) == Hooks()


def test_outputs(tmp_path: Path) -> None:
    """Standard streams by name, paths from the folder of the configuration; one that cannot be opened is told."""
    opened: list[str] = []

    def open_log(output: str) -> Callable[[bytes], None]:
        opened.append(output)
        if "nowhere" in output:
            raise FileNotFoundError(2, "No such file or directory")
        return list[bytes]().append

    shared = Shared(folder=tmp_path, open_log=open_log, wall=lambda: WALL, now=lambda: 100.0)
    build(Config(), shared)
    build(Config(output="logs/a.log"), shared)
    build(Config(output="/var/log/a.log"), shared)
    assert opened == ["stdout", str(tmp_path / "logs/a.log"), "/var/log/a.log"]
    with pytest.raises(ValueError, match=re.escape("cannot open the access log /nowhere/a.log: No such file")):
        build(Config(output="/nowhere/a.log"), shared)


def test_without_an_output_lines_go_nowhere() -> None:
    """`gateway check` builds every route and writes no log."""
    hooks = build(Config(), Shared(wall=lambda: WALL, now=lambda: 100.0))
    assert hooks.log is not None
    hooks.log(over())


@pytest.mark.parametrize(
    "wrong",
    [
        {"format": "xml"},
        {"fields": ["tiem"]},
        {"fields": []},
        {"sample": 1.5},
        {"output": ""},
        {"format": "combined", "fields": ["time"]},
        {"format": "combined", "headers": ["accept"]},
    ],
)
def test_wrong_configuration_is_refused(wrong: dict[str, Any]) -> None:
    """Each mistake is told at load."""
    with pytest.raises(ValueError, match="validation error"):
        Config.model_validate(wrong)
