"""A small application to put the gateway before: `python examples/demo/app.py [--listen 127.0.0.1:3000]`.

It has a page of each kind that a gateway must carry: a plain page, JSON, an echo of what arrived, a slow answer,
server-sent events, a WebSocket and an upload. It trusts whoever speaks to it, as an application behind a gateway does.
"""

from __future__ import annotations

import argparse
import asyncio
import errno
import hashlib
import json
import signal
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from aiohttp import WSMsgType, web

PAGE = (Path(__file__).parent / "page.html").read_text()
STOPPING = web.AppKey("stopping", asyncio.Event)


async def home(request: web.Request) -> web.Response:
    page = PAGE.replace("{{path}}", json.dumps(request.path_qs).replace("<", "\\u003c"))
    return web.Response(text=page, content_type="text/html")


async def clock(request: web.Request) -> web.Response:
    return web.json_response({"time": datetime.now(UTC).isoformat(), "id": request.headers.get("X-Request-ID", "")})


async def echo(request: web.Request) -> web.Response:
    """What the gateway sent: request line, fields in their order, and the size of the body."""
    size = 0
    async for chunk in request.content.iter_any():
        size += len(chunk)
    return web.json_response(
        {
            "method": request.method,
            "target": request.raw_path,
            "peer": request.remote,
            "fields": [(name + b": " + value).decode("latin-1") for name, value in request.raw_headers],
            "body_bytes": size,
        },
        dumps=lambda value: json.dumps(value, indent=2) + "\n",
    )


async def slow(request: web.Request) -> web.Response:
    """Answers after ?seconds=2 (at most 60)."""
    try:
        seconds = min(max(float(request.query.get("seconds", "2")), 0.0), 60.0)
    except ValueError:
        raise web.HTTPBadRequest(text="seconds is a number, as in /slow?seconds=2\n") from None
    await asyncio.sleep(seconds)
    return web.Response(text=f"{seconds:g} seconds later\n")


async def events(request: web.Request) -> web.StreamResponse:
    """Server-sent events: the time, once a second, for ?count=10 of them (0: for ever)."""
    count = int(request.query.get("count", "10"))
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
    await response.prepare(request)
    sent = 0
    while not request.app[STOPPING].is_set() and (count == 0 or sent < count):
        await response.write(f"id: {sent}\ndata: {time.strftime('%H:%M:%S')}\n\n".encode())
        sent += 1
        if sent != count:
            await asyncio.sleep(1)
    return response


async def socket(request: web.Request) -> web.WebSocketResponse:
    """A WebSocket that says everything back."""
    connection = web.WebSocketResponse(heartbeat=30)
    await connection.prepare(request)
    async for message in connection:
        if message.type is WSMsgType.TEXT:
            await connection.send_str(message.data)
        elif message.type is WSMsgType.BINARY:
            await connection.send_bytes(message.data)
    return connection


async def upload(request: web.Request) -> web.Response:
    """Counts and digests a body of any size without holding it."""
    size, digest, begun = 0, hashlib.sha256(), time.monotonic()
    async for chunk in request.content.iter_any():
        size += len(chunk)
        digest.update(chunk)
    seconds = round(time.monotonic() - begun, 3)
    return web.json_response({"bytes": size, "sha256": digest.hexdigest(), "seconds": seconds})


def build() -> web.Application:
    app = web.Application(client_max_size=0)
    app[STOPPING] = asyncio.Event()
    app.add_routes(
        [
            web.get("/", home),
            web.get("/api/time", clock),
            web.route("*", "/echo", echo),
            web.get("/slow", slow),
            web.get("/events", events),
            web.get("/ws", socket),
            web.post("/upload", upload),
        ]
    )
    return app


async def serve(host: str, port: int) -> int:
    app = build()
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=2)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, reuse_address=True).start()
    except OSError as error:
        await runner.cleanup()
        if error.errno != errno.EADDRINUSE:
            raise
        print(
            f"demo: port {port} of {host} is taken; see by whom with: ss -ltnp 'sport = :{port}'",
            file=sys.stderr,
        )
        return 3
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, app[STOPPING].set)
    await app[STOPPING].wait()
    await runner.cleanup()
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description="A small application to put the gateway before.")
    parser.add_argument("--listen", default="127.0.0.1:3000", metavar="ADDR:PORT")
    host, _, port = parser.parse_args().listen.rpartition(":")
    return asyncio.run(serve(host.strip("[]"), int(port)))


if __name__ == "__main__":
    sys.exit(main())
