"""shown: an answer of the admin listener as lines for a terminal.

For `gateway ctl` without --json. The rule: what a client or an origin has chosen (a path, a detail) never reaches the
terminal as a control sequence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

_UNITS = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))


def shown(order: str, value: Any) -> str:
    """The answer to one of the orders of ctl_usage.py."""
    lines = (_SHOWN.get(order) or _change)(value)
    return "\n".join(printable(line) for line in lines)


def printable(line: str) -> str:
    """Without anything that would move a cursor or turn letters round."""
    return "".join([one if one.isprintable() else one.encode("unicode_escape").decode() for one in line])


def table(headings: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[str]:
    """Columns as wide as what is in them; numbers to the right."""
    cells = [[printable(str(cell)) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(headings, *cells, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if cell.isdigit() else cell.ljust(width) for cell, width in zip(row, widths, strict=True)
        ).rstrip()
        for row in ([heading.upper() for heading in headings], *cells)
    ]


def moment(at: float) -> str:
    """Seconds since the epoch as a date and a time in UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def length(seconds: float) -> str:
    """`2d 3h`, `5m 12s`: the two largest units."""
    left = int(seconds)
    parts: list[str] = []
    for unit, letter in _UNITS:
        if left >= unit or (letter == "s" and not parts):
            parts.append(f"{left // unit}{letter}")
            left %= unit
    return " ".join(parts[:2])


def _status(value: dict[str, Any]) -> list[str]:
    state = "ready" if value["ready"] else f"not ready: {'; '.join(value['reasons'])}"
    reload = value["last_reload"]
    lines = [f"gateway {value['version']}, configuration {value['generation']}, {state}"]
    facts = {
        "last reload": f"{moment(reload['at'])}  {'ok' if reload['ok'] else 'refused'}",
        "up for": length(value["uptime_seconds"]) if "uptime_seconds" in value else None,
        "connections": value.get("connections"),
        "listeners": ", ".join(value.get("listeners", ())) or None,
        "routes": value.get("routes"),
    }
    lines += [f"  {name:<12} {fact}" for name, fact in facts.items() if fact is not None]
    lines += [f"    {line}" for line in reload["text"].splitlines()]
    workers = value.get("workers") or []
    if workers:
        names = [name for name in workers[0] if isinstance(workers[0][name], str | int | float)]
        lines += [
            "",
            *table(
                ["worker", *names], ([at, *(one.get(name, "") for name in names)] for at, one in enumerate(workers))
            ),
        ]
    return lines


def _routes(value: list[dict[str, Any]]) -> list[str]:
    return table(
        ("route", "matches", "leads to"), ((one["name"], _matches(one["match"]), _leads(one)) for one in value)
    )


def _matches(match: dict[str, Any]) -> str:
    said = []
    for key, wanted in match.items():
        values = wanted if isinstance(wanted, list) else [wanted]
        said.append(" ".join(map(str, values)) if key in {"host", "path", "methods"} else f"{key}: {wanted}")
    return ", ".join(said) or "everything"


def _leads(route: dict[str, Any]) -> str:
    suffix = "  (maintenance)" if route.get("maintenance") else ""
    if route.get("redirect"):
        return f"{route['redirect'].get('status', '')} {route['redirect'].get('to', '')}{suffix}".strip()
    if route.get("respond"):
        return f"{route['respond'].get('status', '')}{suffix}"
    return f"{route.get('upstream', '')}{suffix}"


def _upstreams(value: list[dict[str, Any]]) -> list[str]:
    states = ("active", "idle", "connecting", "queued")
    return table(
        ("upstream", "endpoint", "state", "weight", *states),
        (
            (upstream["name"], one["name"], _state(one), one["weight"], *(one["connections"].get(s, 0) for s in states))
            for upstream in value
            for one in upstream["endpoints"]
        ),
    )


def _state(endpoint: dict[str, Any]) -> str:
    said = [word for word in ("drained", "ejected") if endpoint.get(word)]
    if endpoint.get("healthy") is False:
        said.append("unhealthy")
    return ", ".join(said) or "in use"


def _errors(value: list[dict[str, Any]]) -> list[str]:
    if not value:
        return ["No request has failed of late."]
    return table(
        ("time", "request id", "status", "cause", "route", "endpoint", "request", "detail"),
        (
            (
                moment(one["at"]),
                one["request_id"],
                one["status"],
                one["cause"],
                one["route"],
                one["endpoint"] or "-",
                f"{one['method']} {one['host']}{one['path']}",
                one["detail"],
            )
            for one in value
        ),
    )


def _reload(value: dict[str, Any]) -> list[str]:
    before, after = value["before"]["generation"], value["after"]["generation"]
    note = f" ({value['after']['note']})" if value["after"].get("note") else ""
    return [f"Configuration {after} is in force{' as before' if before == after else ''}{note}."]


def _change(value: dict[str, Any]) -> list[str]:
    before, after = value["before"], value["after"]
    return [
        f"{name}: {before[name]} -> {new}" if name in before and before[name] != new else f"{name}: {new}"
        for name, new in after.items()
    ]


_SHOWN: dict[str, Callable[[Any], list[str]]] = {
    "status": _status,
    "routes": _routes,
    "upstreams": _upstreams,
    "errors": _errors,
    "reload": _reload,
}
