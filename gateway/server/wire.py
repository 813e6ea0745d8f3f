"""Wire: what a downstream protocol is given to work with.

Made once per listener by the composition root and passed whole to every protocol. The callables are all that
`server/` knows of policy, so the wire can be tested with two lambdas.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol

from gateway.deadlines import Sweep
from gateway.errors import ClientFault
from gateway.exchange import Connection, Exchange
from gateway.http.head import RequestHeadReader
from gateway.http.message import Response
from gateway.server.settings import DownstreamConfig

if TYPE_CHECKING:
    from gateway.server.turn import Turn


class Standing(Enum):
    """What is under way on a connection."""

    NOTHING = "nothing"  # all has been said and sent
    EXCHANGE = "exchange"
    STREAM = "stream"  # a tunnel or an event stream: it ends when its client likes


class Live(Protocol):
    """A protocol with an open socket."""

    connection: Connection

    @property
    def exchange(self) -> Exchange | None:
        """The one under way."""

    @property
    def standing(self) -> Standing:
        """What a cut would cost its client."""

    def drain(self) -> None:
        """Close as soon as nothing is cut by it."""

    def cut(self) -> None:
        """Close now."""


@dataclass(slots=True)
class Wire:
    """Settings and callables of one listener.

    answer   (exchange) -> Response, or None where the exchange must be forwarded
    forward  (exchange, downstream) -> a started task with `cancel(fault)` and `done`
    refuse   (exchange, fault) -> Response: the error reply to what is not a request, or is one too many
    finish   (exchange): the exchange is over: log it
    clock    () -> loop time, seconds
    """

    settings: DownstreamConfig
    reader: RequestHeadReader
    answer: Callable[[Exchange], Response | None]
    forward: Callable[[Exchange, Turn], Any]
    refuse: Callable[[Exchange, ClientFault], Response]
    finish: Callable[[Exchange], None]
    clock: Callable[[], float]
    sweep: Sweep
    crashed: Callable[[BaseException], None]
    live: set[Live] = field(default_factory=set)
    draining: bool = False
