"""OPERATIONS: every page and every write of the admin listener, in one table, and the way from a request to its row.

Requests are routed by it, /openapi.json and docs/reference/admin.md are made from it. The rule: what is not in the
table does not exist, and what is in it is documented.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import unquote

from aiohttp import web

from gateway.admin import orders, pages, schemas
from gateway.admin.actions import Change
from gateway.admin.bodies import LogLevelBody, MaintenanceBody, WeightBody
from gateway.admin.schemas import Schema
from gateway.admin.state import AdminState
from gateway.schema import Model

Page: TypeAlias = Callable[[web.Request], Awaitable[web.Response]]
Order: TypeAlias = Callable[[AdminState, Mapping[str, str], Any], Awaitable[Change]]

_TEXT = "text/plain"


class Operation(NamedTuple):
    """One row.

    path     "/upstreams/{upstream}": what stands in braces is one segment, percent-encoded in the request
    summary  what it is good for, for people
    answer   what 200 looks like; None for what is no JSON
    page, order  what answers it: one of them
    body     what a write must be told, None for nothing
    refusals statuses by which it is refused beside those of every write (openapi.py) and every request
    probe    the probe listener has it too
    """

    method: str
    path: str
    summary: str
    answer: Schema | None
    page: Page | None = None
    order: Order | None = None
    body: type[Model] | None = None
    refusals: tuple[int, ...] = ()
    media: str = "application/json"
    probe: bool = False

    @property
    def name(self) -> str:
        """Unique: "drain", "maintenance_on_of_route"."""
        run = self.page or self.order
        return f"{run.__name__}{'_of_route' if '{route}' in self.path else ''}" if run is not None else ""


_ENDPOINT = "/upstreams/{upstream}/endpoints/{endpoint}"

OPERATIONS = (
    Operation("GET", "/", "this list, for people", None, pages.index, media="text/html"),
    Operation("GET", "/healthz", "alive: 200 while the event loop runs", schemas.ALIVE, pages.healthz, probe=True),
    Operation(
        "GET", "/readyz", "ready for traffic: 200, or 503 with the reasons", schemas.READY, pages.readyz, probe=True
    ),
    Operation("GET", "/metrics", "metrics for Prometheus", None, pages.metrics, media=_TEXT, probe=True),
    Operation("GET", "/status", "what is being served, and by whom", schemas.STATUS, pages.status),
    Operation("GET", "/config", "the configuration in force, without secrets", schemas.ANYTHING, pages.config),
    Operation("GET", "/routes", "what is matched, and where it leads", schemas.ROUTES, pages.routes),
    Operation(
        "GET", "/upstreams", "endpoints: health, weight, connections, counters", schemas.UPSTREAMS, pages.upstreams
    ),
    Operation("GET", "/certificates", "certificates and their last days", schemas.CERTIFICATES, pages.certificates),
    Operation("GET", "/errors", "the last requests that failed with us or upstream", schemas.ERRORS, pages.errors),
    Operation("GET", "/openapi.json", "this interface, for programs", schemas.ANYTHING, pages.openapi),
    Operation(
        "POST", "/reload", "read the configuration again; answers when it is in force, or refused",
        schemas.CHANGE, order=orders.reload, refusals=(422,),
    ),
    Operation(
        "POST", f"{_ENDPOINT}/drain", "send no new requests to an endpoint; what is under way goes on",
        schemas.CHANGE, order=orders.drain, refusals=(404, 409),
    ),
    Operation(
        "POST", f"{_ENDPOINT}/undrain", "send requests to a drained endpoint again",
        schemas.CHANGE, order=orders.undrain, refusals=(404, 409),
    ),
    Operation(
        "PUT", f"{_ENDPOINT}/weight", "change an endpoint's share until the configured one changes",
        schemas.CHANGE, order=orders.weight, body=WeightBody, refusals=(404, 409, 422),
    ),
    Operation(
        "PUT", "/log/level", "tell more or less in the gateway's own log, for a while",
        schemas.CHANGE, order=orders.log_level, body=LogLevelBody, refusals=(422,),
    ),
    Operation(
        "PUT", "/maintenance", "answer every request with 503 and a page",
        schemas.CHANGE, order=orders.maintenance_on, body=MaintenanceBody, refusals=(422,),
    ),
    Operation("DELETE", "/maintenance", "serve again", schemas.CHANGE, order=orders.maintenance_off),
    Operation(
        "PUT", "/routes/{route}/maintenance", "answer the requests of one route with 503 and a page",
        schemas.CHANGE, order=orders.maintenance_on, body=MaintenanceBody, refusals=(404, 422),
    ),
    Operation(
        "DELETE", "/routes/{route}/maintenance", "serve that route again",
        schemas.CHANGE, order=orders.maintenance_off, refusals=(404,),
    ),
)  # fmt: skip


class Found(NamedTuple):
    """The operations of a path by method, and what stands for the names in braces."""

    by_method: Mapping[str, Operation]
    words: Mapping[str, str]

    @property
    def allowed(self) -> str:
        """Value of Allow."""
        methods = {"HEAD", *self.by_method} if "GET" in self.by_method else self.by_method
        return ", ".join(sorted(methods))

    def operation(self, method: str) -> Operation | None:
        """HEAD is GET: aiohttp leaves the body out."""
        return self.by_method.get("GET" if method == "HEAD" else method)


class Table:
    """Finds operations by path."""

    __slots__ = ("_rows",)

    def __init__(self, operations: Iterable[Operation]) -> None:
        self._rows: dict[tuple[str, ...], dict[str, Operation]] = {}
        for operation in operations:
            row = self._rows.setdefault(tuple(operation.path.split("/")), {})
            row[operation.method] = operation

    def find(self, path: str) -> Found | None:
        """`path` as received, still percent-encoded: an endpoint may be named `unix:%2Frun%2Fapp.sock`."""
        steps = path.split("/")
        for row, by_method in self._rows.items():
            words = _words(row, steps)
            if words is not None:
                return Found(by_method, words)
        return None


def _words(row: tuple[str, ...], steps: list[str]) -> dict[str, str] | None:
    if len(row) != len(steps):
        return None
    words: dict[str, str] = {}
    for pattern, step in zip(row, steps, strict=True):
        if pattern.startswith("{"):
            try:
                words[pattern[1:-1]] = unquote(step, errors="strict")
            except UnicodeDecodeError:
                return None
            if not step:
                return None
        elif pattern != step:
            return None
    return words
