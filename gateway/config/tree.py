"""config.yaml and the files of its rules folder joined into one tree of nodes.

Between parsing (document.py) and validation (loading.py).
The rule: rules files add, they never replace; what stands in two files is an error that names both places.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from gateway.config.document import NOT_SET, Node
from gateway.config.problems import Place, Problem, closest, join_choices, quoted, spelled_path

__all__ = ["Tree", "join"]


class Tree(NamedTuple):
    """The joined tree. `starts`: at which index of `routes` each file's own begin."""

    root: Node
    starts: tuple[int, ...] = (0,)

    def spelled(self, path: tuple[str | int, ...], place: Place) -> str:
        """The path as the file itself counts; "" for what stands in no file (command line flags)."""
        if not place.line and path:
            return ""
        if len(path) > 1 and path[0] == "routes" and isinstance(path[1], int):
            index = path[1]
            path = ("routes", index - max(start for start in self.starts if start <= index), *path[2:])
        return spelled_path(path)

    def at(self, path: Sequence[str | int]) -> Node | None:
        """The node at a path, or None."""
        node: Node | None = self.root
        for step in path:
            node = node.child(step) if node is not None else None
        return node

    def find(self, path: Sequence[str | int]) -> Node:
        """The node at a path, or the nearest one above it."""
        node = self.root
        for step in path:
            child = node.child(step)
            if child is None:
                break
            node = child
        return node


def join(
    main: Node | None, rules: Sequence[Node], file: str, keys: tuple[str, ...], all_keys: Sequence[str]
) -> tuple[Tree, list[Problem]]:
    """The tree of config.yaml (`main`, None if empty or broken) and of the rules files' roots."""
    problems: list[Problem] = []
    root = Node(Place(file, 1, 1), {})
    if main is not None and _is_mapping(main, problems, all_keys):
        root.place, root.value, root.keys = main.place, dict(main.value), dict(main.keys)
    starts = [0]
    for source in rules:
        if not _is_mapping(source, problems, keys):
            continue
        for key, node in source.value.items():
            if key not in keys:
                problems.append(_misplaced(str(key), source.keys[key], keys, all_keys))
            elif isinstance(node.value, list if key == "routes" else dict):
                mine = _own(root, key, source)
                if mine is not None and key == "routes":
                    starts.append(len(mine.value))
                    mine.value += node.value
                elif mine is not None:
                    problems += _add_names(mine, node, str(key))
            elif node.value is not NOT_SET:
                kind = "list" if key == "routes" else "mapping"
                problems.append(Problem(node.place, str(key), f"expected a {kind}, found {node.describe()}"))
    return Tree(root, tuple(starts)), problems


def _is_mapping(root: Node, problems: list[Problem], keys: Sequence[str]) -> bool:
    if not isinstance(root.value, dict) and root.value is not NOT_SET:
        shown = join_choices(f"`{key}:`" for key in ("listeners", "upstreams", "routes") if key in keys)
        problems.append(Problem(root.place, "", f"a file begins with keys such as {shown}, found {root.describe()}"))
    return isinstance(root.value, dict)


def _own(root: Node, key: str, source: Node) -> Node | None:
    """The root's node under `key`, copied so that it may grow; None if it is of the wrong kind (told elsewhere)."""
    kind = list if key == "routes" else dict
    mine = root.child(key)
    if mine is None:
        copy = Node(source.value[key].place, kind())
        root.keys[key] = source.keys[key]
    elif not isinstance(mine.value, kind):
        return None
    else:
        copy = Node(mine.place, kind(mine.value))
        copy.keys = dict(mine.keys)
    root.value[key] = copy
    return copy


def _add_names(mine: Node, node: Node, key: str) -> list[Problem]:
    problems: list[Problem] = []
    for name, child in node.value.items():
        if name in mine.value:
            first = mine.keys[name]
            path = spelled_path((key, name))
            problems.append(Problem(node.keys[name], path, f"the name is taken already at {first}: keep one of them"))
        else:
            mine.value[name] = child
            mine.keys[name] = node.keys[name]
    return problems


def _misplaced(key: str, place: Place, keys: tuple[str, ...], all_keys: Sequence[str]) -> Problem:
    here = join_choices((f"`{name}`" for name in keys), "and")
    if key in all_keys:
        return Problem(place, key, f"{quoted(key)} belongs into config.yaml: a rules file holds {here}")
    near = closest(key, keys)
    advice = f"did you mean `{near}`?" if near else f"a rules file holds {here}"
    return Problem(place, spelled_path((key,)), f"unknown key {quoted(key)}: {advice}")
