"""Endpoints that fail are left out, upstreams that are gone are left alone, and both come back."""

from __future__ import annotations

import pytest

from gateway.upstream.standing import Health
from tests.kit.messages import get, ok, post
from tests.kit.site import Served, serve, warm
from tests.kit.wire import Client

EVER = 10**9
ONCE = {"attempts": 0}


def asked(site: Served, answers: dict[int, bytes], times: int = 1) -> list[int]:
    """Statuses of so many requests, one after the other; each origin has its answer."""
    statuses = []
    for _ in range(times):
        client = site.connect()
        client >> get()
        for _attempt in range(3):
            for at, answer in answers.items():
                site.origins[at].serve(answer)
            site.loop.run()
        statuses.append(status(client))
    return statuses


def status(client: Client) -> int:
    response = client.answer()
    assert response is not None
    return response.status


BAD, GOOD = ok("bad", status="502 Bad"), ok("good")


def test_an_endpoint_that_answers_badly_is_left_out() -> None:
    """After five in a row, for half a minute; then one bad answer is enough, and it stays away twice as long."""
    site = serve(endpoints=3, app={"retries": ONCE})
    answers = {0: GOOD, 1: BAD, 2: GOOD}
    assert asked(site, answers, 15).count(502) == 5
    assert asked(site, answers, 30).count(502) == 0
    site.later(30)
    assert asked(site, answers, 30).count(502) == 1
    site.later(59)
    assert asked(site, answers, 30).count(502) == 0
    site.later(2)
    assert asked(site, {0: GOOD, 1: GOOD, 2: GOOD}, 30).count(502) == 0
    assert site.metrics.value("gateway_upstream_ejections_total", upstream="app", endpoint="127.0.0.1:3001") == 2


def test_an_endpoint_that_refuses_is_left_out() -> None:
    """Its requests are answered by another one meanwhile, and after five it is not tried any more."""
    site = serve(endpoints=3)
    site.origins[1].refusals = EVER
    assert set(asked(site, {0: GOOD, 2: GOOD}, 60)) == {200}
    assert site.origins[1].refusals == EVER - 5


@pytest.mark.parametrize("health", [None, {}])
def test_two_of_three_refuse(health: dict[str, object] | None) -> None:
    """The one that is left serves all, whether or not checks have noticed: nobody is asked who cannot be reached."""
    site = serve(endpoints=3, app={"retries": ONCE, "health": health})
    for at in (1, 2):
        site.origins[at].refusals = EVER
        if health is not None:
            site.site.upstreams["app"].endpoints[at].standing.set_health(Health.DOWN, site.clock())
    for _ in range(15):
        asked(site, {0: GOOD}, 6)
        site.later(0.2)
    assert asked(site, {0: GOOD}, 50) == [200] * 50


def test_ejection_can_be_off() -> None:
    """A bad endpoint keeps its share."""
    site = serve(endpoints=3, app={"retries": ONCE, "ejection": "off"})
    assert asked(site, {0: GOOD, 1: BAD, 2: GOOD}, 60).count(502) == 20


def test_a_bad_answer_of_all_leaves_nobody_out() -> None:
    """At most half of them: the others serve on, whatever they answer."""
    site = serve(endpoints=2, app={"retries": ONCE})
    assert asked(site, {0: BAD, 1: BAD}, 60) == [502] * 60


def test_a_kept_connection_that_was_closed_speaks_against_nobody() -> None:
    """An origin may close what is idle whenever it likes."""
    site = warm(app={"ejection": {"consecutive": 1}}, endpoints=2)
    (endpoint, _other) = site.site.upstreams["app"].endpoints
    site.client >> get()
    site.client >> get()
    site.origins[1].serve(GOOD)
    assert site.origins[0] << b"GET"
    site.origins[0].fin()
    assert (endpoint.watch.failed, endpoint.watch.ejected) == (0, False)


def test_a_drained_endpoint_gets_nothing_new() -> None:
    """From the very next request on; with all drained the answer is 503 at once."""
    site = serve(endpoints=2)
    one, other = site.site.upstreams["app"].endpoints
    assert asked(site, {0: GOOD, 1: GOOD}, 4) == [200] * 4
    one.standing.set_drained(site.clock(), drained=True)
    assert asked(site, {1: GOOD}, 4) == [200] * 4
    other.standing.set_drained(site.clock(), drained=True)
    assert asked(site, {}) == [503]
    assert site.cause == "no_endpoint"
    one.standing.set_drained(site.clock(), drained=False)
    assert asked(site, {0: GOOD}, 4) == [200] * 4


def test_the_only_endpoint_can_be_drained() -> None:
    """The operator knows what he does."""
    site = serve()
    (endpoint,) = site.site.upstreams["app"].endpoints
    endpoint.standing.set_drained(site.clock(), drained=True)
    assert asked(site, {}) == [503]


@pytest.mark.parametrize("balance", ["round_robin", "least_requests", "random", "first", "hash"])
def test_every_balancer_heeds_what_is_held_of_endpoints(balance: str) -> None:
    """Health, and the operator's weights."""
    site = serve(endpoints=3, app={"balance": balance, "health": {}})
    first, second, _third = site.site.upstreams["app"].endpoints
    first.standing.set_health(Health.DOWN, site.clock())
    second.standing.set_weight(0, configured=1)
    assert asked(site, {2: GOOD}, 20) == [200] * 20


def test_weights_of_the_operator() -> None:
    """In the exact proportion that round robin keeps."""
    site = serve(endpoints=2, app={"retries": ONCE})
    one, _other = site.site.upstreams["app"].endpoints
    one.standing.set_weight(4, configured=1)
    assert asked(site, {0: GOOD, 1: BAD}, 20).count(502) == 4


@pytest.mark.parametrize("endpoints", [1, 3])
def test_an_upstream_that_is_gone(endpoints: int) -> None:
    """Five refusals at each endpoint over a second, then 503 at once with Retry-After; few look whether it is back."""
    site = serve(endpoints=endpoints, app={"retries": ONCE})
    for origin in site.origins:
        origin.refusals = EVER
    for _ in range(10):
        assert set(asked(site, {}, 3 * endpoints)) <= {502, 503}
        site.later(0.2)
    before = sum(origin.refusals for origin in site.origins)
    statuses = []
    for _ in range(100):
        statuses += asked(site, {}, 10)
        site.later(0.1)
    assert statuses.count(503) >= 970
    assert before - sum(origin.refusals for origin in site.origins) <= 30
    asked(site, {})
    site.client >> get()
    response = site.client.answer()
    assert response is not None
    assert response.get(b"retry-after") == b"5"
    assert site.cause == "no_endpoint"
    assert site.metrics.value("gateway_upstream_refused_total", upstream="app") >= 970


@pytest.mark.parametrize("endpoints", [1, 3])
def test_an_upstream_that_comes_back(endpoints: int) -> None:
    """It is served within two seconds, and those that were ejected are forgiven."""
    site = serve(endpoints=endpoints, app={"retries": ONCE})
    for origin in site.origins:
        origin.refusals = EVER
    for _ in range(30):
        asked(site, {}, 3)
        site.later(0.3)
    assert site.site.upstreams["app"].shut == "no endpoint can be reached"
    site.origins[0].refusals = 0  # the first one only, whether it was ejected or not
    began = site.clock()
    while asked(site, {0: GOOD}) != [200]:
        site.later(0.1)
    assert site.clock() - began <= 2.0
    assert site.site.upstreams["app"].shut == ""
    assert asked(site, {0: GOOD}, 30).count(503) == 0


def test_a_short_absence_is_not_noticed() -> None:
    """A restart that takes less than a second: the retry finds it, however many were refused."""
    site = serve()
    site.origin.refusals = 20
    clients = [site.connect() for _ in range(3)]
    for client in clients:
        client >> get()
    site.origin.refusals = 0
    site.later(0.5)
    site.origin.serve(GOOD)
    assert [status(client) for client in clients] == [200] * 3


def test_a_breaker() -> None:
    """Twenty requests of which half failed: 503 for five seconds, then one is let through, and at last all."""
    site = serve(app={"retries": ONCE, "breaker": {}})
    assert asked(site, {0: GOOD}, 10) + asked(site, {0: BAD}, 9) == [200] * 10 + [502] * 9
    assert asked(site, {0: BAD}) == [502]
    assert asked(site, {0: GOOD}, 5) == [503] * 5
    site.later(6.5)
    assert asked(site, {0: BAD}, 3) == [502, 503, 503]
    site.later(7)
    assert asked(site, {0: GOOD}) == [503]
    site.later(6)
    assert asked(site, {0: GOOD}, 100) == [200] * 100


def test_a_breaker_for_slow_answers() -> None:
    """What takes too long counts as a failure."""
    site = serve(app={"breaker": {"slower_than": "2s", "minimum": 4, "window": "1m"}})
    for _ in range(4):
        client = site.connect()
        client >> get()
        site.later(2.5)
        site.origin.serve(GOOD)
        assert status(client) == 200
    assert asked(site, {}) == [503]


UPSTREAMS = {
    "app": {"endpoints": ["http://127.0.0.1:3000"], "retries": ONCE, "failover": "spare"},
    "spare": {"endpoints": ["http://127.0.0.1:3001"], "host": "spare.internal"},
}


def test_a_stand_in() -> None:
    """While an upstream has no endpoint to ask another one answers, with its own Host; a body goes there too."""
    site = serve(upstreams=UPSTREAMS)
    (endpoint,) = site.site.upstreams["app"].endpoints
    assert asked(site, {0: GOOD}) == [200]
    endpoint.standing.set_drained(site.clock(), drained=True)
    assert asked(site, {1: GOOD}, 3) == [200] * 3
    site.client >> post("abc")
    request = site.origins[1] << b"POST /"
    assert (request.body, request.get(b"host")) == (b"abc", b"spare.internal")
    endpoint.standing.set_drained(site.clock(), drained=False)
    assert asked(site, {0: GOOD}, 3) == [200] * 3


def test_a_stand_in_for_one_that_is_gone() -> None:
    """As soon as that is noticed; the few that look whether it is back are not spared."""
    site = serve(upstreams=UPSTREAMS)
    site.origins[0].refusals = EVER
    for _ in range(10):
        asked(site, {1: GOOD})
        site.later(0.2)
    assert asked(site, {1: GOOD}, 50).count(200) >= 49


def test_a_stand_in_that_has_no_endpoint_either() -> None:
    """Is answered for like any other."""
    site = serve(upstreams=UPSTREAMS)
    for upstream in site.site.upstreams.values():
        upstream.endpoints[0].standing.set_drained(site.clock(), drained=True)
    assert asked(site, {}) == [503]
    assert site.cause == "no_endpoint"


def test_a_split() -> None:
    """By the client's address, on a route that says so."""
    site = serve(
        upstreams={"app": UPSTREAMS["app"] | {"failover": None}, "spare": UPSTREAMS["spare"]},
        routes=[{"upstream": "app", "split": {"to": {"spare": "30%"}}}],
    )
    went = []
    for number in range(40):
        client = site.connect(f"192.0.2.{number}")
        client >> get()
        went += [at for at in (0, 1) if site.origins[at].serve(GOOD)]
        assert status(client) == 200
    assert 5 <= went.count(1) <= 20
