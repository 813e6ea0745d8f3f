"""The part of a wrong configuration that is right: what is left when each mistake is taken out of the tree.

Made by loading.py when something is wrong, so that `gateway check` can build the rest and tells in the same run what
only building finds. The rule: it is never served, and nothing is said of what a mistake may have spoiled.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias

from pydantic import ValidationError

from gateway.config.document import NOT_SET, Node
from gateway.config.model import SiteConfig
from gateway.config.problems import Problem, closest
from gateway.config.translate import Finding, findings, problem_of
from gateway.config.tree import Tree

__all__ = ["NO_GAPS", "Gaps", "Path", "SoundPart", "sound_part", "spoiled_values"]

Path: TypeAlias = tuple[str | int, ...]

_MOST_ROUNDS = 8  # each takes out more, nearer to the root
# Entries that fail as a whole keep the keys that are built by themselves, and get what no such entry can be without.
_BARE: Mapping[str, tuple[frozenset[str], Mapping[str, Any]]] = {
    "listeners": (frozenset({"tls"}), {"bind": "127.0.0.1:0"}),
    "upstreams": (frozenset({"tls"}), {"endpoints": ["https://stand-in.invalid"]}),
    "routes": (frozenset({"access_log", "security_headers"}), {"upstream": "-"}),
}


class Gaps(NamedTuple):
    """What was taken out of a tree: nothing, of a configuration that may be served.

    spoiled  the paths that are not as the operator meant them, and all above them
    kept     of each list that lost entries, the numbers of those left
    """

    spoiled: frozenset[Path]
    kept: Mapping[Path, tuple[int, ...]]

    def original(self, path: Iterable[str | int]) -> Path:
        """Where a path of the sound part leads in the whole tree."""
        found: Path = ()
        for step in path:
            kept = self.kept.get(found)
            found = (*found, kept[step] if kept is not None and isinstance(step, int) else step)
        return found

    def is_sound(self, path: Iterable[str | int]) -> bool:
        """Whether all at and below a path of the sound part is as the operator wrote it."""
        return not self.spoiled or self.original(path) not in self.spoiled


NO_GAPS = Gaps(frozenset(), {})


class SoundPart(NamedTuple):
    """The validated rest, what is missing from it, and mistakes that validation could not see for the others."""

    config: SiteConfig
    gaps: Gaps
    problems: list[Problem]


def spoiled_values(root: Node) -> Iterator[Path]:
    """Paths of the values whose problem was told while the file was read."""
    return (path for path, node in root.walk() if node.value is NOT_SET)


def sound_part(tree: Tree, wrong: Iterable[Path]) -> SoundPart | None:
    """What is left of `tree` without the values at the paths `wrong`; None if that is nothing."""
    cut = _Cut(tree.root)
    problems: list[Problem] = []
    for _round in range(_MOST_ROUNDS):
        for path in dict.fromkeys(wrong):
            cut.mark(path)
        if () in cut.out:
            return None
        kept: dict[Path, tuple[int, ...]] = {}
        gaps = Gaps(cut.spoiled(), kept)
        root = cut.rest(tree.root, (), gaps.spoiled, kept)
        try:
            return SoundPart(SiteConfig.model_validate(root.plain()), gaps, problems)
        except ValidationError as error:
            later = findings(error.errors(include_url=False, include_input=False), root, SiteConfig)
        told = [one._replace(steps=tuple((True, step) for step in gaps.original(one.path))) for one in later]
        taken = cut.taken_from()
        problems += [
            problem_of(one, tree)
            for one in told
            if one.path not in cut.bare and _is_certain(one, taken.get(one.path, ()))
        ]
        wrong = [one.path for one in told]
    return None


class _Cut:
    """What is taken out: `out`, values that go whole; `bare`, entries of which a part stays."""

    __slots__ = ("_root", "bare", "out")

    def __init__(self, root: Node) -> None:
        self._root = root
        self.out: set[Path] = set()
        self.bare: set[Path] = set()

    def mark(self, path: Path) -> None:
        """Notes what must go for the value at `path` to be wrong no more: it, or where it is missing, its mapping."""
        if path in self.out:
            path = path[:-1]
        node = self._root
        for at, step in enumerate(path):
            child = node.child(step)
            if child is None:
                path = path[:at]
                break
            node = child
        is_entry = len(path) == 2 and path[0] in _BARE and isinstance(node.value, dict)
        (self.bare if is_entry and path not in self.bare else self.out).add(path)

    def spoiled(self) -> frozenset[Path]:
        return frozenset(path[:end] for path in self.out | self.bare for end in range(len(path) + 1))

    def taken_from(self) -> dict[Path, set[str]]:
        """Keys of each mapping that are not what they were, or not there."""
        keys: dict[Path, set[str]] = {}
        for path in self.out:
            for at, step in enumerate(path):
                keys.setdefault(path[:at], set()).add(str(step))
        return keys

    def rest(self, node: Node, path: Path, spoiled: frozenset[Path], kept: dict[Path, tuple[int, ...]]) -> Node:
        """The node without what is out; `kept` is filled in."""
        if path not in spoiled:
            return node
        copy = Node(node.place, node.value)
        if isinstance(node.value, list):
            numbers = tuple(at for at in range(len(node.value)) if (*path, at) not in self.out)
            copy.value = [self.rest(node.value[at], (*path, at), spoiled, kept) for at in numbers]
            kept[path] = numbers
        elif isinstance(node.value, dict):
            stays, stand_ins = _BARE[str(path[0])] if path in self.bare else (None, {})
            copy.keys = node.keys
            copy.value = {
                key: self.rest(child, (*path, str(key)), spoiled, kept)
                for key, child in node.value.items()
                if (*path, str(key)) not in self.out and (stays is None or key in stays)
            }
            copy.value |= {key: _stand_in(node, value) for key, value in stand_ins.items()}
        return copy


def _is_certain(finding: Finding, taken: Iterable[str]) -> bool:
    """Whether a mapping's own sentence is true whatever was meant by the keys that were `taken` out of it."""
    if not finding.is_own_sentence or not isinstance(finding.node.value, dict):
        return False
    known = finding.keys
    meant = [key if key in known else closest(key, known) for key in taken]
    return all(key and key.rstrip("s") not in finding.message for key in meant)


def _stand_in(node: Node, value: Any) -> Node:
    return Node(node.place, [_stand_in(node, one) for one in value] if isinstance(value, list) else value)
