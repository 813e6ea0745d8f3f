"""What reaches the origin: what an attacker sends, by who is trusted, and what is written instead."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from gateway.exchange import Exchange
from gateway.filters import forwarded, real_ip
from gateway.filters.forwarded import Config, build
from gateway.hooks import Hooks, Shared
from gateway.http.fields import without
from gateway.http.message import Fields, Response
from tests.kit.exchanges import make_exchange, make_head, make_tls

CLIENT = "198.51.100.7"
PROXY = "10.0.0.9"


def shared(folder: str = "/srv/a") -> Shared:
    return Shared(folder=Path(folder), warn=[].append)


def received(
    fields: list[str], peer: str = CLIENT, trust: dict[str, object] | None = None, **settings: object
) -> dict[bytes, bytes]:
    """What the origin receives of `fields`, by name; values of one name joined by "|"."""
    exchange = make_exchange("GET /", "example.com", *fields)
    exchange.connection.peer = exchange.client = peer
    return passed(exchange, trust, **settings)


def passed(exchange: Exchange, trust: dict[str, object] | None = None, **settings: object) -> dict[bytes, bytes]:
    identity = real_ip.build(real_ip.Config.model_validate(trust or {}), shared())
    hooks = build(Config.model_validate({"via": "off", **settings}), shared())
    if identity.identify is not None:
        identity.identify(exchange)
    head = make_head(exchange)
    head.fields = without(head.fields, identity.drop_request | hooks.drop_request)
    for prepare in (identity.prepare, hooks.prepare):
        if prepare is not None:
            prepare(exchange, head)
    found: dict[bytes, bytes] = {}
    for name, value in head.fields:
        found[name] = found[name] + b"|" + value if name in found else value
    return found


TRUST = {"trusted": ["10.0.0.0/8"]}
OURS = {
    b"x-forwarded-for": CLIENT.encode(), b"x-forwarded-proto": b"http", b"x-forwarded-host": b"example.com",
    b"x-forwarded-port": b"80",
}  # fmt: skip

FORGERIES = [
    "X-Forwarded-For: 6.6.6.6", "x-forwarded-for: 127.0.0.1, 10.0.0.1", "X-Forwarded-Proto: https",
    "X-Forwarded-Host: evil.example", "X-Forwarded-Port: 1", "X-Forwarded-Server: evil", "X-Forwarded-Prefix: /evil",
    "X-Forwarded-Client-Cert: CN=root", "X-Forwarded-User: root", "X-Forwarded-New: 1", "Forwarded: for=6.6.6.6",
    "X-Real-IP: 6.6.6.6", "True-Client-IP: 6.6.6.6", "CF-Connecting-IP: 6.6.6.6", "Client-IP: 6.6.6.6",
    "X-Client-IP: 6.6.6.6", "X-Cluster-Client-IP: 6.6.6.6", "Fastly-Client-IP: 6.6.6.6", "X-Original-URL: /admin",
    "X-Rewrite-URL: /admin", "Front-End-Https: on", "X-Url-Scheme: https", "X-Host: evil.example",
    "X-Originating-IP: 6.6.6.6", "X-Remote-Addr: 6.6.6.6", "X-ProxyUser-Ip: 6.6.6.6",
]  # fmt: skip


@pytest.mark.parametrize("forgery", FORGERIES)
@pytest.mark.parametrize("trust", [None, TRUST])
def test_what_a_stranger_forges_does_not_pass(forgery: str, trust: dict[str, object] | None) -> None:
    """With and without trusted proxies, the origin gets our facts and not a byte of the forgery."""
    assert received([forgery, forgery], trust=trust) == OURS


def test_all_forgeries_at_once() -> None:
    """Many fields are treated like one, and what is not about identity passes."""
    assert received([*FORGERIES, "Accept: */*"]) == {b"accept": b"*/*", **OURS}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ([], {b"x-forwarded-for": b"10.0.0.9"}),
        (["X-Forwarded-For: 203.0.113.5"], {b"x-forwarded-for": b"203.0.113.5, 10.0.0.9"}),
        (["X-Forwarded-For: 6.6.6.6, 203.0.113.5"], {b"x-forwarded-for": b"203.0.113.5, 10.0.0.9"}),
        (
            ["X-Forwarded-For: 6.6.6.6", "X-Forwarded-For: 203.0.113.5, 10.0.0.8"],
            {b"x-forwarded-for": b"203.0.113.5, 10.0.0.8, 10.0.0.9"},
        ),
        (["X-Forwarded-For: junk"], {b"x-forwarded-for": b"10.0.0.9"}),
        (["X-Forwarded-Proto: https"], {b"x-forwarded-proto": b"https", b"x-forwarded-port": b"443"}),
        (["X-Forwarded-Host: shop.example"], {b"x-forwarded-host": b"shop.example"}),
        (
            ["X-Forwarded-Host: shop.example:8443"],
            {b"x-forwarded-host": b"shop.example:8443", b"x-forwarded-port": b"8443"},
        ),
        (["X-Forwarded-Host: a.example, b.example"], {b"x-forwarded-host": b"example.com"}),
        (['X-Forwarded-Host: "><script>'], {b"x-forwarded-host": b"example.com"}),
        (["X-Forwarded-Port: 8443"], {b"x-forwarded-port": b"8443"}),
        (["X-Forwarded-Port: 8443, 1"], {b"x-forwarded-port": b"80"}),
        (["X-Forwarded-Prefix: /app"], {b"x-forwarded-prefix": b"/app"}),
        (["X-Forwarded-Client-Cert: CN=ann"], {b"x-forwarded-client-cert": b"CN=ann"}),
        (["X-Real-IP: 6.6.6.6"], {}),
        (["True-Client-IP: 6.6.6.6"], {}),
        (["Forwarded: for=6.6.6.6"], {}),
    ],
)
def test_what_a_trusted_proxy_says(fields: list[str], expected: dict[bytes, bytes]) -> None:
    """The verified chain goes on with the proxy's own address; other address fields have no say unless configured."""
    ours = {**OURS, b"x-forwarded-for": PROXY.encode()}
    assert received(fields, PROXY, TRUST) == {**ours, **expected}


@pytest.mark.parametrize(
    ("peer", "passed_on"), [(PROXY, {b"cf-connecting-ip": b"203.0.113.5"}), (CLIENT, {})], ids=["trusted", "stranger"]
)
def test_a_cdns_field(peer: str, passed_on: dict[bytes, bytes]) -> None:
    """From the CDN it becomes the chain and passes on; from anyone else it is gone."""
    trust = {**TRUST, "header": "CF-Connecting-IP"}
    found = received(["CF-Connecting-IP: 203.0.113.5", "X-Forwarded-For: 6.6.6.6"], peer, trust)
    chain = b"203.0.113.5, 10.0.0.9" if passed_on else CLIENT.encode()
    assert found == {**OURS, b"x-forwarded-for": chain, **passed_on}


def test_nothing_but_stripping_when_all_is_off() -> None:
    """Fields that are not sent are still not let through."""
    assert received(FORGERIES, x_forwarded=False) == {}


@pytest.mark.parametrize(
    ("host", "port"),
    [("example.com", b"80"), ("example.com:8080", b"8080"), ("[2001:db8::1]", b"80"), ("[2001:db8::1]:81", b"81")],
)
def test_the_port_of_the_host_field(host: str, port: bytes) -> None:
    """With `port: host`, what the client wrote, or its scheme's; in X-Forwarded-Host it stands in any case."""
    exchange = make_exchange("GET /", host)
    found = passed(exchange, port="host")
    assert (found[b"x-forwarded-host"], found[b"x-forwarded-port"]) == (host.encode(), port)
    assert passed(exchange)[b"x-forwarded-port"] == b"80"


@pytest.mark.parametrize(
    ("local", "port"),
    [("127.0.0.1:8443", b"8443"), ("[::]:81", b"81"), ("unix:/run/gateway:81", b"80"), ("127.0.0.1:0", b"80")],
)
def test_the_port_of_the_listener(local: str, port: bytes) -> None:
    """Whatever port a client writes into its Host field, it has not reached another one by that."""
    exchange = make_exchange("GET /", "example.com:22")
    exchange.connection.local = local
    found = passed(exchange)
    assert (found[b"x-forwarded-host"], found[b"x-forwarded-port"]) == (b"example.com:22", port)


def test_https() -> None:
    """A TLS connection is https, on the port of its listener."""
    exchange = make_exchange("GET /", "example.com")
    exchange.connection.local = "0.0.0.0:443"
    exchange.connection.tls = make_tls()
    exchange.scheme = "https"
    found = passed(exchange)
    assert (found[b"x-forwarded-proto"], found[b"x-forwarded-port"]) == (b"https", b"443")


def test_http_1_0_without_a_host() -> None:
    """No Host, no X-Forwarded-Host."""
    assert b"x-forwarded-host" not in passed(make_exchange("GET /", None))


def test_a_client_without_address() -> None:
    """An untrusted peer on a Unix socket has none, and none is invented."""
    found = received([], "", x_real_ip=True, forwarded=True)
    assert b"x-forwarded-for" not in found
    assert b"x-real-ip" not in found
    assert found[b"forwarded"] == b"for=unknown;host=example.com;proto=http"


def test_x_real_ip() -> None:
    """The client alone, as it was verified."""
    assert received([], x_real_ip=True)[b"x-real-ip"] == CLIENT.encode()
    found = received(["X-Forwarded-For: 203.0.113.5", "X-Real-IP: 6.6.6.6"], PROXY, TRUST, x_real_ip=True)
    assert found[b"x-real-ip"] == b"203.0.113.5"


@pytest.mark.parametrize(
    ("fields", "peer", "value"),
    [
        ([], CLIENT, b"for=198.51.100.7;host=example.com;proto=http"),
        ([], "2001:db8::1", b'for="[2001:db8::1]";host=example.com;proto=http'),
        (["Forwarded: for=6.6.6.6"], CLIENT, b"for=198.51.100.7;host=example.com;proto=http"),
        (
            ["Forwarded: for=6.6.6.6, for=203.0.113.5;proto=https, for=10.0.0.8"],
            PROXY,
            b"for=203.0.113.5;host=example.com;proto=https, for=10.0.0.8, for=10.0.0.9;host=example.com;proto=http",
        ),
    ],
)
def test_forwarded(fields: list[str], peer: str, value: bytes) -> None:
    """RFC 7239 with every verified hop, the client first."""
    trust = {**TRUST, "header": "forwarded"}
    found = received(fields, peer, trust, forwarded=True, x_forwarded=False)
    assert found == {b"forwarded": value}


def test_forwarded_with_a_port_is_quoted() -> None:
    """A colon is no token character."""
    found = passed(make_exchange("GET /", "example.com:8080"), forwarded=True)
    assert found[b"forwarded"] == b'for=192.0.2.7;host="example.com:8080";proto=http'


def test_an_obfuscated_client() -> None:
    """The same identifier for the same client, another for another, and the address nowhere."""
    settings: dict[str, object] = {"forwarded": True, "obfuscate": True, "x_forwarded": False}
    hooks = build(Config.model_validate({"via": "off", **settings}), shared())
    values = []
    for peer in (CLIENT, CLIENT, "198.51.100.8"):
        exchange = make_exchange("GET /", "example.com")
        exchange.connection.peer = exchange.client = peer
        head = make_head(exchange)
        assert hooks.prepare is not None
        hooks.prepare(exchange, head)
        values.append(dict(head.fields)[b"forwarded"])
    assert values[0] == values[1] != values[2]
    assert values[0].startswith(b"for=_")
    assert CLIENT.encode() not in b"".join(values)


def test_obfuscation_beside_the_plain_address_is_warned_of() -> None:
    """Hiding in one field what another tells is a slip."""
    warnings: list[str] = []
    build(Config(obfuscate=True, forwarded=True), Shared(warn=warnings.append))
    assert len(warnings) == 1


def test_rendered_fields_follow_the_connection() -> None:
    """What is remembered is rendered again for another host and after a reload, and never shared between lists."""
    first, second = (build(Config(via="off", x_real_ip=real), shared()) for real in (False, True))  # type: ignore[arg-type]
    exchange = make_exchange("GET /", "a.example")
    seen = []
    for hooks, host in ((first, "a.example"), (first, "a.example"), (first, "b.example"), (second, "b.example")):
        following = make_exchange("GET /", host)
        following.connection = exchange.connection
        head = make_head(following)
        assert hooks.prepare is not None
        hooks.prepare(following, head)
        found = dict(head.fields)
        seen.append((found[b"x-forwarded-host"], b"x-real-ip" in found))
        head.fields.append((b"x", b"edited by a later filter"))
    assert seen == [(b"a.example", False), (b"a.example", False), (b"b.example", False), (b"b.example", True)]
    assert len(exchange.connection.identity) == 1
    assert all(name != b"x" for name, _value in exchange.connection.identity["forwarded"][2])


def via_of(hooks: Hooks, exchange: Exchange) -> bytes:
    head = make_head(exchange)
    head.fields = without(head.fields, hooks.drop_request)
    assert hooks.prepare is not None
    hooks.prepare(exchange, head)
    assert [name for name, _value in head.fields].count(b"via") == 1
    return dict(head.fields)[b"via"]


def test_via_is_appended() -> None:
    """RFC 9110 §7.6.3: protocol and name, after those who came before, with the version that was received."""
    hooks = build(Config(via="edge-1"), shared())
    assert via_of(hooks, make_exchange("GET /", "h")) == b"1.1 edge-1"
    assert via_of(hooks, make_exchange("GET /", None)) == b"1.0 edge-1"
    assert via_of(hooks, make_exchange("GET /", "h", "Via: 1.0 a (x)", "Via: 2 b")) == b"1.0 a (x), 2 b, 1.1 edge-1"


def test_the_default_name_is_of_this_deployment() -> None:
    """The same for every worker and generation, another for another configuration; answers show the plain name."""
    names = [via_of(build(Config(), shared(folder)), make_exchange("GET /", "h")) for folder in ("/a", "/a", "/b")]
    assert names[0] == names[1] != names[2]
    assert names[0].startswith(b"1.1 gateway-")


def test_without_via() -> None:
    """Off: what others wrote passes untouched, and nothing is counted."""
    hooks = build(Config.model_validate({"via": "off"}), shared())
    assert (hooks.admit, hooks.accept) == (None, None)
    assert via_of(hooks, make_exchange("GET /", "h", "Via: 1.1 a")) == b"1.1 a"


def loops(times: int, **settings: object) -> Response | None:
    def reply(_exchange: Exchange, status: int, token: str, _detail: str) -> Response:
        return Response(status, [(b"token", token.encode())])

    hooks = build(Config.model_validate({"via": "edge-1", **settings}), Shared(error_reply=reply))
    fields = [f"Via: {', '.join(['1.1 other', *['1.1 edge-1'] * times])}"]
    assert hooks.admit is not None
    verdict = hooks.admit(make_exchange("GET /", "h", *fields))
    assert verdict is None or (verdict.by, verdict.rule) == ("forwarded", "loop")
    return None if verdict is None else verdict.reply


def test_a_loop_is_answered() -> None:
    """508 once the request has passed here more often than allowed."""
    assert loops(0) is None
    assert loops(1) is None
    reply = loops(2)
    assert reply is not None
    assert (reply.status, reply.fields) == (508, [(b"token", b"proxy_loop_detected")])
    assert loops(1, loops=0) is not None
    assert loops(3, loops=3) is None


@pytest.mark.parametrize(
    "via",
    ["1.1 edge-11, 1.1 edge-11", "1.1 a (1.1 edge-1), 1.1 b (edge-1)", "edge-1, edge-1", "1.1 x-edge-1, 1.1 x-edge-1"],
)
def test_names_like_ours_are_no_loop(via: str) -> None:
    """Whole names are compared, and comments are not names."""
    hooks = build(Config(via="edge-1"), shared())
    assert hooks.admit is not None
    assert hooks.admit(make_exchange("GET /", "h", f"Via: {via}")) is None


def test_a_loop_needs_no_error_page() -> None:
    """Without the house's pages the answer is bare."""
    hooks = build(Config(via="e"), shared())
    assert hooks.admit is not None
    verdict = hooks.admit(make_exchange("GET /", "h", "Via: 1.1 e", "Via: 1.1 e"))
    assert verdict is not None
    assert verdict.reply.status == 508


@pytest.mark.parametrize(
    ("fields", "minor", "expected"),
    [
        ([], 1, [b"1.1 gateway"]),
        ([], 0, [b"1.0 gateway"]),
        ([(b"via", b"1.1 cdn")], 1, [b"1.1 cdn, 1.1 gateway"]),
        ([(b"via", b"1.1 a"), (b"x", b"y"), (b"via", b"1.1 b")], 1, [b"1.1 a, 1.1 b, 1.1 gateway"]),
    ],
)
def test_via_on_answers(fields: Fields, minor: int, expected: list[bytes]) -> None:
    """Appended to the origin's, once, without the token of the deployment."""
    response = Response(200, fields.copy())
    response.index = dict(fields)
    response.minor = minor
    hooks = build(Config(), shared())
    assert hooks.accept is not None
    hooks.accept(make_exchange(), response)
    assert [value for name, value in response.fields if name == b"via"] == expected
    assert build(Config(via_response=False), shared()).accept is None


def test_learning_names_is_bounded() -> None:
    """Invented names are not all remembered, and a forged prefix is found whether or not there is room."""
    hooks = build(Config(via="e"), shared())
    for number in range(0, 3000, 50):
        names = [f"X-N{at}: 1" for at in range(number, number + 50)]
        exchange = make_exchange("GET /", "h", *names, f"X-Forwarded-Q{number}: 1")
        head = make_head(exchange)
        assert hooks.prepare is not None
        hooks.prepare(exchange, head)
        names_left = [name for name, _value in head.fields]
        assert f"x-forwarded-q{number}".encode() not in names_left
        assert b"x-n%d" % number in names_left
    cell = next(c.cell_contents for c in hooks.prepare.__closure__ if isinstance(c.cell_contents, set))  # type: ignore[attr-defined]
    assert len(cell) <= forwarded.LEARNT


@pytest.mark.parametrize("name", ["", "a b", "a,b", "a(b)", "é"])
def test_names_that_via_cannot_carry(name: str) -> None:
    """A name with spaces or commas would be several."""
    with pytest.raises(ValidationError, match="not a name for Via"):
        Config.model_validate({"via": name})
