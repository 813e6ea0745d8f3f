"""start_admin: opens the admin and probe listeners.

Called by `control.py` when it begins: aiohttp is imported on a thread meanwhile. The rule: the admin side cannot starve
anything; its connections are few and short, but for a write that is under way.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
import socket
import ssl
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import structlog

from gateway.admin.access import Access
from gateway.admin.settings import AdminConfig
from gateway.admin.state import AdminState
from gateway.admin.tls import make_admin_tls
from gateway.admin.token_file import TokenUnusable, read_or_make
from gateway.admin.vitals import register_vitals
from gateway.server.listener import KEEP_PATH, open_socket
from gateway.server.settings import Bind

if TYPE_CHECKING:
    from aiohttp import web

MOST_CONNECTIONS = 64  # per listener, against a scanner that would use up the descriptors of the data plane
DEADLINE = 30.0  # seconds of a connection's whole life, against one that sends or reads a byte now and then
BACKLOG = 64
HANDSHAKE_SECONDS = 5.0  # with `tls`, against one that connects and says nothing
STOP_SECONDS = 1.0  # for answers under way when the gateway ends


class AdminSockets(NamedTuple):
    """The sockets of both listeners, opened before anything is served; None where there is no such listener."""

    bind: socket.socket | None
    probe: socket.socket | None


class Serving(NamedTuple):
    """How a listener is served.

    busy     connections on which a write is under way: not cut by the deadline
    unlinks  whether the path of a Unix socket goes at the end: not where somebody else holds the socket
    """

    busy: set[Any]
    unlinks: bool
    tls: ssl.SSLContext | None = None


class Running:
    """The listeners that were started. `addresses` are theirs, as (host, port) or a path."""

    __slots__ = ("_paths", "_runners", "_servers", "addresses")

    def __init__(self) -> None:
        self._runners: list[web.AppRunner] = []
        self._servers: list[asyncio.AbstractServer] = []
        self._paths: list[str] = []
        self.addresses: list[tuple[str, int] | str] = []

    async def add(self, runner: web.AppRunner, opened: socket.socket, serving: Serving) -> None:
        """Serves the runner's application on a listening socket."""
        await runner.setup()
        factory = _bounded(runner, serving.busy)
        loop = asyncio.get_running_loop()
        address = opened.getsockname()
        self._runners.append(runner)
        if opened.family == socket.AF_UNIX:
            self.addresses.append(address)
            if serving.unlinks:
                self._paths.append(address)
            self._servers.append(await loop.create_unix_server(factory, sock=opened, **KEEP_PATH))
        else:
            self.addresses.append(address[:2])
            patience = HANDSHAKE_SECONDS if serving.tls is not None else None
            self._servers.append(
                await loop.create_server(
                    factory, sock=opened, backlog=BACKLOG, ssl=serving.tls, ssl_handshake_timeout=patience
                )
            )

    async def stop(self) -> None:
        """Closes the listeners, gives answers under way a moment, and cuts what is left. Idempotent."""
        for server in self._servers:
            server.close()
        for runner in self._runners:
            await runner.cleanup()
        for path in self._paths:
            with suppress(OSError):
                await asyncio.get_running_loop().run_in_executor(None, os.unlink, path)
        self._servers, self._runners, self._paths = [], [], []


def open_sockets(config: AdminConfig) -> AdminSockets:
    """Opens what the configuration names. Raises OSError, `filename` being the address, if that cannot be."""
    first = _open(config.bind)
    try:
        return AdminSockets(first, _open(config.probe))
    except OSError:
        if first is not None:
            first.close()
        raise


def _open(bind: Bind | None) -> socket.socket | None:
    if bind is None:
        return None
    try:
        return open_socket(bind, BACKLOG)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(bind)) from error


async def start_admin(config: AdminConfig, state: AdminState, sockets: AdminSockets | None = None) -> Running:
    """Starts both listeners, as far as configured, on `sockets` or on its own. Raises OSError like open_sockets."""
    running = Running()
    register_vitals(state)
    loop = asyncio.get_running_loop()
    opened = sockets if sockets is not None else await loop.run_in_executor(None, open_sockets, config)
    if opened.bind is None and opened.probe is None:
        return running
    pages = await loop.run_in_executor(None, importlib.import_module, "gateway.admin.app")
    serving = Serving(set(), unlinks=sockets is None)
    if opened.bind is not None:
        try:
            tls, access = await loop.run_in_executor(None, lambda: (_tls(config, state), _access(config, state)))
        except ValueError as error:
            # Its files were right when the configuration was checked: whoever is probed goes on.
            structlog.get_logger("gateway.admin").error("the admin listener is not served", error=str(error))
            opened.bind.close()
        else:
            admin = pages.make_admin(state, pages.Writing(access, serving.busy))
            await running.add(_runner(admin), opened.bind, serving._replace(tls=tls))
    if opened.probe is not None:
        await running.add(_runner(pages.make_probe(state)), opened.probe, serving)
    return running


def _tls(config: AdminConfig, state: AdminState) -> ssl.SSLContext | None:
    return make_admin_tls(config.tls, state.folder) if config.tls is not None else None


def _access(config: AdminConfig, state: AdminState) -> Access:
    """The rules, with the token of the configuration, or that of the state_dir."""
    by_certificate = config.tls is not None and config.tls.client_ca is not None
    token = config.token or ""
    if not token and not by_certificate and state.state_dir is not None:
        try:
            token = read_or_make(state.state_dir)
        except TokenUnusable as error:
            structlog.get_logger("gateway.admin").error("nothing can be changed over HTTP", error=str(error))
    return Access(config.hosts, token, time.monotonic, by_certificate=by_certificate)


def _runner(application: web.Application) -> web.AppRunner:
    from aiohttp import web, web_response  # noqa: PLC0415  # slow to import: see the module's docstring

    # The answer to bytes that are no request passes no hook of ours, and would name Python's and aiohttp's versions.
    web_response.SERVER_SOFTWARE = "gateway"  # type: ignore[attr-defined]
    # What scanners send is no news: failures of pages are logged by the application itself.
    silent = logging.getLogger("gateway.admin.wire")
    silent.setLevel(logging.CRITICAL + 1)
    return web.AppRunner(
        application,
        handle_signals=False,
        access_log=None,
        logger=silent,
        keepalive_timeout=5.0,
        shutdown_timeout=STOP_SECONDS,
        lingering_time=0.0,
        max_line_size=8190,
        max_field_size=8190,
    )


def _bounded(runner: web.AppRunner, busy: set[Any]) -> type[asyncio.Protocol]:
    """A protocol factory that refuses the surplus and ends each connection after a while, unless it is `busy`."""
    loop = asyncio.get_running_loop()

    def end(protocol: Any) -> None:
        if protocol in busy:
            loop.call_later(DEADLINE, end, protocol)
        else:
            protocol.force_close()

    def factory() -> asyncio.Protocol:
        server = runner.server
        if server is None or len(server.connections) >= MOST_CONNECTIONS:
            return _Refusal()
        protocol = server()
        loop.call_later(DEADLINE, end, protocol)
        return protocol

    return factory  # type: ignore[return-value]  # a function makes protocols as well as a class does


class _Refusal(asyncio.Protocol):
    """A connection too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()
