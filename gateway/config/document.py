"""One YAML file → a tree of Nodes that know their line and column; PyYAML's C parser, our own composer.

The first step of loading: bytes → text → events → nodes; `loading.py` joins the trees and validates them.
The rule: nothing is guessed. A repeated key, an unknown tag, a second document or a tab are errors, not surprises,
and no file, however it is made, costs more than the bounds below.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

from gateway.config.problems import Place, Problem, quoted, spelled_path
from gateway.config.references import ReferenceFault, References, Secret, hides
from gateway.config.scalars import ScalarFault, plain_value, tagged_value
from gateway.config.syntax import unreadable, yaml_fault

__all__ = ["MAX_DEPTH", "MAX_FILE_BYTES", "MAX_NODES", "Node", "parse"]

MAX_FILE_BYTES = 4 << 20  # against `-c` on a log or a disk image; 40,000 routes fit
MAX_NODES = 500_000  # aliases counted as often as they are used: against a billion laughs
MAX_DEPTH = 64  # levels of nesting: against `[[[[…`, which would end our recursion

_Parser = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the C parser where PyYAML was built with it
_MAP_TAGS = {None, "!", "tag:yaml.org,2002:map"}
_LIST_TAGS = {None, "!", "tag:yaml.org,2002:seq"}
_MERGE = "<<"
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x80-\x84\x86-\x9f\ufffe\uffff]")
NOT_SET: Any = object()


class Node:
    """A value and where it stands. An alias is the same Node as its anchor.

    place        of the value's first character
    value        dict of Nodes, list of Nodes, a scalar, or NOT_SET where a problem was reported already
    keys         of a mapping: where each key stands
    other        a reference's second reading, text for a number and the reverse, or NOT_SET
    shown        the scalar as written, when it holds references; "" otherwise
    secrets      what the references stood for
    size, height number of nodes and levels below, aliases counted in full
    """

    __slots__ = ("height", "keys", "other", "place", "secrets", "shown", "size", "value")

    def __init__(self, place: Place, value: Any) -> None:
        self.place = place
        self.value = value
        self.keys: dict[str | int, Place] = {}
        self.other: Any = NOT_SET
        self.shown = ""
        self.secrets: tuple[Secret, ...] = ()
        self.size = 1
        self.height = 0

    def child(self, step: str | int) -> Node | None:
        """The Node under a key or an index, or None. A key that YAML read as a number is found by its text too."""
        if isinstance(self.value, dict):
            found = self.value.get(step)
            return self.value.get(int(step)) if found is None and isinstance(step, str) and step.isdecimal() else found
        if isinstance(self.value, list) and isinstance(step, int) and 0 <= step < len(self.value):
            return self.value[step]  # type: ignore[no-any-return]
        return None

    def walk(self, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Node]]:
        """(path, node) of this node and of all under it; keys are text, whatever YAML read them as."""
        yield path, self
        if isinstance(self.value, dict):
            for key, child in self.value.items():
                yield from child.walk((*path, str(key)))
        elif isinstance(self.value, list):
            for at, child in enumerate(self.value):
                yield from child.walk((*path, at))

    def below(self) -> Iterator[Node]:
        """This node and all nodes under it."""
        return (node for _path, node in self.walk())

    def plain(self) -> Any:
        """The tree as dicts, lists and scalars."""
        if isinstance(self.value, dict):
            return {key: child.plain() for key, child in self.value.items()}
        if isinstance(self.value, list):
            return [child.plain() for child in self.value]
        return None if self.value is NOT_SET else self.value

    def written(self, name: str = "") -> str:
        """The scalar in backquotes as it stands in the file; `name` is the key it stands under."""
        if not self.shown and hides(name):
            return ""
        return quoted(
            self.shown or ("true" if self.value is True else "false" if self.value is False else str(self.value))
        )

    def describe(self, name: str = "") -> str:
        """What was found, for a message."""
        if isinstance(self.value, (dict, list)):
            return "a mapping" if isinstance(self.value, dict) else "a list"
        if self.value is None:
            return f"nothing from {quoted(self.shown)}" if self.shown else "nothing"
        written = self.written(name)
        if isinstance(self.value, bool):
            return written or "true or false"
        is_text = isinstance(self.value, str)
        if not written:
            return f"{'a text' if is_text else 'a number'} that is not shown"
        return f"{'text' if is_text else 'the number'} {written}"


def parse(content: bytes, file: str, references: References) -> tuple[Node | None, list[Problem], bool]:
    """(root or None for an empty file, problems, whole).

    `whole` is False if the text could not be read to its end; otherwise the tree is complete save for what the
    problems name, and validation may go on to find more.
    """
    text, problem = _text(content, file)
    if problem is not None:
        return None, [problem], False
    composer = _Composer(text, file, references)
    try:
        return composer.document(), composer.problems, True
    except yaml.YAMLError as error:
        composer.problems.append(yaml_fault(error, text, file))
    except _TooMuch as error:
        composer.problems.append(error.args[0])
    except ValueError:  # an escape such as "\UFFFFFFFF" that is no character
        composer.problems.append(Problem(Place(file, 1, 1), "", "the file holds a character that does not exist"))
    return None, composer.problems, False


def _text(content: bytes, file: str) -> tuple[str, Problem | None]:
    if len(content) > MAX_FILE_BYTES:
        return "", Problem(Place(file), "", "the file is larger than 4 MiB: is it a configuration?")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return "", unreadable(content, error.start, file, "is not UTF-8 text: save the file as UTF-8")
    control = _CONTROL.search(text)
    if control is not None:
        letter = f"the control character U+{ord(control[0]):04X} cannot stand in YAML: remove it"
        return "", unreadable(text[: control.start()].encode(), None, file, letter)
    return text, None


class _TooMuch(Exception):
    """A bound was passed; args[0] is the Problem."""


class _Composer:
    """Events → nodes. Problems that leave the rest readable are collected, the others raised."""

    __slots__ = ("anchors", "events", "file", "nodes", "path", "problems", "references")

    def __init__(self, text: str, file: str, references: References) -> None:
        self.events = _Parser(text)
        self.file = file
        self.references = references
        self.problems: list[Problem] = []
        self.anchors: dict[str, Node | None] = {}
        self.path: list[str | int] = []
        self.nodes = 0

    def document(self) -> Node | None:
        self.events.get_event()  # stream start
        if isinstance(self.events.peek_event(), yaml.StreamEndEvent):
            return None
        self.events.get_event()  # document start
        root = self.node(self.events.get_event())
        self.events.get_event()  # document end
        after = self.events.peek_event()
        if not isinstance(after, yaml.StreamEndEvent):
            self.report(self.place(after), "a second document begins here: keep one document a file")
            raise _TooMuch(self.problems.pop())
        return root

    def place(self, event: Any) -> Place:
        mark = event.start_mark
        return Place(self.file, mark.line + 1, mark.column + 1)

    def report(self, place: Place, message: str) -> None:
        self.problems.append(Problem(place, spelled_path(self.path), message))

    def node(self, event: Any) -> Node:  # PyYAML's stubs know no event of every kind
        place = self.place(event)
        if len(self.path) > MAX_DEPTH:
            raise _TooMuch(Problem(place, "", f"nested deeper than {MAX_DEPTH} levels"))
        if isinstance(event, yaml.AliasEvent):
            return self.alias(event, place)
        if event.anchor is not None:
            self.anchors[event.anchor] = None
        if isinstance(event, yaml.ScalarEvent):
            node = self.scalar(event, place)
        elif isinstance(event, yaml.SequenceStartEvent):
            node = self.sequence(event, place)
        else:
            node = self.mapping(event, place)
        if event.anchor is not None:
            self.anchors[event.anchor] = node
        self.count(1, place)
        return node

    def count(self, nodes: int, place: Place) -> None:
        self.nodes += nodes
        if self.nodes > MAX_NODES:
            raise _TooMuch(Problem(place, "", f"more than {MAX_NODES} values, counting what aliases repeat"))

    def alias(self, event: Any, place: Place) -> Node:
        node = self.anchors.get(event.anchor)
        if node is None:
            inside = event.anchor in self.anchors
            why = "cannot stand inside what it names" if inside else "names no anchor: write `&` and the name before it"
            self.report(place, f"the alias {quoted('*' + event.anchor)} {why}")
            return Node(place, NOT_SET)
        if len(self.path) + node.height > MAX_DEPTH:
            raise _TooMuch(Problem(place, "", f"nested deeper than {MAX_DEPTH} levels"))
        self.count(node.size, place)
        return node

    def sequence(self, event: yaml.SequenceStartEvent, place: Place) -> Node:
        tag = event.tag
        items: list[Node] = []
        node = Node(place, items)
        while not isinstance(event := self.events.get_event(), yaml.SequenceEndEvent):
            self.path.append(len(items))
            items.append(self.grown(node, self.node(event)))
            self.path.pop()
        return self.tagged(node, tag, _LIST_TAGS)

    def mapping(self, event: yaml.MappingStartEvent, place: Place) -> Node:
        tag = event.tag
        items: dict[str | int, Node] = {}
        node = Node(place, items)
        merged: list[Node] = []
        while not isinstance(event := self.events.get_event(), yaml.MappingEndEvent):
            key_place = self.place(event)
            key = self.key(event, key_place)
            merges = key == _MERGE and event.implicit[0]
            self.path.append("" if key is None else key)
            value = self.node(self.events.get_event())
            if key is None:
                pass  # told already
            elif merges:
                merged.extend(self.merge_sources(value))
            elif key in items:
                first = node.keys[key]
                self.report(key_place, f"the key is given twice, first on line {first.line}: keep one of them")
            else:
                items[key] = self.grown(node, value)
                node.keys[key] = key_place
            self.path.pop()
        for source in merged:
            for key, value in source.value.items():
                if key not in items:
                    self.count(value.size, place)
                    items[key] = self.grown(node, value)
                    node.keys[key] = source.keys[key]
        return self.tagged(node, tag, _MAP_TAGS)

    @staticmethod
    def grown(node: Node, child: Node) -> Node:
        node.size += child.size
        node.height = max(node.height, child.height + 1)
        return child

    def merge_sources(self, value: Node) -> list[Node]:
        sources = value.value if isinstance(value.value, list) else [value]
        if all(isinstance(source.value, dict) for source in sources):
            return list(sources)
        if value.value is NOT_SET:  # told already
            return []
        self.report(value.place, f"`<<` takes a mapping or a list of mappings, found {value.describe()}")
        return []

    def key(self, event: yaml.Event, place: Place) -> str | int | None:
        """Keys are text, or whole numbers; anything else a key could be is read as the text it is written as.

        None for what cannot be a key.
        """
        if not isinstance(event, yaml.ScalarEvent):
            self.report(place, "a key must be plain text: a mapping, a list or an alias cannot be one")
            self.path.append("")
            self.node(event)
            self.path.pop()
            return None
        if event.anchor is not None:
            self.report(place, "an anchor cannot stand on a key: put it before the value")
        if event.tag not in {None, "!", "tag:yaml.org,2002:str"}:
            self.refuse_tag(event.tag, place)
        if "${env:" in event.value or "${file:" in event.value:
            self.report(place, f"a key cannot hold a reference: found {quoted(event.value)}")
            return None
        if not event.implicit[0]:
            return str(event.value)
        try:
            value = plain_value(event.value)
        except ScalarFault:
            return str(event.value)
        return value if type(value) is int else str(event.value)

    def scalar(self, event: yaml.ScalarEvent, place: Place) -> Node:
        node = Node(place, event.value)
        plain = event.implicit[0]
        try:
            resolved = self.references.resolve(event.value)
            if resolved is not None:
                node.value, node.secrets = resolved.text, resolved.secrets
                node.shown = event.value if resolved.secrets else ""
            if event.tag is not None:
                node.value = tagged_value(event.tag, node.value)
            elif plain and (resolved is None or resolved.whole):
                node.value = plain_value(node.value)
                if resolved is not None and node.value != resolved.text:
                    node.other = resolved.text
            elif resolved is not None and resolved.whole:
                node.other = plain_value(resolved.text)
        except ReferenceFault as error:
            node.shown = event.value
            node.value = NOT_SET
            self.report(place, str(error))
        except ScalarFault as error:
            if plain or event.tag is not None:
                self.report(place, f"{node.written(str(self.path[-1]) if self.path else '') or 'this'} {error}")
                node.value = NOT_SET
        except KeyError:
            self.tagged(node, event.tag, set())
        return node

    def tagged(self, node: Node, tag: str | None, allowed: set[str | None]) -> Node:
        """The node, which is worth nothing if its tag is not one of those allowed."""
        if tag not in allowed:
            self.refuse_tag(tag, node.place)
            node.value = NOT_SET
        return node

    def refuse_tag(self, tag: str | None, place: Place) -> None:
        name = str(tag).replace("tag:yaml.org,2002:", "!!")
        self.report(place, f"the tag {quoted(name)} is not known: remove it (references are written ${{env:NAME}})")
