"""Lints: what works and is surely not meant, told as warnings.

Read from the joined tree after validation, by `gateway check`, by a start and by reloads; `gateway/check.py` has those
that need a built site. The rule: only what is certain; where a mistake may be the reason, nothing is said.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from typing import TypeAlias

from gateway.admin.settings import is_exposed
from gateway.config.crosscheck import entries, named_upstreams, upstream_names
from gateway.config.document import Node
from gateway.config.partial import Gaps, Path
from gateway.config.problems import Place, Problem
from gateway.config.tree import Tree
from gateway.server.settings import parse_bind

__all__ = ["lints"]

_Found: TypeAlias = Iterator[tuple[Path, Place, str]]


def lints(tree: Tree, gaps: Gaps, keys: Collection[str]) -> list[Problem]:
    """Warnings. `keys` are those that config.yaml may have: an unknown one may have been meant for any of them."""
    if any(len(path) == 1 and path[0] not in keys for path in gaps.spoiled):
        return []
    sound = (lint for lint, needs in _LINTS.items() if all(gaps.is_sound((key,)) for key in needs))
    return [Problem(place, tree.spelled(path, place), text) for lint in sound for path, place, text in lint(tree)]


def _no_route(tree: Tree) -> _Found:
    routes = tree.root.child("routes")
    if routes is None or not routes.value:
        place = tree.root.keys.get("routes", tree.root.place)
        yield ("routes",), place, "there is no route: every request will be answered with 404"


def _unused_upstreams(tree: Tree) -> _Found:
    used = {str(one.name) for one in named_upstreams(tree)}
    node = tree.root.child("upstreams")
    if node is None or not used.issubset(upstream_names(tree) or ()):  # an unknown name may be meant for any of them
        return
    for name, place in node.keys.items():
        if str(name) not in used:
            yield ("upstreams", str(name)), place, "no route uses this upstream"


def _redirects(tree: Tree) -> _Found:
    listeners = entries(tree, "listeners")
    has_tls = any(_given(listener, "tls") for listener in listeners)
    for index, listener in enumerate(listeners):
        node = listener.child("redirect_to_https")
        if node is None or not node.value:
            continue
        path = ("listeners", index, "redirect_to_https")
        if _given(listener, "tls"):
            yield path, node.place, "this listener speaks https already: the redirect has no effect"
        elif node.value is True and not has_tls:
            text = "no listener has `tls`: clients are sent to port 443, which something else must serve"
            yield path, node.place, text


def _given(listener: Node, key: str) -> bool:
    node = listener.child(key)
    return node is not None and node.value is not None


def _trusts_everyone(tree: Tree) -> _Found:
    """Whoever may say who the client is: the whole address space is nobody's own proxies."""
    paths: list[Path] = [("real_ip", "trusted")]
    paths += [("listeners", at, "proxy_protocol", "trusted") for at in range(len(entries(tree, "listeners")))]
    for path in paths:
        node = tree.at(path)
        if node is None:
            continue
        listed = node.value if isinstance(node.value, list) else [node]
        for at, entry in enumerate(listed):
            if _is_everyone(entry.value):
                text = f"{entry.written()} trusts everyone, so any client may claim any address: name your own proxies"
                yield (path if entry is node else (*path, at)), entry.place, text


def _is_everyone(value: object) -> bool:
    try:
        return isinstance(value, str) and ipaddress.ip_network(value).prefixlen == 0
    except ValueError:
        return False


def _open_admin(tree: Tree) -> _Found:
    node = tree.at(("admin", "bind"))
    with suppress(ValueError):
        is_open = node is not None and is_exposed(parse_bind(node.value))
        if node is not None and is_open and tree.at(("admin", "tls", "client_ca")) is None:
            text = "other machines may read all of it without a password: bind it to 127.0.0.1, and give scrapers and "
            yield ("admin", "bind"), node.place, text + "probes `admin.probe`"


# What each lint must be able to believe in.
_LINTS: dict[Callable[[Tree], _Found], tuple[str, ...]] = {
    _no_route: ("routes",),
    _unused_upstreams: ("upstreams", "routes"),
    _redirects: ("listeners",),
    _trusts_everyone: (),
    _open_admin: ("admin",),
}
