"""`python bench/conversations.py [NAME...]`: wire conversations in this process, timed: what each feature costs.

Real protocols, real bytes and a real configuration, without sockets, so that a figure is the gateway's own work to a
few per cent, where whole processes scatter by fifteen. Each conversation is held a thousand times and that twenty times
over; the figure is the fastest run, for whatever slowed the others was not the code.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import gc
import json
import os
import pstats
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, NamedTuple, cast

if __package__ in (None, ""):  # run as a file: this folder's parent holds the package
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from bench.load import BROWSER
from gateway.config import load
from gateway.eager import EagerTask
from gateway.exchange import Connection
from gateway.http.head import ResponseHeadReader
from gateway.log_writer import LogOutputs
from gateway.server.http1 import Http1
from gateway.site import Services, build_site
from gateway.upstream.pool import Pool, Wires
from gateway.upstream.settings import PoolConfig
from gateway.worker import Worker

RUNS = 20
TIMES = 1000  # conversations in a run

_ANSWER = b"HTTP/1.1 200 OK\r\nServer: nginx\r\nContent-Type: text/html\r\nContent-Length: 1024\r\n\r\n" + b"x" * 1024
_CHUNKED = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n400\r\n"
    + b"x" * 1024
    + b"\r\n0\r\n\r\n"
)
_PROXY = "routes: [{match: {path: /*}, upstream: small}]"


class Conversation(NamedTuple):
    """What is said: to the gateway by the client, to the gateway by the origin (b"": it is not asked)."""

    name: str
    request: bytes
    answer: bytes
    settings: str  # YAML beside listeners and upstreams


def _request(method: str = "GET", target: str = "/catalogue?page=2", body: bytes = b"") -> bytes:
    fields = {"Host": "shop.example.com"} | BROWSER | ({"Content-Length": str(len(body))} if body else {})
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def _many_routes(count: int) -> str:
    rows = [
        {"match": {"path": f"/area{number % 50}/item{number // 50}/*"}, "upstream": "small"} for number in range(count)
    ]
    return "routes: " + json.dumps([*rows, {"match": {"path": "/*"}, "upstream": "small"}])


def conversations() -> list[Conversation]:
    """All of them: the default first, then each with one thing more or less."""
    get = _request()
    return [
        Conversation("proxied", get, _ANSWER, _PROXY),
        Conversation("proxied, chunked answer", get, _CHUNKED, _PROXY),
        Conversation("proxied, 1 KB posted", _request("POST", "/cart", b"y" * 1024), _ANSWER, _PROXY),
        Conversation("proxied, path to normalise", _request(target="/a/./b/%7euser/../c"), _ANSWER, _PROXY),
        Conversation("proxied, no access log", get, _ANSWER, f"access_log: off\n{_PROXY}"),
        Conversation("proxied, no security headers", get, _ANSWER, f"security_headers: {{preset: off}}\n{_PROXY}"),
        Conversation("proxied, request fields edited", get, _ANSWER,
                     f"request_headers: {{set: {{X-Site: shop, X-Seen: '${{host}}'}}}}\n{_PROXY}"),
        Conversation("proxied, response fields edited", get, _ANSWER,
                     f"response_headers: {{set: {{X-Site: shop}}, remove: [Etag]}}\n{_PROXY}"),
        Conversation("proxied, behind a trusted peer", get, _ANSWER, f"real_ip: {{trusted: [127.0.0.0/8]}}\n{_PROXY}"),
        Conversation("proxied, 5,000 routes", _request(target="/area7/item31/page"), _ANSWER, _many_routes(5000)),
        Conversation("denied", get, b"", "routes: [{match: {path: /*}, respond: {status: 403, body: 'no'}}]"),
        Conversation("redirected", get, b"",
                     "routes: [{match: {path: /*}, redirect: {to: 'https://b.example/x', status: 308}}]"),
        Conversation("redirected, with variables", get, b"",
                     "routes: [{match: {path: /*}, redirect: {to: 'https://b.example${uri}', status: 308}}]"),
    ]  # fmt: skip


class _Wire:
    """A transport that forgets what is written, and counts it."""

    __slots__ = ("closed", "written")

    def __init__(self) -> None:
        self.written = 0
        self.closed = False

    def write(self, piece: bytes) -> None:
        self.written += len(piece)

    def writelines(self, pieces: list[bytes]) -> None:
        for piece in pieces:
            self.written += len(piece)

    def close(self) -> None:
        self.closed = True

    abort = close

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        pass

    resume_reading = write_eof = pause_reading

    def get_write_buffer_size(self) -> int:
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def get_extra_info(self, name: str, default: object = None) -> object:
        return default


class _Lines:
    """Stands for LogOutputs: keeps the lines of a run, which its caller forgets between two."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []

    def open(self, output: str) -> Callable[[bytes], None]:
        return self.lines.append


class Hall:
    """Where one conversation is held: a worker with its site, one client, and an origin that answers when told."""

    def __init__(self, conversation: Conversation, folder: Path) -> None:
        path = folder / "config.yaml"
        path.write_text(
            "listeners: [{bind: '127.0.0.1:8080'}]\n"
            "upstreams: {small: {endpoints: ['http://127.0.0.1:3000']}}\n" + conversation.settings + "\n"
        )
        loaded = load(path)
        self._conversation = conversation
        self._log = _Lines()
        clock = asyncio.get_running_loop().time
        services = Services(clock=clock, logs=cast("LogOutputs", self._log))
        site = build_site(loaded, services)
        self._worker = Worker(site, loaded.config.downstream, services.metrics, services.sweep, _crash)
        self._origins: list[Any] = []
        wires = Wires(ResponseHeadReader(), services.sweep, clock, _spawn)
        for upstream in site.upstreams.values():
            for endpoint in upstream.endpoints:
                endpoint.pool = Pool(PoolConfig(), self._dial, wires)

    async def _dial(self, make: Callable[[], Any], seconds: float) -> Any:
        made = make()
        made.connection_made(_Wire())
        self._origins.append(made)
        return made

    def run(self, times: int) -> float:
        """Seconds for `times` conversations on one new connection."""
        wire = self._worker.wire
        client = Http1(Connection("127.0.0.1", 40000, "127.0.0.1:8080", "127.0.0.1:8080", wire.clock()), wire)
        transport = _Wire()
        client.connection_made(transport)
        request, answer = self._conversation.request, self._conversation.answer
        self._hold(client, request, answer)
        if not transport.written:
            raise SystemExit(f"{self._conversation.name}: no answer")
        seconds = self._timed(client, request, answer, times)
        if transport.closed:
            raise SystemExit(f"{self._conversation.name}: the connection was closed")
        client.connection_lost(None)
        self._log.lines.clear()
        return seconds

    def _hold(self, client: Http1, request: bytes, answer: bytes) -> None:
        client.data_received(request)
        if answer:
            self._origins[-1].data_received(answer)

    def _timed(self, client: Http1, request: bytes, answer: bytes, times: int) -> float:
        listen = client.data_received
        if not answer:
            begun = time.perf_counter()
            for _ in range(times):
                listen(request)
            return time.perf_counter() - begun
        told = self._origins[-1].data_received
        begun = time.perf_counter()
        for _ in range(times):
            listen(request)
            told(answer)
        return time.perf_counter() - begun


def _crash(error: BaseException) -> None:
    raise error


def _spawn(coroutine: Coroutine[Any, Any, None]) -> object:
    return EagerTask(coroutine, _crash)


async def measure(conversation: Conversation, runs: int = RUNS, times: int = TIMES) -> float:
    """Microseconds of one conversation: the fastest of `runs` runs."""
    with tempfile.TemporaryDirectory(prefix="gateway-bench-") as folder:
        hall = Hall(conversation, Path(folder))
        hall.run(200)  # caches and specialised bytecode
        gc.collect()
        gc.freeze()
        return min(hall.run(times) for _ in range(runs)) / times * 1e6


async def profile(conversation: Conversation) -> None:
    """Prints the functions that the conversation spends most in. Counting calls dearly, it exaggerates small ones."""
    with tempfile.TemporaryDirectory(prefix="gateway-bench-") as folder:
        hall = Hall(conversation, Path(folder))
        hall.run(200)
        watch = cProfile.Profile()
        watch.runcall(hall.run, TIMES * 5)
        print(f"{conversation.name}, {TIMES * 5} times:")
        pstats.Stats(watch).sort_stats("tottime").print_stats(30)


def main() -> None:
    parser = argparse.ArgumentParser(prog="conversations", description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="only those whose name contains one of these")
    parser.add_argument("--json", metavar="FILE", help="write the figures as JSON too")
    parser.add_argument("--profile", action="store_true", help="say where the time of each goes, function by function")
    options = parser.parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    figures: dict[str, float] = {}
    for conversation in conversations():
        if options.names and not any(name in conversation.name for name in options.names):
            continue
        if options.profile:
            asyncio.run(profile(conversation))
            continue
        figures[conversation.name] = asyncio.run(measure(conversation))
        first = next(iter(figures.values()))
        print(
            f"{conversation.name:34} {figures[conversation.name]:7.2f} us  {figures[conversation.name] - first:+7.2f}"
        )
    if options.json:
        Path(options.json).write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
