"""An admin listener on a port of its own, with a gateway behind it that only remembers what it was asked.

For the tests of `gateway/admin` and of `gateway ctl`. What is asked and answered passes real sockets.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from gateway.admin.actions import ActionRefused, Actions, Change, Maintenance
from gateway.admin.serve import start_admin
from gateway.admin.settings import AdminConfig
from gateway.admin.state import AdminState, Reload
from gateway.metrics import Family, Metrics

TOKEN = "0123456789abcdef0123456789abcdef"
ENDPOINTS = ("10.0.0.5:3000", "unix:/run/app.sock")


class Answer(NamedTuple):
    """An answer as read from the wire; `fields` in lower case."""

    status: int
    fields: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class FakeGateway:
    """Stands for the gateway: what the admin side is told of it, and what it was asked to do (`asked`).

    reasons    why it is not ready
    broken     reading its configuration raises
    faulty     what a reload finds wrong
    hold       a reload waits for this
    """

    def __init__(self, state_dir: Path | None = None, folder: Path | None = None) -> None:
        self.metrics = Metrics()
        self.reasons: list[str] = []
        self.broken = False
        self.faulty = ""
        self.hold: asyncio.Event | None = None
        self.generation = 3
        self.asked: list[tuple[Any, ...]] = []
        self.drained: set[str] = set()
        self.errors: list[dict[str, Any]] = []
        self.state = AdminState(
            metrics=self.metrics,
            version="9.9.9",
            ready=self.ready,
            generation=lambda: self.generation,
            last_reload=lambda: Reload(1795210613.5, not self.faulty, self.faulty),
            status=self.status,
            config=self.config,
            families=self.families,
            upstreams=self.upstreams,
            routes=lambda: [{"name": "all", "match": {}, "upstream": "app"}],
            recent_errors=self.recent_errors,
            actions=Actions(self.reload, self.drain, self.undrain, self.weight, self.log_level, self.maintenance),
            state_dir=state_dir,
            folder=folder or Path(),
        )

    def ready(self) -> tuple[bool, Sequence[str]]:
        return not self.reasons, self.reasons

    def config(self) -> dict[str, Any]:
        if self.broken:
            raise RuntimeError("secret detail")
        return {"listeners": [{"bind": "0.0.0.0:80"}]}

    async def status(self) -> Mapping[str, Any]:
        return {"connections": 2, "uptime_seconds": 90.0, "listeners": ["0.0.0.0:80"], "workers": [{"pid": 7}]}

    async def families(self) -> Iterable[Family]:
        return list(self.metrics.families())

    async def upstreams(self) -> Sequence[Mapping[str, Any]]:
        states = {"idle": 1, "active": 2, "connecting": 0, "queued": 0}
        return [
            {
                "name": "app",
                "endpoints": [
                    {"name": name, "weight": 1, "connections": states, "drained": name in self.drained}
                    for name in ENDPOINTS
                ],
            }
        ]

    async def recent_errors(self) -> Sequence[Mapping[str, Any]]:
        return self.errors

    # -- what it can be asked for -------------------------------------------------------------------------------------

    async def reload(self, why: str) -> Reload:
        self.asked.append(("reload",))
        if self.hold is not None:
            await self.hold.wait()
        if not self.faulty:
            self.generation += 1
        return Reload(0.0, not self.faulty, self.faulty)

    async def drain(self, upstream: str, endpoint: str) -> Change:
        return self._drained(upstream, endpoint, after=True)

    async def undrain(self, upstream: str, endpoint: str) -> Change:
        return self._drained(upstream, endpoint, after=False)

    def _drained(self, upstream: str, endpoint: str, *, after: bool) -> Change:
        self._find(upstream, endpoint)
        self.asked.append(("drain" if after else "undrain", upstream, endpoint))
        before = endpoint in self.drained
        (self.drained.add if after else self.drained.discard)(endpoint)
        return Change({"drained": before}, {"drained": after})

    async def weight(self, upstream: str, endpoint: str, weight: int) -> Change:
        self._find(upstream, endpoint)
        self.asked.append(("weight", upstream, endpoint, weight))
        return Change({"weight": 1}, {"weight": weight})

    async def log_level(self, level: str, seconds: float) -> Change:
        self.asked.append(("log_level", level, seconds))
        return Change({"level": "info", "seconds": 0.0}, {"level": level, "seconds": seconds})

    async def maintenance(self, wanted: Maintenance | None, route: str) -> Change:
        if route not in {"", "all"}:
            raise ActionRefused(404, f"there is no route {route}")
        self.asked.append(("maintenance", wanted, route))
        return Change({"on": False}, {"on": wanted is not None})

    def _find(self, upstream: str, endpoint: str) -> None:
        if upstream != "app" or endpoint not in ENDPOINTS:
            raise ActionRefused(404, f"there is no endpoint {endpoint} of an upstream {upstream}")


async def ask(address: tuple[str, int] | str, request: bytes, tls: ssl.SSLContext | None = None) -> Answer:
    """Sends bytes and reads until the connection ends."""
    if isinstance(address, str):
        reader, writer = await asyncio.open_unix_connection(address)
    else:
        reader, writer = await asyncio.open_connection(*address, ssl=tls)
    writer.write(request)
    try:
        received = (await reader.read()).removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")
        head, _, body = received.partition(b"\r\n\r\n")
    finally:
        writer.close()
    start, *lines = head.decode().split("\r\n")
    fields = dict(line.split(": ", 1) for line in lines)
    return Answer(int(start.split()[1]), {name.lower(): value for name, value in fields.items()}, body)


def get(path: str, host: str = "localhost", method: str = "GET") -> bytes:
    """A request that reads."""
    return f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()


def write(method: str, path: str, body: Any = None, token: str = TOKEN, **fields: str) -> bytes:
    """A request that changes something: `body` as JSON (or bytes as they are), `fields` with _ for -."""
    lines = [f"{method} {path} HTTP/1.1"]
    sent = b""
    named = {"Host": "localhost"}
    if token:
        named["Authorization"] = f"Bearer {token}"
    if body is not None:
        sent = body if isinstance(body, bytes) else json.dumps(body).encode()
        named |= {"Content-Type": "application/json", "Content-Length": str(len(sent))}
    named |= {name.replace("_", "-"): value for name, value in fields.items()}
    lines += [f"{name}: {value}" for name, value in named.items()]
    return "\r\n".join([*lines, "", ""]).encode() + sent


@asynccontextmanager
async def running(gateway: FakeGateway, **more: Any) -> AsyncIterator[list[Any]]:
    """Both listeners on ports of the system's choice; gives their addresses."""
    config = AdminConfig.model_validate({"bind": "127.0.0.1:0", "probe": "127.0.0.1:0"} | more)
    started = await start_admin(config, gateway.state)
    try:
        yield started.addresses
    finally:
        await started.stop()
        await started.stop()


@contextmanager
def beside(gateway: FakeGateway, **more: Any) -> Iterator[Any]:
    """The admin listener on a thread of its own, for clients that block; gives its address."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    listener = running(gateway, **{"probe": None} | more)
    try:
        (admin,) = asyncio.run_coroutine_threadsafe(listener.__aenter__(), loop).result(30)
        try:
            yield admin
        finally:
            asyncio.run_coroutine_threadsafe(listener.__aexit__(None, None, None), loop).result(30)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(30)
        loop.close()
