"""Parcel: a loaded configuration as bytes, so that one process reads the files and the others need not.

The control process validates and packs, workers unpack what they are to serve. The rule: a parcel is what this same
program has packed, passed on by descriptors that nobody else has: it is not a format, and never read from a file.
"""

from __future__ import annotations

import pickle
from dataclasses import replace
from typing import Any

from gateway.config.document import Node
from gateway.config.loading import Loaded
from gateway.config.problems import Place
from gateway.config.tree import Tree

__all__ = ["pack", "unpack"]

# Routes that are unpacked in one go. The interpreter lets no other thread run meanwhile: 5,000 at once would stop the
# requests of a worker for 30 ms.
_AT_ONCE = 100


def pack(loaded: Loaded) -> bytes:
    """Everything but the positions in the files: who packs has built it once, and has said what is wrong with it."""
    tree = Tree(Node(Place(loaded.tree.root.place.file), {}))
    config = loaded.config
    rest = replace(loaded, config=config.model_copy(update={"routes": []}), tree=tree, warnings=())
    parts = [config.routes[at : at + _AT_ONCE] for at in range(0, len(config.routes), _AT_ONCE)]
    return pickle.dumps([_dumps(rest), *map(_dumps, parts)], protocol=5)


def unpack(parcel: bytes) -> Loaded:
    """What was packed, secrets and all."""
    rest, *parts = pickle.loads(parcel)  # noqa: S301 - see the rule above
    loaded = pickle.loads(rest)  # noqa: S301
    if not isinstance(loaded, Loaded):
        raise TypeError("not a packed configuration")
    routes = [route for part in parts for route in pickle.loads(part)]  # noqa: S301
    return replace(loaded, config=loaded.config.model_copy(update={"routes": routes}))


def _dumps(value: Any) -> bytes:
    return pickle.dumps(value, protocol=5)
