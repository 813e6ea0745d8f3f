"""Checks that span several keys: names that must exist, names that must differ, settings that miss each other.

Runs on the joined tree, so that it finds its mistakes beside those of validation, in one go.
The rule: an error is what could not work; what works but is surely not meant is a warning.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from gateway.config.document import Node
from gateway.config.problems import Problem, closest, join_choices, quoted
from gateway.config.tree import Tree
from gateway.server.settings import Bind, parse_bind

__all__ = ["Found", "crosscheck"]

NAMES_SHOWN = 8  # of the upstreams that exist, when none is close to the one named


class Found(NamedTuple):
    errors: list[Problem]
    warnings: list[Problem]


def crosscheck(tree: Tree) -> Found:
    """Errors and warnings. Values of the wrong kind are passed over: validation tells of them."""
    root = tree.root
    warnings = [*_unused_upstreams(tree), *_redirects(tree)]
    routes = root.child("routes")
    if routes is None or not routes.value:
        place = root.keys.get("routes", root.place)
        warnings.append(Problem(place, "routes", "there is no route: every request will be answered with 404"))
    return Found([*_unknown_upstreams(tree), *_route_names(tree), *_binds(tree), *_empty_tls(tree)], warnings)


def _entries(tree: Tree, key: str) -> list[Node]:
    node = tree.root.child(key)
    return node.value if node is not None and isinstance(node.value, list) else []


def _named_upstreams(tree: Tree) -> Iterator[tuple[int, Node]]:
    for index, route in enumerate(_entries(tree, "routes")):
        node = route.child("upstream")
        if node is not None and isinstance(node.value, (str, int)):
            yield index, node


def _upstreams(tree: Tree) -> list[str] | None:
    """Their names, or None if `upstreams` is not a mapping."""
    node = tree.root.child("upstreams")
    if node is None:
        return []
    return [str(name) for name in node.value] if isinstance(node.value, dict) else None


def _unknown_upstreams(tree: Tree) -> Iterator[Problem]:
    names = _upstreams(tree)
    for index, node in _named_upstreams(tree) if names is not None else ():
        name = str(node.value)
        if name in (names or ()):
            continue
        near = closest(name, names or ())
        if "://" in name:
            advice = "write the address under `upstreams`, and its name here"
        elif near and not node.shown:
            advice = f"did you mean `{near}`?"
        elif names:
            shown = join_choices((quoted(known) for known in names[:NAMES_SHOWN]), "and")
            advice = f"there {'is' if len(names) == 1 else 'are'} {shown}{' …' if len(names) > NAMES_SHOWN else ''}"
        else:
            advice = "add it under `upstreams`, which is empty"
        path = tree.spelled(("routes", index, "upstream"), node.place)
        yield Problem(node.place, path, f"there is no upstream {quoted(node.shown or name)}: {advice}")


def _unused_upstreams(tree: Tree) -> Iterator[Problem]:
    used = {str(node.value) for _index, node in _named_upstreams(tree)}
    node = tree.root.child("upstreams")
    if node is None or not isinstance(node.value, dict):
        return
    for name in node.value:
        if str(name) not in used:
            path = tree.spelled(("upstreams", name), node.keys[name])
            yield Problem(node.keys[name], path, "no route uses this upstream")


def _route_names(tree: Tree) -> Iterator[Problem]:
    first: dict[str, Node] = {}
    for index, route in enumerate(_entries(tree, "routes")):
        name = route.child("name")
        if name is None or not isinstance(name.value, str):
            continue
        if name.value in first:
            other = first[name.value].place
            path = tree.spelled(("routes", index, "name"), name.place)
            message = (
                f"the name {quoted(name.shown or name.value)} is taken already at {other}: give each route its own"
            )
            yield Problem(name.place, path, message)
        first.setdefault(name.value, name)


def _binds(tree: Tree) -> Iterator[Problem]:
    """Two sockets cannot have one address: listeners, and the admin's two."""
    rows: list[tuple[tuple[str | int, ...], Node | None]] = []
    for at, entry in enumerate(_entries(tree, "listeners")):
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


def _redirects(tree: Tree) -> Iterator[Problem]:
    listeners = _entries(tree, "listeners")
    has_tls = any(_given(listener, "tls") for listener in listeners)
    for index, listener in enumerate(listeners):
        node = listener.child("redirect_to_https")
        if node is None or node.value is False or not isinstance(node.value, (bool, int)):
            continue
        path = tree.spelled(("listeners", index, "redirect_to_https"), node.place)
        if _given(listener, "tls"):
            yield Problem(node.place, path, "this listener speaks https already: the redirect has no effect")
        elif node.value is True and not has_tls:
            message = "no listener has `tls`: clients are sent to port 443, which something else must serve"
            yield Problem(node.place, path, message)


def _empty_tls(tree: Tree) -> Iterator[Problem]:
    """`tls:` with nothing below it would serve plain http where https was surely meant."""
    for index, listener in enumerate(_entries(tree, "listeners")):
        node = listener.child("tls")
        if node is not None and node.value is None and not node.shown:
            path = tree.spelled(("listeners", index, "tls"), node.place)
            yield Problem(
                node.place, path, "there is nothing below it: write `tls: {}` for the defaults, or remove the key"
            )


def _given(listener: Node, key: str) -> bool:
    node = listener.child(key)
    return node is not None and node.value is not None
