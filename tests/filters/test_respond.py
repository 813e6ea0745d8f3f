"""respond: a fixed answer, made once."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from gateway.filters.respond import MAX_BODY, Config, build
from gateway.hooks import Shared
from gateway.http.message import Response
from tests.kit.exchanges import make_exchange


def reply(**config: Any) -> Response:
    """The answer to any request."""
    hooks = build(Config(**config), Shared())
    assert hooks.admit is not None
    verdict = hooks.admit(make_exchange())
    assert verdict is not None
    assert verdict.by == "respond"
    again = hooks.admit(make_exchange())
    assert again is not None
    assert again.reply is verdict.reply, "made once, and copied by the pipeline"
    return verdict.reply


def test_defaults() -> None:
    """200, empty, without a media type."""
    found = reply()
    assert (found.status, found.body, found.fields, found.length) == (200, b"", [], 0)


def test_body_and_fields() -> None:
    """The body in UTF-8, the media type, constant fields; `${…}` in a body is text."""
    found = reply(status=503, body="zurück ${host}", content_type="text/html", headers={"Retry-After": "60"})
    assert (found.status, found.body) == (503, "zurück ${host}".encode())
    assert found.fields == [(b"content-type", b"text/html"), (b"retry-after", b"60")]
    assert found.length == len(found.body or b"")


@pytest.mark.parametrize(
    ("keys", "advice"),
    [
        ({"status": 100}, "not a final status"),
        ({"status": 299}, "not a final status"),
        ({"status": 600}, "not a final status"),
        ({"status": 204, "body": "x"}, "has no body"),
        ({"status": 304, "body": "x"}, "has no body"),
        ({"body": "x" * (MAX_BODY + 1)}, "are allowed here"),
        ({"content_type": "html"}, "is not a media type"),
        ({"content_type": "text/html\r\nx: y"}, "line ends"),
        ({"headers": {"Content-Type": "a/b"}}, "`content_type`"),
        ({"headers": {"Content-Length": "1"}}, "counts the body"),
        ({"headers": {"X": "${path}"}}, "`response_headers`"),
    ],
)
def test_slips(keys: dict[str, Any], advice: str) -> None:
    """Each message says what to write."""
    with pytest.raises(ValidationError) as caught:
        Config(**keys)
    assert advice in caught.value.errors()[0]["msg"]
