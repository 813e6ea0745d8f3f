"""Parcel: a loaded configuration as bytes, so that one process reads the files and the others need not.

The control process validates and packs, workers unpack what they are to serve. The rule: a parcel is what this same
program has packed, passed on by descriptors that nobody else has: it is not a format, and never read from a file.
"""

from __future__ import annotations

import pickle
from dataclasses import replace

from gateway.config.document import Node
from gateway.config.loading import Loaded
from gateway.config.problems import Place
from gateway.config.tree import Tree

__all__ = ["pack", "unpack"]


def pack(loaded: Loaded) -> bytes:
    """Everything but the positions in the files: who packs has built it once, and has said what is wrong with it."""
    tree = Tree(Node(Place(loaded.tree.root.place.file), {}))
    return pickle.dumps(replace(loaded, tree=tree, warnings=()), protocol=5)


def unpack(parcel: bytes) -> Loaded:
    """What was packed, secrets and all."""
    loaded = pickle.loads(parcel)  # noqa: S301 - see the rule above
    if not isinstance(loaded, Loaded):
        raise TypeError("not a packed configuration")
    return loaded
