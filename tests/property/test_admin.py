"""Whatever is sent to the admin listener: never a 500, never a status that is not published, never without a reason."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import pytest
import uvloop
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.admin.access import Attempts
from gateway.admin.openapi import document
from gateway.admin.schemas import PROBLEM
from gateway.admin.table import OPERATIONS, Table
from tests.kit.admin import ENDPOINTS, TOKEN, Answer, FakeGateway, ask, running
from tests.kit.json_schema import mistakes

TABLE = Table(OPERATIONS)
PUBLISHED = document(OPERATIONS, "1")["paths"]

names = st.sampled_from(["app", "all", *ENDPOINTS]) | st.text(max_size=8)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=12)
keys = st.sampled_from(["weight", "level", "for", "on", "message", "retry_after"]) | st.text(max_size=6)
values = scalars | st.sampled_from(["debug", "info", "10m", "1s", "5m"]) | st.lists(scalars, max_size=3)
bodies = (
    st.none()
    | st.binary(max_size=40)
    | st.builds(lambda value: json.dumps(value).encode(), st.dictionaries(keys, values))
)
methods = st.sampled_from(["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
field_values = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=20)
fields = st.dictionaries(
    st.sampled_from(["Host", "Origin", "Sec-Fetch-Site", "Content-Type", "Accept", "Expect", "Content-Encoding"]),
    field_values | st.sampled_from(["application/json", "same-origin", "gzip", "100-continue"]),
    max_size=2,
)


@st.composite
def targets(draw: Any) -> str:
    """A path of the table with names in it, or nearly one, and perhaps a query."""
    path = draw(st.sampled_from([one.path for one in OPERATIONS]))
    for name in ("{upstream}", "{endpoint}", "{route}"):
        if name in path:
            path = path.replace(name, quote(draw(names), safe=draw(st.sampled_from(["", ":%"]))))
    return str(path + draw(st.sampled_from(["", "", "", "/", "x", "?a=%ff", "?name[]=x"])))


@st.composite
def requests(draw: Any) -> tuple[str, str, bytes]:
    """(method, target, the whole request); most have the token."""
    method, target, body = draw(methods), draw(targets()), draw(bodies)
    named = {"Host": "localhost", "Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    if draw(st.integers(0, 9)) == 0:
        del named["Authorization"]
    named |= draw(fields)
    if body is not None:
        named["Content-Length"] = str(len(body))
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in named.items()), "", ""]
    return method, target, "\r\n".join(lines).encode() + (body or b"")


@pytest.fixture(scope="module")
def send() -> Iterator[Callable[[bytes], Answer]]:
    """A function that asks one admin listener, whose gateway does whatever it is asked."""
    patch = pytest.MonkeyPatch()
    patch.setattr(Attempts, "failed", lambda *_: None)  # or most would be answered 429
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        listener = running(FakeGateway(), token=TOKEN)
        admin, _probe = runner.run(listener.__aenter__())
        yield lambda request: runner.run(ask(admin, request))
        runner.run(listener.__aexit__(None, None, None))
    patch.undo()


@given(request_=requests())
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
def test_every_answer_is_a_published_one(send: Callable[[bytes], Answer], request_: tuple[str, str, bytes]) -> None:
    """A success fits its schema, a refusal is problem details with a published status."""
    method, target, sent = request_
    answer = send(sent)
    assert answer.status < 500, answer.body
    if "x-request-id" not in answer.fields:
        assert answer.status in {400, 417}  # bytes that are no request to aiohttp: it never came to us
        return
    found = TABLE.find(target.partition("?")[0])
    operation = found.operation(method) if found is not None else None
    if operation is None:
        assert answer.status in {404, 405, 421}
    else:
        described = PUBLISHED[operation.path][operation.method.lower()]["responses"]
        assert str(answer.status) in described
        if method != "HEAD" and answer.status == 200 and operation.answer is not None:
            assert mistakes(answer.json, operation.answer) == []
    if method != "HEAD" and answer.status != 200:
        assert answer.fields["content-type"] == "application/problem+json"
        assert mistakes(answer.json, PROBLEM) == []
