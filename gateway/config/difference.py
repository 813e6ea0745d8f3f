"""differences: what another configuration would change, by meaning and not by line.

For `gateway diff`, before a reload or in a review: comments, order of keys, units and defaults that are written out
make no difference; a route is known by its name and an endpoint by its URL, wherever they stand. The rule: a secret
that differs is said to differ and never shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import orjson

from gateway.config.loading import Loaded
from gateway.config.model import SiteConfig
from gateway.config.redact import redacted
from gateway.routing import route_names

__all__ = ["Difference", "differences"]

MOST_SHOWN = 200  # characters of a value: a page or a certificate may stand in one


class Difference(NamedTuple):
    """One change. `before` and `after` are JSON text, "" for what is not there."""

    path: str
    before: str
    after: str

    def __str__(self) -> str:
        if not self.before:
            return f"+ {self.path}: {self.after}"
        if not self.after:
            return f"- {self.path}: {self.before}"
        return f"~ {self.path}: {self.before} -> {self.after}"


def differences(old: Loaded, new: Loaded) -> list[Difference]:
    """All changes from one configuration to another, in the order of the journey."""
    return list(_walk("", _Pair.of(old), _Pair.of(new)))


class _Pair(NamedTuple):
    """A value as it is, which is compared, and as it may be shown."""

    real: Any
    shown: Any

    @classmethod
    def of(cls, loaded: Loaded) -> _Pair:
        config = loaded.config
        real = config.model_dump(mode="json", by_alias=True, fallback=str, warnings=False)
        shown = redacted(config)
        return cls(_keyed(real, config), _keyed(shown, config))

    def items(self) -> Mapping[str, _Pair] | None:
        if not isinstance(self.real, dict) or not isinstance(self.shown, dict):
            return None
        return {key: _Pair(value, self.shown.get(key)) for key, value in self.real.items()}


def _keyed(dumped: dict[str, Any], config: SiteConfig) -> dict[str, Any]:
    """Lists of things that have a name become mappings by it."""
    upstreams = {
        name: {**upstream, "endpoints": {one["url"]: one for one in upstream["endpoints"]}}
        for name, upstream in dumped["upstreams"].items()
    }
    listeners = [
        {**one, "bind": str(known.bind)} for one, known in zip(dumped["listeners"], config.listeners, strict=True)
    ]
    return {
        **dumped,
        "listeners": {one["bind"]: one for one in listeners},
        "upstreams": upstreams,
        "routes": dict(zip(route_names(config.routes), dumped["routes"], strict=True)),
    }


def _walk(path: str, old: _Pair, new: _Pair) -> Iterator[Difference]:
    if old.real == new.real:
        return
    before, after = old.items(), new.items()
    if before is None or after is None:
        yield Difference(path, _text(old), _text(new))
        return
    for key in dict.fromkeys([*after, *before]):
        below = f"{path}.{key}" if path else key
        if key not in before:
            yield Difference(below, "", _text(after[key]))
        elif key not in after:
            yield Difference(below, _text(before[key]), "")
        else:
            yield from _walk(below, before[key], after[key])


def _text(pair: _Pair) -> str:
    written = orjson.dumps(_told(pair.shown)).decode()
    return written if len(written) <= MOST_SHOWN else f"{written[:MOST_SHOWN]}…"


def _told(value: Any) -> Any:
    """Without what was not said: a whole route that comes or goes is shown by what makes it."""
    if isinstance(value, dict):
        return {key: _told(one) for key, one in value.items() if one not in (None, {}, [])}
    return value
