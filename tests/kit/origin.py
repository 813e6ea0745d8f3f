"""A real origin on a thread of its own: an asyncio server whose answers are scripted, and which remembers all it got.

A script is a coroutine function `(asked, talk)`; without one for its path a request is answered by an echo of itself in
JSON. Scripts wait for the test by `gate(name)`, which the test opens; the test waits for the origin by `wait_for`.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import ssl
import threading
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Any, TypeAlias

PATIENCE = 30.0
_KEPT = 64 * 1024  # bytes of a request body that are remembered as they are; of longer ones the hash only
_PIECE = 64 * 1024


class Asked:
    """One request as the origin got it; `fields` with lower-case names, in order; `connection` counts from 1."""

    def __init__(self, head: bytes, connection: int) -> None:
        self.raw = head
        self.connection = connection
        line, *lines = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
        self.line = line
        self.method, self.target, self.version = line.split(" ")
        self.fields = [(name.lower(), value.strip()) for name, _, value in (one.partition(":") for one in lines)]
        self.body = b""
        self.length = 0
        self.sent = 0  # for scripts that count
        self.digest = hashlib.sha256()
        self.trailers: list[tuple[str, str]] = []
        self.whole = False

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    def __getitem__(self, name: str) -> str | None:
        found = [value for key, value in self.fields if key == name.lower()]
        return ", ".join(found) if found else None

    def take(self, piece: bytes) -> None:
        self.length += len(piece)
        self.digest.update(piece)
        if self.length <= _KEPT:
            self.body += piece


class Talk:
    """The origin's end of one connection, for scripts."""

    def __init__(self, origin: Origin, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.origin = origin
        self.reader = reader
        self.writer = writer
        self.open = True

    async def read_body(self, asked: Asked) -> None:
        """Reads the request body, whatever its framing."""
        if asked.whole:
            return
        if asked["transfer-encoding"] == "chunked":
            while size := int(await self.reader.readline(), 16):
                await self._read(asked, size)
                assert await self.reader.readexactly(2) == b"\r\n"
            while (line := await self.reader.readline()) != b"\r\n":
                name, _, value = line.decode("latin-1").partition(":")
                asked.trailers.append((name.lower(), value.strip()))
        else:
            await self._read(asked, int(asked["content-length"] or 0))
        asked.whole = True
        self.origin.tell()

    async def _read(self, asked: Asked, size: int) -> None:
        while size:
            piece = await self.reader.read(min(size, _PIECE))
            if not piece:
                raise ConnectionResetError("the request ended too early")
            asked.take(piece)
            size -= len(piece)

    async def write(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self, body: bytes = b"", status: int = 200, *fields: str, method: str = "GET") -> None:
        """A whole response with a Content-Length."""
        lines = [f"HTTP/1.1 {status} Said", *fields, f"Content-Length: {len(body)}", "", ""]
        await self.write("\r\n".join(lines).encode() + (b"" if method == "HEAD" else body))

    async def head(self, *fields: str, status: int = 200) -> None:
        await self.write("\r\n".join([f"HTTP/1.1 {status} Said", *fields, "", ""]).encode())

    async def chunk(self, piece: bytes) -> None:
        await self.write(b"%x\r\n%b\r\n" % (len(piece), piece))

    def close(self) -> None:
        self.open = False


Script: TypeAlias = Callable[[Asked, Talk], Awaitable[None]]


async def echo(asked: Asked, talk: Talk) -> None:
    """The default: the request, as JSON."""
    await talk.read_body(asked)
    told = {"line": asked.line, "fields": asked.fields, "length": asked.length, "sha256": asked.digest.hexdigest()}
    await talk.answer(json.dumps(told).encode(), 200, "Content-Type: application/json", method=asked.method)


class Origin:
    """One origin; `scripts` by path, a path ending in `*` is a prefix. `port` (any, unless one is
    given), or `path` for a Unix socket.

    `greeting` is said to whoever connects: that is no HTTP.
    """

    def __init__(
        self,
        scripts: Mapping[str, Script] | None = None,
        *,
        path: str = "",
        tls: ssl.SSLContext | None = None,
        greeting: bytes = b"",
        port: int = 0,
    ) -> None:
        self.scripts = dict(scripts or {})
        self.asked: list[Asked] = []
        self.connections = 0
        self.faults: list[str] = []
        self.port = port
        self.path = path
        self._tls = tls
        self._greeting = greeting
        self._news = threading.Condition()
        self._gates: dict[str, asyncio.Event] = {}
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop
        self._stop: asyncio.Event
        self._thread = threading.Thread(target=lambda: asyncio.run(self._live()), daemon=True)

    @property
    def url(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    # -- the test's side ----------------------------------------------------------------------------------------------

    def __enter__(self) -> Origin:
        self._thread.start()
        assert self._ready.wait(PATIENCE)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(PATIENCE)
        assert kind is not None or not self.faults, self.faults

    def wait_for(self, condition: Callable[[Origin], Any]) -> Any:
        """Waits until `condition(origin)` is true after something has happened here; its value."""
        with self._news:
            assert self._news.wait_for(lambda: condition(self), PATIENCE), f"it never came true: {self.asked}"
            return condition(self)

    def wait_asked(self, count: int, target: str | None = None) -> Asked:
        """The request number `count` (from 1) for `target`, or for anything."""

        def found(origin: Origin) -> Asked | None:
            fitting = [asked for asked in origin.asked if target in (None, asked.target)]
            return fitting[count - 1] if len(fitting) >= count else None

        result: Asked = self.wait_for(found)
        return result

    def open_gate(self, name: str) -> None:
        self._loop.call_soon_threadsafe(lambda: self.gate(name).set())

    # -- the scripts' side --------------------------------------------------------------------------------------------

    def gate(self, name: str) -> asyncio.Event:
        """`await origin.gate(name).wait()` in a script."""
        return self._gates.setdefault(name, asyncio.Event())

    def tell(self) -> None:
        """Something has happened."""
        with self._news:
            self._news.notify_all()

    async def _live(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        if self.path:
            server: asyncio.Server = await asyncio.start_unix_server(self._serve, self.path)
        else:
            server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=self._tls, backlog=2048)
            self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number = self.connections
        talk = Talk(self, reader, writer)
        if self._greeting:
            writer.write(self._greeting)
        try:
            while talk.open:
                head = await reader.readuntil(b"\r\n\r\n")
                asked = Asked(head, number)
                self.asked.append(asked)
                self.tell()
                await self._script(asked)(asked, talk)
                if talk.open:
                    await talk.read_body(asked)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the gateway, or the test, has closed
        except Exception as error:  # what the origin could not read is a finding
            self.faults.append(repr(error))
        finally:
            with contextlib.suppress(OSError, RuntimeError):
                writer.close()

    def _script(self, asked: Asked) -> Script:
        exact = self.scripts.get(asked.path)
        if exact is not None:
            return exact
        prefixes = [key for key in self.scripts if key.endswith("*") and asked.path.startswith(key[:-1])]
        return self.scripts[max(prefixes, key=len)] if prefixes else echo
