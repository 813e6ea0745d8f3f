"""The admin and probe applications: from a request to its row in the table, and to an answer.

Imported by serve.py once the data plane answers, for aiohttp takes its time. The rule: whatever is asked gets an answer
of ours (RFC 9457 for errors), never aiohttp's own; and no web page can make a browser read one (names in Host are
checked).
"""

from __future__ import annotations

import time

import structlog
from aiohttp import web

from gateway.admin.access import Access
from gateway.admin.answers import finish, problem
from gateway.admin.bodies import MOST_BYTES
from gateway.admin.openapi import document
from gateway.admin.pages import DOCUMENT, STATE, SUMMARIES
from gateway.admin.state import AdminState
from gateway.admin.table import OPERATIONS, Operation, Table
from gateway.admin.writes import Writing, perform
from gateway.filters.request_id import maker

REQUEST_ID = "X-Request-ID"


def make_admin(state: AdminState, writing: Writing) -> web.Application:
    """Everything."""
    return _make(state, OPERATIONS, writing)


def make_probe(state: AdminState) -> web.Application:
    """/healthz, /readyz and /metrics only, under any name: orchestrators reach it as they like."""
    return _make(state, tuple(one for one in OPERATIONS if one.probe), None)


def _make(state: AdminState, operations: tuple[Operation, ...], writing: Writing | None) -> web.Application:
    """One route for everything: a middleware would see requests only after aiohttp has answered some by itself."""
    table = Table(operations)
    make_id = maker(time.time)

    async def answer(request: web.Request) -> web.StreamResponse:
        request_id = make_id().decode()
        try:
            response = await _answer(request, table, writing, request_id)
        except Exception:  # a page that fails is an answer, not a traceback to whoever asked
            log = structlog.get_logger("gateway.admin")
            log.exception("an admin page failed", path=request.path, request_id=request_id)
            response = problem(500, "the log says more")
        response.headers[REQUEST_ID] = request_id
        return response

    application = web.Application(client_max_size=MOST_BYTES)
    application[STATE] = state
    application[DOCUMENT] = document(operations, state.version)
    application[SUMMARIES] = {one.path: one.summary for one in operations if one.page and one.path != "/"}
    application.router.add_route("*", r"/{path:[\s\S]*}", answer)
    application.on_response_prepare.append(finish)
    return application


async def _answer(request: web.Request, table: Table, writing: Writing | None, request_id: str) -> web.Response:
    access: Access | None = writing.access if writing is not None else None
    if access is not None and not access.may_read(request.headers.get("Host", "")):
        return problem(421, "this name is not served here; an operator may add it to admin.hosts")
    found = table.find(request.rel_url.raw_path)
    if found is None:
        return problem(404, "")
    operation = found.operation(request.method)
    if operation is None:
        return problem(405, f"this takes {found.allowed} only", {"Allow": found.allowed})
    if operation.page is not None:
        return await operation.page(request)
    if writing is None:
        return problem(404, "")
    return await perform(request, operation, found.words, writing, request_id)
