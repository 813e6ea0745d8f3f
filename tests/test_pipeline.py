"""The plan and the synchronous half: what is compiled, who answers, what is dropped, added and edited on the way."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.errors import Cause, ClientFault, Fault, UpstreamFault
from gateway.exchange import Connection, Exchange, Verdict
from gateway.hooks import Hooks, Plan, Route
from gateway.http.fields import FRAMING, HOP_BY_HOP
from gateway.http.head import unreadable
from gateway.http.message import Fields, Response
from gateway.pipeline import Site, accept, answer, build_plan, deliver, deliver_reply, finish, nominated, refuse
from gateway.routing import MatchConfig, RouteSettings, compile_routes
from tests.kit.exchanges import make_exchange

DATE = (b"date", b"Sun, 06 Nov 1994 08:49:37 GMT")
METHODS = b"DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"


class House:
    """A site of `rows` (match, route), and the trail that its hooks leave."""

    def __init__(self, *rows: tuple[dict[str, Any], Route], identify: int = 0, **fallback: Any) -> None:
        self.trail: list[str] = []
        self.errors: list[tuple[int, str, str]] = []
        self.site = Site(
            generation=1,
            identify=tuple(self.step(f"identify {at}") for at in range(identify)),
            table=compile_routes([(MatchConfig(**match), route) for match, route in rows]),
            fallback=Route("-", build_plan([("f", Hooks(**fallback))]), RouteSettings()),
            routes=tuple(route for _match, route in rows),
            upstreams={},
            error_reply=self._error,
            wall=lambda: 784111777.0,
        )

    def step(self, name: str, result: Any = None) -> Any:
        def hook(_exchange: Exchange, *_more: object) -> Any:
            self.trail.append(name)
            return result

        return hook

    def _error(self, _exchange: Exchange, status: int, token: str, detail: str) -> Response:
        self.errors.append((status, token, detail))
        return Response(status, [(b"x-error", token.encode())], body=b"sorry")

    def answer(self, line: str = "GET /", host: str | None = "example.com", *fields: str) -> Response | None:
        self.exchange = make_exchange(line, host, *fields)
        self.exchange.route = None
        return answer(self.site, self.exchange)


def routed(name: str = "shop", *features: Hooks, **settings: Any) -> Route:
    plan = build_plan([(str(at), hooks) for at, hooks in enumerate(features)])
    return Route(name, plan, RouteSettings.model_validate(settings), "app")


def on_route(plan: Plan, *fields: str) -> Exchange:
    """An exchange on a route with `plan`, its site in place."""
    exchange = make_exchange("GET /", "example.com", *fields)
    exchange.route = Route("shop", plan, RouteSettings(), "app")
    exchange.site = House().site
    return exchange


def from_origin(*fields: tuple[bytes, bytes], status: int = 200) -> Response:
    """A response as the upstream wire hands it over."""
    response = Response(status, list(fields))
    response.index = dict(fields)
    return response


def names(fields: Fields) -> list[bytes]:
    return [name for name, _value in fields]


# build_plan


def test_an_empty_plan_still_ends_hop_by_hop() -> None:
    """Without any feature, what is hop-by-hop or framing is dropped on both sides, and Expect towards the origin."""
    plan = build_plan([])
    assert plan.drop_response == HOP_BY_HOP | FRAMING
    assert plan.drop_request == HOP_BY_HOP | FRAMING | {b"expect"}
    assert (plan.block, plan.lines, plan.own, plan.features) == (b"", {}, frozenset(), ())
    assert plan.admit + plan.vet + plan.prepare + plan.accept + plan.deliver + plan.log == ()


def test_hooks_run_in_the_order_of_the_features() -> None:
    """Each phase keeps the order it was given, and skips whoever has nothing to do in it."""
    house = House()
    one = Hooks(admit=house.step("a1"), log=house.step("l1"))
    two = Hooks(deliver=house.step("d2"))
    three = Hooks(admit=house.step("a3"), log=house.step("l3"))
    plan = build_plan([("one", one), ("two", two), ("three", three)])
    assert plan.admit == (one.admit, three.admit)
    assert plan.deliver == (two.deliver,)
    assert plan.log == (one.log, three.log)
    assert plan.features == ("one", "two", "three")


def test_features_that_do_nothing_are_not_named() -> None:
    """`gateway explain` shows what is at work."""
    assert build_plan([("idle", Hooks()), ("busy", Hooks(drop_request=frozenset({b"x"})))]).features == ("busy",)


def test_dropped_names_add_up() -> None:
    """What any feature drops is dropped."""
    plan = build_plan(
        [
            ("a", Hooks(drop_request=frozenset({b"a"}), drop_response=frozenset({b"x"}))),
            ("b", Hooks(drop_request=frozenset({b"b"}), drop_response=frozenset({b"y"}))),
        ]
    )
    assert plan.drop_request >= {b"a", b"b"} | HOP_BY_HOP
    assert plan.drop_response >= {b"x", b"y"} | HOP_BY_HOP


def test_constant_fields_are_rendered_once() -> None:
    """A later feature's value wins; a name that is set is taken from the origin; a default leaves it its own."""
    plan = build_plan(
        [
            ("a", Hooks(set_response=((b"server", b"one"), (b"x", b"1")))),
            ("b", Hooks(set_response=((b"server", b"two"),), default_response=((b"x", b"no"), (b"y", b"2")))),
        ]
    )
    assert plan.block == b"server: two\r\nx: 1\r\ny: 2\r\n"
    assert plan.own == {b"y"}
    assert {b"server", b"x"} <= plan.drop_response
    assert b"y" not in plan.drop_response


# answer


def test_what_no_step_answers_is_forwarded() -> None:
    """identify, route, admit; None, with site and route on the exchange."""
    house = House(identify=2)
    route = routed("shop", Hooks(admit=house.step("admit 0")), Hooks(admit=house.step("admit 1")))
    house.site.table = House(({}, route)).site.table
    assert house.answer() is None
    assert house.trail == ["identify 0", "identify 1", "admit 0", "admit 1"]
    assert (house.exchange.site, house.exchange.route, house.exchange.verdict) == (house.site, route, None)


def test_the_first_verdict_answers() -> None:
    """Nobody behind it is asked; its reply is delivered and its reason stays on the exchange."""
    house = House()
    verdict = Verdict("firewall", "bots", Response(403, [], body=b"no"))
    route = routed(
        "shop",
        Hooks(admit=house.step("first")),
        Hooks(admit=house.step("second", verdict)),
        Hooks(admit=house.step("third"), deliver=house.step("deliver"), set_response=((b"server", b"g"),)),
    )
    house.site.table = House(({}, route)).site.table
    response = house.answer()
    assert response is not None
    assert (response.status, response.body, response.block, response.fields) == (403, b"no", b"server: g\r\n", [DATE])
    assert (house.exchange.verdict, house.trail) == (verdict, ["first", "second", "deliver"])
    assert verdict.reply.fields == []  # prepared replies are shared


def test_no_route() -> None:
    """404 by the fallback's plan, with its deliver steps."""
    house = House(({"host": ["other.example"]}, routed()), set_response=((b"server", b"g"),))
    response = house.answer()
    assert response is not None
    assert (response.status, response.block) == (404, b"server: g\r\n")
    assert house.errors == [(404, "destination_not_found", "")]
    assert house.exchange.route is house.site.fallback
    assert house.exchange.fault is not None
    assert house.exchange.fault.cause is Cause.NO_ROUTE


def test_no_route_by_this_method() -> None:
    """405 with the methods that would do, sorted (RFC 9110 §15.5.6)."""
    house = House(({"path": ["/a"], "methods": ["PUT"]}, routed("a")), ({"path": ["/a"], "methods": ["GET"]}, routed()))
    response = house.answer("POST /a")
    assert response is not None
    assert response.status == 405
    allow = dict(response.fields)[b"allow"].split(b", ")
    assert allow == sorted(allow)
    assert {b"GET", b"PUT"} <= set(allow)


@pytest.mark.parametrize("line", ["TRACE /", "CONNECT example.com:443"])
def test_methods_that_are_never_forwarded(line: str) -> None:
    """TRACE would show what we add, CONNECT make us an open proxy: no route is asked (RFC 9110 §9.3.6, §9.3.8)."""
    house = House(({}, routed("all", Hooks(admit=lambda _exchange: pytest.fail("admitted")))))
    response = house.answer(line, "example.com:443")
    assert response is not None
    assert response.status == 405
    assert house.exchange.route is house.site.fallback


@pytest.mark.parametrize(
    ("limit", "length", "refused"),
    [("10", 10, False), ("10", 11, True), (0, 1, True), (0, 0, False), ("unlimited", 10**17, False)],
)
def test_a_body_that_says_it_is_too_long(limit: object, length: int, *, refused: bool) -> None:
    """By its Content-Length, before anything is forwarded; chunks are counted as they come."""
    house = House(({}, routed(body_limit=limit if limit != "10" else 10)))
    response = house.answer("POST /", "example.com", f"Content-Length: {length}")
    assert (response is not None and response.status == 413) is refused
    assert house.answer("POST /", "example.com", "Transfer-Encoding: chunked") is None


# OPTIONS


def test_options_asterisk_goes_where_the_root_goes() -> None:
    """It asks about the origin as a whole; the target stays `*`."""
    house = House(({"path": ["/"]}, routed("root")), ({"path": ["/a/*"]}, routed("a")))
    assert house.answer("OPTIONS *") is None
    assert house.exchange.route.name == "root"
    assert house.exchange.request.path == b"*"


def test_options_asterisk_without_a_root() -> None:
    """404, and the path is `*` still."""
    house = House(({"path": ["/a/*"]}, routed("a")))
    response = house.answer("OPTIONS *")
    assert response is not None
    assert response.status == 404
    assert house.exchange.request.path == b"*"


def test_max_forwards_runs_out_here() -> None:
    """With 0 the gateway itself answers, with an empty body (RFC 9110 §7.6.2)."""
    house = House(({}, routed()))
    response = house.answer("OPTIONS /", "example.com", "Max-Forwards: 0")
    assert response is not None
    assert (response.status, response.body, response.fields) == (200, b"", [(b"allow", METHODS), DATE])
    assert house.exchange.route is house.site.fallback


@pytest.mark.parametrize(("hops", "left"), [("1", b"0"), ("10", b"9"), ("007", b"6"), ("999999999", b"999999998")])
def test_max_forwards_counts_down(hops: str, left: bytes) -> None:
    """One less goes on to the origin, the other fields as they were."""
    house = House(({}, routed()))
    assert house.answer("OPTIONS /", "example.com", "A: 1", f"Max-Forwards: {hops}", "B: 2") is None
    fields = house.exchange.request.fields
    assert fields == [(b"host", b"example.com"), (b"a", b"1"), (b"max-forwards", left), (b"b", b"2")]


@pytest.mark.parametrize("hops", ["-1", "1.5", "x", "1,2", "٣", "9999999999", ""])
def test_max_forwards_that_is_no_number(hops: str) -> None:
    """400, for a guess could loop."""
    house = House(({}, routed()))
    response = house.answer("OPTIONS /", "example.com", f"Max-Forwards: {hops.encode().decode('latin-1')}")
    assert response is not None
    assert response.status == 400


def test_max_forwards_is_for_options_only() -> None:
    """On other methods it is an end-to-end field like any."""
    house = House(({}, routed()))
    assert house.answer("GET /", "example.com", "Max-Forwards: 0") is None
    assert (b"max-forwards", b"0") in house.exchange.request.fields


# refuse and deliver_reply


def test_refusing_what_was_never_a_request() -> None:
    """Identified and on the fallback route, so that it is logged like any; identified once."""
    house = House(identify=1, set_response=((b"server", b"g"),))
    exchange = Exchange(Connection("192.0.2.7", 1, ":80", ":80", 0.0), unreadable(b"\x16\x03\x01"), 0.0)
    fault = ClientFault(Cause.MALFORMED_REQUEST, "why")
    response = refuse(house.site, exchange, fault)
    assert (response.status, response.block) == (400, b"server: g\r\n")
    assert (exchange.fault, exchange.route, exchange.site) == (fault, house.site.fallback, house.site)
    assert (house.trail, house.errors) == (["identify 0"], [(400, "http_request_error", "why")])
    refuse(house.site, exchange, fault)
    assert house.trail == ["identify 0"]


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (UpstreamFault(Cause.CONNECT_REFUSED), 502),
        (ClientFault(Cause.BUG), 500),
        (ClientFault(Cause.CLIENT_STALLED), 400),  # 499 is logged, never sent
    ],
)
def test_the_status_of_a_refusal(fault: Fault, status: int) -> None:
    """The cause's own, on the route that the exchange has."""
    house = House()
    exchange = on_route(build_plan([]))
    route = exchange.route
    assert refuse(house.site, exchange, fault).status == status
    assert exchange.route is route


def test_a_replys_own_fields_win() -> None:
    """What the reply says itself is not said again, whether the plan would set it or only default it."""
    plan = build_plan([("a", Hooks(set_response=((b"server", b"g"), (b"x", b"1")), default_response=((b"y", b"2"),)))])
    exchange = on_route(plan)
    prepared = Response(200, [(b"x", b"own"), (b"y", b"own"), (b"date", b"now")], body=b"")
    prepared.block = b"z: 3\r\n"
    response = deliver_reply(exchange, prepared)
    assert response.block == b"z: 3\r\nserver: g\r\n"
    assert response.fields == [(b"x", b"own"), (b"y", b"own"), (b"date", b"now")]
    assert deliver_reply(exchange, Response(200, [])).block == b"server: g\r\nx: 1\r\ny: 2\r\n"
    assert prepared.block == b"z: 3\r\n"


# accept and deliver


def test_what_ends_here_does_not_reach_the_client() -> None:
    """Hop-by-hop and framing fields, and what a feature drops; order and duplicates of the rest stay."""
    exchange = on_route(build_plan([("a", Hooks(drop_response=frozenset({b"x-powered-by"})))]))
    response = from_origin(
        (b"set-cookie", b"a"),
        (b"connection", b"keep-alive"),
        (b"keep-alive", b"timeout=5"),
        (b"x-powered-by", b"PHP"),
        (b"content-length", b"5"),
        (b"transfer-encoding", b"chunked"),
        (b"proxy-authenticate", b"Basic"),
        (b"set-cookie", b"b"),
    )
    accept(exchange, response)
    assert response.fields == [(b"set-cookie", b"a"), (b"set-cookie", b"b")]


@pytest.mark.parametrize(
    "connection",
    [[b"x-secret"], [b"close, X-Secret"], [b"X-Secret,keep-alive"], [b"x-secret", b"close"], [b"close", b"x-secret"]],
)
def test_what_connection_names_ends_here(connection: list[bytes]) -> None:
    """RFC 9110 §7.6.1, in whichever of several Connection fields it is named."""
    exchange = on_route(build_plan([]))
    response = from_origin((b"x-secret", b"1"), (b"a", b"2"), *((b"connection", value) for value in connection))
    accept(exchange, response)
    assert response.fields == [(b"a", b"2")]


def test_nominated_names() -> None:
    """Every Connection field, lower-case, and no other field."""
    fields = [(b"connection", b"Close, X-A"), (b"x", b"y"), (b"connection", b"x-b , ,x-a")]
    assert nominated(fields) == {b"close", b"x-a", b"x-b"}
    assert nominated([(b"x", b"connection")]) == set()


def test_accept_and_deliver_hooks_see_a_clean_response() -> None:
    """They run after the dropping, accept first."""
    seen: list[tuple[str, list[bytes]]] = []
    hooks = Hooks(
        accept=lambda _exchange, response: seen.append(("accept", names(response.fields))),
        deliver=lambda _exchange, response: seen.append(("deliver", names(response.fields))),
    )
    exchange = on_route(build_plan([("a", hooks)]))
    response = from_origin((b"connection", b"close"), (b"a", b"1"))
    accept(exchange, response)
    deliver(exchange, response)
    assert seen == [("accept", [b"a"]), ("deliver", [b"a"])]


def test_the_origins_own_field_wins_over_a_default_only() -> None:
    """What is set replaces the origin's, a default is for origins that say nothing."""
    plan = build_plan([("a", Hooks(set_response=((b"server", b"g"),), default_response=((b"y", b"ours"),)))])
    for own, block in (((b"y", b"theirs"), b"server: g\r\n"), ((b"z", b"1"), b"server: g\r\ny: ours\r\n")):
        exchange = on_route(plan)
        response = from_origin((b"server", b"origin"), own, DATE)
        accept(exchange, response)
        deliver(exchange, response)
        assert (response.fields, response.block) == ([own, DATE], block)


def test_a_date_is_added_where_there_is_none() -> None:
    """RFC 9110 §6.6.1: by whoever passes the response on."""
    exchange = on_route(build_plan([]))
    bare, dated = from_origin((b"a", b"1")), from_origin((b"date", b"theirs"))
    for response in (bare, dated):
        accept(exchange, response)
        deliver(exchange, response)
    assert bare.fields == [(b"a", b"1"), DATE]
    assert dated.fields == [(b"date", b"theirs")]


def test_finish_runs_the_log_hooks() -> None:
    """In order, with the exchange as it ended."""
    house = House()
    exchange = on_route(build_plan([("a", Hooks(log=house.step("one"))), ("b", Hooks(log=house.step("two")))]))
    finish(exchange)
    assert house.trail == ["one", "two"]
