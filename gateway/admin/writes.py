"""perform: the way of a write: who asks, what exactly, is it done, and a line in the audit log whatever came of it.

Called by `app.py` for every operation that changes something. The rule: nothing is done before the token (or the client
certificate) and the whole body have been looked at, and nothing is done or refused without a trace.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson
import structlog
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from gateway.admin.access import Access, Asked, Unheard
from gateway.admin.actions import ActionRefused, Change
from gateway.admin.answers import as_json, problem
from gateway.admin.bodies import MOST_BYTES, read_body
from gateway.admin.pages import STATE
from gateway.admin.table import Operation
from gateway.schema import Model


class Writing(NamedTuple):
    """What writes need: the rules, and the connections on which one is under way (serve.py does not cut those)."""

    access: Access
    busy: set[Any]


class Line(NamedTuple):
    """One line of the audit log. `by` is "" where it is not known who asked."""

    by: str
    peer: str
    what: str
    body: str
    request_id: str


async def perform(
    request: web.Request, operation: Operation, words: Mapping[str, str], writing: Writing, request_id: str
) -> web.Response:
    """The answer to a write, when it has happened."""
    assert operation.order is not None  # noqa: S101  # app.py has seen to it
    began = time.monotonic()
    asked = asked_by(request)
    line = Line("", asked.peer, f"{operation.method} {request.rel_url.raw_path}", "", request_id)
    try:
        line = line._replace(by=writing.access.who(asked))
        body = await _body(request, operation)
        line = line._replace(body=_text(body.model_dump(by_alias=True, exclude_unset=True)) if body else "")
        writing.busy.add(request.protocol)  # not before: whoever sends a body has no more time than others
        change = await operation.order(request.app[STATE], words, body)
    except Unheard as refused:
        return _refusal(refused)
    except ActionRefused as refused:
        _note(line, began, "refused", status=refused.status, why=_why(refused))
        return _refusal(refused)
    except BaseException:
        _note(line, began, "failed", status=500)
        raise
    finally:
        writing.busy.discard(request.protocol)
    _note(line, began, "done", status=200, change=change)
    return as_json(change._asdict())


def asked_by(request: web.Request) -> Asked:
    """Who sent a request, as far as it says."""
    fields = request.headers
    transport = request.transport
    shown = transport.get_extra_info("peercert") if transport is not None else None
    return Asked(
        peer=request.remote or "unix",
        subject=subject_of(shown) if shown else "",
        host=fields.get("Host", ""),
        origin=fields.get("Origin", ""),
        site=fields.get("Sec-Fetch-Site", ""),
        authorization=fields.get("Authorization", ""),
    )


def subject_of(shown: Mapping[str, Any]) -> str:
    """A client certificate's subject, as `SSLSocket.getpeercert` shows it: "commonName=ops,organizationName=o"; its
    serial number where it has none."""
    parts = [f"{name}={value}" for pairs in shown.get("subject", ()) for name, value in pairs]
    return ",".join(reversed(parts)) or f"serial={shown.get('serialNumber', '?')}"


async def _body(request: web.Request, operation: Operation) -> Model | None:
    if operation.body is not None:
        coded = request.headers.get("Content-Encoding", "identity")
        if request.content_type != "application/json" or coded.lower() != "identity":
            raise ActionRefused(415, "send the body as Content-Type: application/json")
    try:
        body = await request.read() if request.body_exists else b""
    except web.HTTPRequestEntityTooLarge:
        raise ActionRefused(413, f"a body has at most {MOST_BYTES} bytes") from None
    except (HttpProcessingError, web.RequestPayloadError, ConnectionError):
        raise ActionRefused(400, "the body cannot be read") from None
    if operation.body is not None:
        return read_body(body, operation.body)
    if body:
        raise ActionRefused(400, "this takes no body")
    return None


def _refusal(refused: ActionRefused) -> web.Response:
    return problem(refused.status, refused.detail, refused.fields, refused.mistakes)


def _why(refused: ActionRefused) -> str:
    said = [f"{one.pointer} {one.detail}".strip() for one in refused.mistakes]
    return "; ".join([refused.detail, *said])


def _note(line: Line, began: float, outcome: str, *, status: int, why: str = "", change: Change | None = None) -> None:
    # Whatever the level of the log is: who could turn it down could hide the rest.
    log = structlog.wrap_logger(None, wrapper_class=structlog.make_filtering_bound_logger(0))
    told = {
        **line._asdict(),
        "outcome": outcome,
        "status": status,
        "why": why,
        "before": _text(change.before) if change else "",
        "after": _text(change.after) if change else "",
        "seconds": round(time.monotonic() - began, 3),
    }
    log.info("admin write", **{name: value for name, value in told.items() if value != ""})


def _text(value: Any) -> str:
    return orjson.dumps(value, default=str).decode()
