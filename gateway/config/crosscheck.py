"""Checks that span several keys: names that must exist, names that must differ.

Runs on the joined tree, so that it finds its mistakes beside those of validation, in one go.
The rule: an error is what could not work; what works but is surely not meant is for lints.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from gateway.config.document import Node
from gateway.config.problems import Place, Problem, closest, join_choices, quoted
from gateway.config.tree import Tree
from gateway.server.settings import Bind, parse_bind

__all__ = ["crosscheck", "entries", "named_upstreams", "repeated_names", "upstream_names"]

NAMES_SHOWN = 8  # of the upstreams that exist, when none is close to the one named


def crosscheck(tree: Tree) -> list[Problem]:
    """Errors. Values of the wrong kind are passed over: validation tells of them."""
    return [*_unknown_upstreams(tree), *_route_names(tree), *_binds(tree), *_empty_tls(tree)]


def entries(tree: Tree, key: str) -> list[Node]:
    """The entries of a list at the top, none if it is no list."""
    node = tree.root.child(key)
    return node.value if node is not None and isinstance(node.value, list) else []


class Named(NamedTuple):
    """An upstream that something leads to. `shown` is how it is written."""

    path: tuple[str | int, ...]
    place: Place
    name: str | int
    shown: str


def named_upstreams(tree: Tree) -> Iterator[Named]:
    """Of routes, of their splits, and of upstreams that have a stand-in."""
    nodes: list[tuple[tuple[str | int, ...], Node | None]] = []
    for index, route in enumerate(entries(tree, "routes")):
        nodes.append((("routes", index, "upstream"), route.child("upstream")))
        split = route.child("split")
        to = split.child("to") if split is not None else None
        for name, place in to.keys.items() if to is not None else ():
            yield Named(("routes", index, "split", "to", name), place, name, "")
    upstreams = tree.root.child("upstreams")
    for name in upstream_names(tree) or ():
        one = upstreams.child(name) if upstreams is not None else None
        nodes.append((("upstreams", name, "failover"), one.child("failover") if one is not None else None))
    for path, node in nodes:
        if node is not None and isinstance(node.value, (str, int)):
            yield Named(path, node.place, node.value, node.shown)


def upstream_names(tree: Tree) -> list[str] | None:
    """Their names, or None if `upstreams` is not a mapping."""
    node = tree.root.child("upstreams")
    if node is None:
        return []
    return [str(name) for name in node.value] if isinstance(node.value, dict) else None


def _unknown_upstreams(tree: Tree) -> Iterator[Problem]:
    names = upstream_names(tree)
    for path, place, written, shown_as in named_upstreams(tree) if names is not None else ():
        name = str(written)
        if name in (names or ()) or not isinstance(written, str):
            continue
        near = closest(name, names or ())
        if "://" in name:
            advice = "write the address under `upstreams`, and its name here"
        elif name.partition("#")[0] in (names or ()):
            advice = "put a space before the `#` of a comment"
        elif near and not shown_as:
            advice = f"did you mean `{near}`?"
        elif names:
            shown = join_choices((quoted(known) for known in names[:NAMES_SHOWN]), "and")
            advice = f"there {'is' if len(names) == 1 else 'are'} {shown}{' …' if len(names) > NAMES_SHOWN else ''}"
        else:
            advice = "add it under `upstreams`, which is empty"
        message = f"there is no upstream {quoted(shown_as or name)}: {advice}"
        yield Problem(place, tree.spelled(path, place), message)


def repeated_names(tree: Tree) -> Iterator[tuple[int, Node, Node]]:
    """(index, name, the same name before) of routes whose name is taken."""
    first: dict[str, Node] = {}
    for index, route in enumerate(entries(tree, "routes")):
        name = route.child("name")
        if name is None or not isinstance(name.value, str):
            continue
        if name.value in first:
            yield index, name, first[name.value]
        first.setdefault(name.value, name)


def _route_names(tree: Tree) -> Iterator[Problem]:
    for index, name, other in repeated_names(tree):
        path = tree.spelled(("routes", index, "name"), name.place)
        taken = f"the name {quoted(name.shown or name.value)} is taken already at {other.place}"
        yield Problem(name.place, path, f"{taken}: give each route its own")


def _binds(tree: Tree) -> Iterator[Problem]:
    """Two sockets cannot have one address: listeners, and the admin's two."""
    rows: list[tuple[tuple[str | int, ...], Node | None]] = []
    for at, entry in enumerate(entries(tree, "listeners")):
        rows.append((("listeners", at, "bind"), entry.child("bind")))
    admin = tree.root.child("admin")
    if admin is not None:
        rows += [(("admin", key), admin.child(key)) for key in ("bind", "probe")]
    taken: dict[Bind, Node] = {}
    for path, node in rows:
        try:
            bind = parse_bind(node.value) if node is not None else None
        except ValueError:
            continue
        if node is None or bind is None or (bind.port == 0 and not bind.path):
            continue
        if bind in taken:
            message = (
                f"{quoted(node.shown or str(bind))} is taken already at {taken[bind].place}: one socket an address"
            )
            yield Problem(node.place, tree.spelled(path, node.place), message)
        taken.setdefault(bind, node)


def _empty_tls(tree: Tree) -> Iterator[Problem]:
    """`tls:` with nothing below it would serve plain http where https was surely meant."""
    for index, listener in enumerate(entries(tree, "listeners")):
        node = listener.child("tls")
        if node is not None and node.value is None and not node.shown:
            path = tree.spelled(("listeners", index, "tls"), node.place)
            yield Problem(
                node.place, path, "there is nothing below it: write `tls: {}` for the defaults, or remove the key"
            )
