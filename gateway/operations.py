"""Operations: what the admin side may ask for, done in all processes.

Made by control.py and handed to the admin application as its Actions. The rule: what is asked for outlives reloads and
the workers it was first told to: whoever joins later is told what holds.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import Any, Literal, cast

from gateway import logs
from gateway.admin.actions import ActionRefused, Actions, Change, Maintenance
from gateway.maintenance import EVERY_ROUTE, MAINTENANCE
from gateway.reload import Crew, Reloader
from gateway.routing import route_names
from gateway.state.board import Board
from gateway.state.channel import ChannelClosed
from gateway.upstream.standing import Shared, Standing


class Operations:
    """One per control process."""

    def __init__(self, reloader: Reloader, crew: Callable[[], Iterable[Crew]], endpoints: Shared, board: Board) -> None:
        self._reloader = reloader
        self._crew = crew
        self._endpoints = endpoints
        self._board = board
        self._notices = {route: Maintenance(*notice) for route, notice in board.read().get(MAINTENANCE, {}).items()}
        self._level = ""  # "" for the configuration's
        self._back: asyncio.TimerHandle | None = None

    def actions(self) -> Actions:
        return Actions(
            reload=self._reloader.reload,
            drain=lambda upstream, endpoint: self._drained(upstream, endpoint, drained=True),
            undrain=lambda upstream, endpoint: self._drained(upstream, endpoint, drained=False),
            weight=self._weight,
            log_level=self._log_level,
            maintenance=self._maintenance,
        )

    def welcome(self, one: Crew) -> None:
        """Tells a worker that has joined what holds."""
        self._tell(one, self._told_of_maintenance())
        if self._level:
            self._tell(one, {"tell": "log_level", "level": self._level})

    def _tell(self, one: Crew, body: dict[str, Any]) -> None:
        try:
            one.peer.tell(body)
        except ChannelClosed:
            return  # it is gone, and its successor will be told

    def _tell_all(self, body: dict[str, Any]) -> None:
        for one in list(self._crew()):
            self._tell(one, body)

    # -- maintenance --------------------------------------------------------------------------------------------------

    async def _maintenance(self, wanted: Maintenance | None, route: str) -> Change:
        if route != EVERY_ROUTE and route not in route_names(self._reloader.loaded.config.routes):
            raise ActionRefused(404, f"there is no route {route!r}; /routes lists them")
        before = _shown(self._notices.get(route))
        if wanted is None:
            self._notices.pop(route, None)
        else:
            self._notices[route] = wanted
        told = self._told_of_maintenance()
        self._board.write({MAINTENANCE: told["notices"]})
        self._tell_all(told)
        return Change(before, _shown(wanted))

    def _told_of_maintenance(self) -> dict[str, Any]:
        return {"tell": "maintenance", "notices": {route: [*notice] for route, notice in self._notices.items()}}

    # -- the log ------------------------------------------------------------------------------------------------------

    async def _log_level(self, level: str, seconds: float) -> Change:
        before = self._level_now()
        if self._back is not None:
            self._back.cancel()
            self._back = None
        self._set_level(level)
        if seconds:
            self._back = asyncio.get_running_loop().call_later(seconds, self._usual_level)
        return Change(before, self._level_now())

    def _usual_level(self) -> None:
        self._back = None
        self._set_level("")

    def _set_level(self, level: str) -> None:
        self._level = level
        self.set_up_logs()
        self._tell_all({"tell": "log_level", "level": level})

    def set_up_logs(self) -> None:
        """After a reload too: what was asked for here holds for as long as it was asked for."""
        config = self._reloader.loaded.config.log
        logs.set_up(cast("Literal['info']", self._level or config.level), config.format)

    def _level_now(self) -> dict[str, Any]:
        left = self._back.when() - asyncio.get_running_loop().time() if self._back is not None else 0.0
        return {"level": self._level or self._reloader.loaded.config.log.level, "seconds": round(max(0.0, left), 1)}

    # -- endpoints ----------------------------------------------------------------------------------------------------

    async def _drained(self, upstream: str, endpoint: str, *, drained: bool) -> Change:
        standing, _configured = self._find(upstream, endpoint)
        before = standing.drained
        standing.set_drained(time.monotonic(), drained=drained)
        return Change({"drained": before}, {"drained": drained})

    async def _weight(self, upstream: str, endpoint: str, weight: int) -> Change:
        standing, configured = self._find(upstream, endpoint)
        before = standing.weight(configured)
        standing.set_weight(weight, configured)
        return Change({"weight": before}, {"weight": weight})

    def _find(self, upstream: str, endpoint: str) -> tuple[Standing, int]:
        """What workers read before their next request, and the configured weight. Raises ActionRefused."""
        config = self._reloader.loaded.config.upstreams.get(upstream)
        if config is None:
            raise ActionRefused(404, f"there is no upstream {upstream!r}; /upstreams lists them")
        for one in config.endpoints:
            if one.address.name == endpoint:
                return Standing(self._endpoints, upstream, endpoint), one.weight
        raise ActionRefused(404, f"upstream {upstream!r} has no endpoint {endpoint!r}; /upstreams lists them")


def _shown(notice: Maintenance | None) -> dict[str, Any]:
    if notice is None:
        return {"on": False, "message": "", "retry_after": 0.0}
    return {"on": True, "message": notice.message, "retry_after": notice.retry_after}
