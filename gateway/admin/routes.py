"""routes_shown: what /routes says of a configuration: each route's name, what it matches and where it leads.

Called when the page is asked for, on a thread. The rule: it is made from the redacted configuration, so that it shows
no secret; what an operator left out is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

_SHOWN = ("description", "upstream", "split", "redirect")
_NOWHERE: tuple[Any, ...] = (None, [], {}, "")


def routes_shown(names: Iterable[str], shown: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One entry for each route, as written: `names` (routing.route_names) and the redacted configuration of it all."""
    return [{"name": name, **_route(route)} for name, route in zip(names, shown["routes"], strict=True)]


def _route(route: Mapping[str, Any]) -> dict[str, Any]:
    said = {key: route[key] for key in _SHOWN if route.get(key) not in _NOWHERE}
    match = {key: value for key, value in (route.get("match") or {}).items() if value not in _NOWHERE}
    if route.get("respond"):
        said["respond"] = {"status": route["respond"]["status"]}  # its body may be a page
    return {"match": match, **said}
