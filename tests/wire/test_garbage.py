"""A request leaves no reference cycles: gateway/app.py sets the collector to run rarely, and relies on it.

Whatever a request held would otherwise stay until the next collection: up to 50,000 objects, their bodies included.
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from tests.kit.messages import get, head, ok, post
from tests.kit.site import Served, serve

REQUESTS = 100


@pytest.fixture
def collector() -> Iterator[None]:
    """Nothing is collected but by the test."""
    gc.collect()
    gc.disable()
    yield
    gc.set_debug(0)
    gc.garbage.clear()
    gc.enable()


def forwarded(site: Served) -> None:
    site.client >> get()
    site.origin << b"GET /"
    site.origin >> ok()
    site.client << b"HTTP/1.1 200"


def with_a_body(site: Served) -> None:
    site.client >> post(b"some body")
    site.origin << b"POST /"
    site.origin >> ok()
    site.client << b"HTTP/1.1 200"


def in_pieces(site: Served) -> None:
    wire = post(b"some body")
    site.client >> wire[:-5]
    site.client >> wire[-5:]
    site.origin << b"POST /"
    site.origin >> ok()
    site.client << b"HTTP/1.1 200"


def streamed(site: Served) -> None:
    site.client >> get()
    site.origin << b"GET /"
    site.origin >> head("Transfer-Encoding: chunked")
    site.origin >> b"3\r\nabc\r\n"
    site.origin >> b"0\r\n\r\n"
    site.client << b"HTTP/1.1 200"


def with_hints(site: Served) -> None:
    site.client >> get()
    site.origin << b"GET /"
    site.origin >> b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + ok()
    site.client << b"HTTP/1.1 103"
    site.client << b"HTTP/1.1 200"


def refused(site: Served) -> None:
    site.client >> b"TRACE / HTTP/1.1\r\nHost: h\r\n\r\n"
    site.client << b"HTTP/1.1 405"


def intercepted(site: Served) -> None:
    site.client >> get()
    site.origin << b"GET /"
    site.origin >> ok("page", status="404 Not Found")
    site.client << b"HTTP/1.1 404"


def pipelined(site: Served) -> None:
    site.client >> get() * 2
    for _ in range(2):
        site.origin << b"GET /"
        site.origin >> ok()
        site.client << b"HTTP/1.1 200"


JOURNEYS = [forwarded, with_a_body, in_pieces, streamed, with_hints, refused, intercepted, pipelined]


@pytest.mark.parametrize("buffering", [{}, {"request": True, "response": True}], ids=["streaming", "buffered"])
@pytest.mark.parametrize("journey", JOURNEYS, ids=lambda journey: journey.__name__)
@pytest.mark.usefixtures("collector")
def test_a_request_leaves_nothing_behind(journey: Callable[[Served], None], buffering: dict[str, bool]) -> None:
    """After 100 of them the collector finds nothing that is not gone already."""
    site = serve(buffering=buffering, intercept=[404])
    for _ in range(3):  # what is made once: the connections, and what is remembered of heads
        journey(site)
    site.finished.clear()
    gc.collect()
    gc.set_debug(gc.DEBUG_SAVEALL)
    for _ in range(REQUESTS):
        journey(site)
    site.finished.clear()
    gc.collect()
    assert Counter(type(each).__qualname__ for each in gc.garbage) == {}
