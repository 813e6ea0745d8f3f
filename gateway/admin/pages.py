"""What is read on the admin and the probe listener: a function for each page.

Called by `app.py`, which has found it in the table. The rule: a page only tells, and what takes long to write down is
written on a thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from aiohttp import web

from gateway.admin.answers import as_json
from gateway.admin.exposition import snapshot
from gateway.admin.health import liveness, readiness
from gateway.admin.state import AdminState

STATE: web.AppKey[AdminState] = web.AppKey("state", AdminState)
DOCUMENT: web.AppKey[Mapping[str, object]] = web.AppKey("document", Mapping)  # the OpenAPI document
SUMMARIES: web.AppKey[Mapping[str, str]] = web.AppKey("summaries", Mapping)  # path -> what the index says of it


async def index(request: web.Request) -> web.Response:
    links = "\n".join(
        f'<li><a href="{page}">{page}</a> {_escaped(text)}</li>' for page, text in request.app[SUMMARIES].items()
    )
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


async def healthz(_request: web.Request) -> web.Response:
    status, body = liveness()
    return as_json(body, status)


async def readyz(request: web.Request) -> web.Response:
    status, body = readiness(request.app[STATE])
    return as_json(body, status)


async def metrics(request: web.Request) -> web.Response:
    accept = ",".join(request.headers.getall("Accept", []))
    families = await request.app[STATE].families()
    render = snapshot(families, accept, request.query.getall("name[]", []))
    content_type, body = await asyncio.get_running_loop().run_in_executor(None, render)
    return web.Response(body=body, headers={"Content-Type": content_type})


async def status(request: web.Request) -> web.Response:
    state = request.app[STATE]
    ready, reasons = state.ready()
    reload = state.last_reload()
    return as_json(
        {
            "version": state.version,
            "ready": ready,
            "reasons": list(reasons),
            "generation": state.generation(),
            "last_reload": {"at": reload.at, "ok": reload.ok, "text": reload.text},
            **await state.status(),
        }
    )


async def config(request: web.Request) -> web.Response:
    state = request.app[STATE]
    return await asyncio.get_running_loop().run_in_executor(None, lambda: as_json(state.config()))


async def routes(request: web.Request) -> web.Response:
    state = request.app[STATE]
    return await asyncio.get_running_loop().run_in_executor(None, lambda: as_json(list(state.routes())))


async def upstreams(request: web.Request) -> web.Response:
    return as_json(list(await request.app[STATE].upstreams()))


async def certificates(request: web.Request) -> web.Response:
    return as_json([entry._asdict() for entry in request.app[STATE].certificates()])


async def errors(request: web.Request) -> web.Response:
    recent = request.app[STATE].recent_errors
    return as_json(list(await recent()) if recent is not None else [])


async def openapi(request: web.Request) -> web.Response:
    return as_json(request.app[DOCUMENT])
