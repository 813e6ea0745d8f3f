"""The admin and probe applications: health, metrics, and what the gateway is doing, over HTTP.

Imported by serve.py once the data plane answers, for aiohttp takes its time. The rule: read-only; every answer is safe
to show to whoever may reach the port; and no web page can make a browser read it (names in Host are checked).
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable, Iterable
from http import HTTPStatus
from typing import Any, TypeAlias

import orjson
import structlog
from aiohttp import web

from gateway.admin.exposition import snapshot
from gateway.admin.health import liveness, readiness
from gateway.admin.state import AdminState

STATE: web.AppKey[AdminState] = web.AppKey("state", AdminState)

# Page, and what the index says of it.
PAGES = {
    "/healthz": "alive: 200 while the event loop runs",
    "/readyz": "ready for traffic: 200, or 503 with the reasons",
    "/metrics": "metrics for Prometheus",
    "/status": "what is being served",
    "/upstreams": "endpoints and their connections",
    "/certificates": "certificates and their last days",
    "/config": "the configuration in force, without secrets",
}

_FIELDS = {
    "Cache-Control": "no-store",
    # One request a connection: with the deadline of serve.py, nobody holds one open for longer.
    "Connection": "close",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_ALLOWED = "GET, HEAD"

_Page: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]


def make_admin(state: AdminState, hosts: Iterable[str] = ()) -> web.Application:
    """Everything. `hosts` are names it may be asked for beside localhost and addresses."""
    allowed = frozenset(name.lower().rstrip(".") for name in ("localhost", *hosts))
    pages: dict[str, _Page] = {
        "/": _index,
        **_PROBES,
        "/status": _status,
        "/upstreams": _upstreams,
        "/certificates": _certificates,
        "/config": _config,
    }
    return _make(state, pages, allowed)


def make_probe(state: AdminState) -> web.Application:
    """/healthz, /readyz and /metrics only, under any name: orchestrators reach it as they like."""
    return _make(state, _PROBES, None)


def _make(state: AdminState, pages: dict[str, _Page], allowed: frozenset[str] | None) -> web.Application:
    """One route for everything: a middleware would see requests only after aiohttp has answered some by itself."""

    async def answer(request: web.Request) -> web.StreamResponse:
        if allowed is not None and not is_allowed_host(request.headers.get("Host", ""), allowed):
            return _problem(421, "this name is not served here; an operator may add it to admin.hosts")
        if request.method not in {"GET", "HEAD"}:
            return _problem(405, "this port only answers questions: GET and HEAD", {"Allow": _ALLOWED})
        page = pages.get(request.path)
        if page is None:
            return _problem(404, "")
        try:
            return await page(request)
        except Exception:  # noqa: BLE001  # a page that fails is an answer, not a traceback to whoever asked
            structlog.get_logger("gateway.admin").exception("an admin page failed", path=request.path)
            return _problem(500, "the log says more")

    application = web.Application()
    application[STATE] = state
    application.router.add_route("*", "/{path:.*}", answer)
    application.on_response_prepare.append(_finish)
    return application


def is_allowed_host(host: str, allowed: frozenset[str]) -> bool:
    """Whether a Host field names us: an address (nobody can point a name of theirs at that), or a name we know.

    No Host at all is a program, not a browser (RFC 9112 §3.2 makes HTTP/1.1 clients send one; 1.0 need not).
    """
    if not host:
        return True
    name = host.rpartition("]")[0].removeprefix("[") if host.startswith("[") else host.partition(":")[0]
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name.lower().rstrip(".") in allowed
    return True


async def _finish(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers.popall("Server", None)
    for name, value in _FIELDS.items():
        response.headers[name] = value
    response.force_close()


def _json(value: Any, status: int = 200) -> web.Response:
    options = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS
    body = orjson.dumps(value, default=str, option=options)
    return web.Response(body=body, status=status, content_type="application/json")


def _problem(status: int, detail: str, fields: dict[str, str] | None = None) -> web.Response:
    """An error as RFC 9457 has it."""
    problem = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status}
    if detail:
        problem["detail"] = detail
    return web.Response(
        body=orjson.dumps(problem), status=status, headers=fields, content_type="application/problem+json"
    )


async def _index(request: web.Request) -> web.Response:
    links = "\n".join(f'<li><a href="{page}">{page}</a> {text}</li>' for page, text in PAGES.items())
    ready, reasons = request.app[STATE].ready()
    word = "ready" if ready else f"not ready: {'; '.join(reasons)}"
    # Reasons are our own words; whatever they quote is escaped all the same.
    page = (
        '<!doctype html>\n<html lang="en"><meta charset="utf-8"><meta name="color-scheme" content="light dark">'
        '<meta name="viewport" content="width=device-width"><title>gateway</title>\n'
        f"<h1>gateway</h1>\n<p>Configuration {request.app[STATE].generation()}, {_escaped(word)}.</p>\n"
        f"<ul>\n{links}\n</ul>\n</html>\n"
    )
    return web.Response(text=page, content_type="text/html")


def _escaped(words: str) -> str:
    return words.replace("&", "&amp;").replace("<", "&lt;")


async def _healthz(_request: web.Request) -> web.Response:
    status, body = liveness()
    return _json(body, status)


async def _readyz(request: web.Request) -> web.Response:
    status, body = readiness(request.app[STATE])
    return _json(body, status)


async def _metrics(request: web.Request) -> web.Response:
    accept = ",".join(request.headers.getall("Accept", []))
    render = snapshot(request.app[STATE].metrics, accept, request.query.getall("name[]", []))
    content_type, body = await asyncio.get_running_loop().run_in_executor(None, render)
    return web.Response(body=body, headers={"Content-Type": content_type})


async def _status(request: web.Request) -> web.Response:
    state = request.app[STATE]
    ready, reasons = state.ready()
    reload = state.last_reload()
    return _json(
        {
            "version": state.version,
            "ready": ready,
            "reasons": list(reasons),
            "generation": state.generation(),
            "last_reload": {"at": reload.at, "ok": reload.ok, "text": reload.text},
            **state.status(),
        }
    )


async def _upstreams(request: web.Request) -> web.Response:
    return _json(list(request.app[STATE].upstreams()))


async def _certificates(request: web.Request) -> web.Response:
    return _json([entry._asdict() for entry in request.app[STATE].certificates()])


async def _config(request: web.Request) -> web.Response:
    # Thousands of routes take a while to write down: on a thread.
    state = request.app[STATE]
    return await asyncio.get_running_loop().run_in_executor(None, lambda: _json(state.config()))


_PROBES: dict[str, _Page] = {"/healthz": _healthz, "/readyz": _readyz, "/metrics": _metrics}
