"""Answers of the admin listener: JSON values and problem details, and the fields that all of them carry.

Made by `pages.py`, `writes.py` and `app.py`. The rule: no answer is stored, framed or read by a page of another origin,
and none names a version of what it is built with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from aiohttp import web

from gateway.admin.actions import Mistake
from gateway.http.status import REASONS

PROBLEM = "application/problem+json"  # RFC 9457

_FIELDS = {
    "Cache-Control": "no-store",
    # One request a connection: with the deadline of serve.py, nobody holds one open for longer.
    "Connection": "close",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def as_json(value: Any, status: int = 200) -> web.Response:
    """A value as people may read it, too."""
    options = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS
    body = orjson.dumps(value, default=str, option=options)
    return web.Response(body=body, status=status, content_type="application/json")


def problem(
    status: int, detail: str, fields: Mapping[str, str] | None = None, mistakes: Sequence[Mistake] = ()
) -> web.Response:
    """An error as RFC 9457 has it; `errors` names each mistake, with its place in the request body where it has one."""
    said: dict[str, Any] = {"type": "about:blank", "title": REASONS[status].decode(), "status": status}
    if detail:
        said["detail"] = detail
    if mistakes:
        said["errors"] = [{name: value for name, value in one._asdict().items() if value} for one in mistakes]
    return web.Response(body=orjson.dumps(said), status=status, headers=fields, content_type=PROBLEM)


async def finish(_request: web.Request, response: web.StreamResponse) -> None:
    """Puts the fields of every answer on one; for `on_response_prepare`."""
    response.headers.popall("Server", None)
    for name, value in _FIELDS.items():
        response.headers[name] = value
    response.force_close()
