"""probe(): plays raw cases against a proxy over real sockets, before an origin that records every byte it gets.

Many cases are under way at once. Each comes from a loopback address of its own, which the proxy must name in
X-Forwarded-For: so it is known of every byte that reaches the origin whose it is, also where it is no request.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address
from typing import Any, NamedTuple

from tests.kit.corpus.case import Case
from tests.kit.messages import Request, read_request, read_response

AT_ONCE = 48
SILENCE = 1.0  # seconds within which a refusal must have come
SOON = 0.25  # seconds in which something wrong would have happened, where nothing should
_FIRST = IPv4Address("127.1.0.1")
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"
_NAMED = re.compile(rb"\r\nx-forwarded-for: *([0-9.]+)", re.IGNORECASE)


class Outcome(NamedTuple):
    """What became of a case.

    requests  that the origin read whole, in order
    begun     bytes of a request that never became whole at the origin
    stray     bytes that the origin could not read as a request
    statuses  of the final answers
    closed    the proxy ended the connection
    seconds   until all was answered, refused or cut off; SILENCE if it never was
    """

    requests: tuple[Request, ...]
    begun: bytes
    stray: bytes
    statuses: tuple[int, ...]
    closed: bool
    seconds: float

    @property
    def refused(self) -> bool:
        """It was told so, or cut off; and in time."""
        return self.seconds < SILENCE and (self.closed or any(status >= 400 for status in self.statuses))


class _Line(asyncio.Protocol):
    """One connection at the recording origin."""

    def __init__(self, origin: Recorder) -> None:
        self._origin = origin
        self._wire = b""
        self._client = ""
        self._transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._wire += data
        try:
            while (request := read_request(self._wire)) is not None:
                self._wire = self._wire[len(request.raw) :]
                self._origin.record(self._from(request.raw)).append(request)
                self._transport.write(_ANSWER)
        except (AssertionError, ValueError):
            self._origin.stray[self._from(self._wire)] = self._wire
            self._transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        if self._wire:
            self._origin.begun[self._from(self._wire)] = self._wire

    def _from(self, head: bytes) -> str:
        """Whose it is; what names nobody belongs to whoever was here before."""
        found = _NAMED.search(head)
        if found is not None:
            self._client = found[1].decode()
        return self._client


class Recorder:
    """The origin: what came whole, what only began, and what was no request, by the client it came from."""

    def __init__(self) -> None:
        self._whole: dict[str, list[Request]] = {}
        self.begun: dict[str, bytes] = {}
        self.stray: dict[str, bytes] = {}

    def record(self, client: str) -> list[Request]:
        return self._whole.setdefault(client, [])

    def forget(self) -> None:
        """Before the next probe, whose clients have the same addresses."""
        for kept in (self._whole, self.begun, self.stray):
            kept.clear()

    async def listen(self, port: int = 0) -> tuple[asyncio.Server, int]:
        server = await asyncio.get_running_loop().create_server(lambda: _Line(self), "127.0.0.1", port)
        return server, server.sockets[0].getsockname()[1]


class _Asker(asyncio.Protocol):
    """One client connection; `over` is done when the case is."""

    def __init__(self, case: Case, methods: Sequence[bytes]) -> None:
        self._case = case
        self._methods = methods
        self._loop = asyncio.get_running_loop()
        self._wire = b""
        self._transport: Any = None
        self._sent = 0.0
        self.over = self._loop.create_future()
        self.statuses: list[int] = []
        self.closed = False
        self.seconds = SILENCE

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._sent = self._loop.time()
        transport.write(self._case.raw)

    def data_received(self, data: bytes) -> None:
        self._wire += data
        self._read()
        refusal = self._case.verdict == "refuse"
        if len(self.statuses) >= len(self._methods) and (self.statuses[-1] >= 400 or not refusal):
            self._end()

    def eof_received(self) -> None:
        self.connection_lost(None)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.over.done():
            self.closed = True
            self._read()
            self._end()

    def _read(self) -> None:
        try:
            while self._wire:
                at = len(self.statuses)
                method = self._methods[at] if at < len(self._methods) else b"GET"
                answer = read_response(self._wire, method, closed=self.closed)
                if answer is None:
                    return
                self._wire = self._wire[len(answer.raw) :]
                if answer.status >= 200:
                    self.statuses.append(answer.status)
        except AssertionError:  # HTTP/0.9, or worse
            self._wire = b""

    def _end(self) -> None:
        if not self.over.done():
            self.seconds = self._loop.time() - self._sent
            self.over.set_result(None)

    def close(self) -> None:
        self._transport.abort()


async def _ask(case: Case, client: str, address: tuple[str, int]) -> _Asker:
    """Plays one case; over when it was answered, refused or cut off, or nothing has come of it."""
    methods = [received.method for received in case.received]
    if case.verdict == "refuse":
        methods.append(b"GET")
    loop = asyncio.get_running_loop()
    _transport, asker = await loop.create_connection(lambda: _Asker(case, methods), *address, local_addr=(client, 0))
    try:
        async with asyncio.timeout(SOON if case.unfinished else SILENCE):
            await asker.over
    except TimeoutError:
        asker.over.cancel()
    asker.close()
    return asker


async def probe(cases: Iterable[Case], address: tuple[str, int], origin: Recorder) -> dict[str, Outcome]:
    """Plays all `cases` against the proxy at `address`, which forwards to `origin`; what became of each, by name."""
    origin.forget()
    askers: dict[str, tuple[str, _Asker]] = {}
    waiting = iter([(case, str(_FIRST + number)) for number, case in enumerate(cases)])

    async def work() -> None:
        for case, client in waiting:
            askers[case.name] = (client, await _ask(case, client, address))

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(work())
    await asyncio.sleep(SOON)  # what was smuggled may arrive behind the answer
    return {
        name: Outcome(
            tuple(origin.record(client)), origin.begun.get(client, b""), origin.stray.get(client, b""),
            tuple(asker.statuses), asker.closed, asker.seconds,
        )
        for name, (client, asker) in askers.items()
    }  # fmt: skip
