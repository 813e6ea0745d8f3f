"""Validation errors → Problems: pydantic's error types as sentences for operators, with line and column.

Runs only when a configuration is wrong, between validation and ConfigError.
The rule: each mistake is told once, in our words: what is wrong, what was found, what to write instead.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, NamedTuple, get_args, get_origin

from pydantic_core import ErrorDetails, core_schema

from gateway.config.document import NOT_SET, Node
from gateway.config.problems import Place, Problem, closest, join_choices, quoted
from gateway.config.references import Secret, hides, scrubbed
from gateway.config.shapes import keys_of, models_in, narrowed
from gateway.config.tree import Tree
from gateway.schema import Model

__all__ = ["Finding", "findings", "left_empty", "misread", "problem_of", "translate"]

KEYS_SHOWN = 16  # of a mapping, when no key is close to the one found: more would bury the message

_EXPECTED = {
    "bool_type": "true or false", "bytes_type": "text", "dict_type": "a mapping", "float_type": "a number",
    "frozen_set_type": "a list", "int_type": "a whole number", "int_from_float": "a whole number",
    "is_instance_of": "text", "list_type": "a list", "mapping_type": "a mapping", "model_attributes_type": "a mapping",
    "model_type": "a mapping", "none_required": "nothing", "path_type": "a path", "set_type": "a list",
    "string_type": "text", "tuple_type": "a list", "is_subclass_of": "text", "iterable_type": "a list",
}  # fmt: skip
_CHOICES = frozenset({"enum", "literal_error"})
_OWN_SENTENCE = frozenset({"assertion_error", "value_error"})
_PYDANTIC = frozenset(get_args(core_schema.ErrorType))
_VARIABLE = re.compile(r"\$\{[^${}]*\}")  # a value that is one and nothing else holds no secret
_TRUE_WORDS = {"yes": "true", "on": "true", "y": "true", "no": "false", "off": "false", "n": "false"}


class Finding(NamedTuple):
    """One error, its path walked: `steps` are (is a key?, step) pairs; False marks the label of a union's member."""

    type: str
    details: dict[str, Any]
    message: str
    steps: tuple[tuple[bool, str | int], ...]
    node: Node
    place: Place
    shapes: tuple[Any, ...]

    @property
    def path(self) -> tuple[str | int, ...]:
        return tuple(step for is_key, step in self.steps if is_key)

    @property
    def name(self) -> str:
        """The last key of the path."""
        return next((str(step) for step in reversed(self.path) if isinstance(step, str)), "")

    @property
    def keys(self) -> list[str]:
        """The keys that the mapping at this place may have."""
        return list(dict.fromkeys(key for model in models_in(self.shapes) for key in keys_of(model)))

    @property
    def is_own_sentence(self) -> bool:
        """Whether a Model's own check says it, and not the validator."""
        return self.type in _OWN_SENTENCE or self.type not in _PYDANTIC | {"union"}

    @property
    def at_door(self) -> bool:
        """The value itself is not what this member of a union takes, whatever is inside."""
        return self.type in _EXPECTED or self.type in _CHOICES


def translate(errors: Iterable[ErrorDetails], tree: Tree, model: type[Model]) -> list[Problem]:
    """Problems for a ValidationError's `errors()`."""
    found = findings(errors, tree.root, model)
    misspelt = {(*f.path[:-1], _meant_key(f)) for f in found if f.type == "extra_forbidden"}
    return [problem_of(f, tree) for f in found if not (f.type == "missing" and f.path in misspelt)]


def findings(errors: Iterable[ErrorDetails], root: Node, model: type[Model]) -> list[Finding]:
    """Each mistake once. Places whose problem is known already (NOT_SET) are left out."""
    found = _settled([_walk(error, root, model) for error in errors])
    return [finding for finding in found if finding.node.value is not NOT_SET]


def problem_of(finding: Finding, tree: Tree) -> Problem:
    """A Finding in our words."""
    return Problem(finding.place, tree.spelled(finding.path, finding.place), _sentence(finding))


def misread(errors: Iterable[ErrorDetails], root: Node, model: type[Model]) -> list[Node]:
    """Nodes whose reference was read as a number where text is wanted, or the reverse: worth another reading."""
    found = (_walk(error, root, model) for error in errors)
    return [finding.node for finding in found if finding.type in _EXPECTED and finding.node.other is not NOT_SET]


def left_empty(errors: Iterable[ErrorDetails], root: Node, model: type[Model]) -> list[tuple[Node, Any]]:
    """Nodes with nothing where a mapping or a list is wanted (each key below is a comment), and what they mean."""
    found: list[tuple[Node, Any]] = []
    for error in errors:
        expected = _EXPECTED.get(error["type"])
        if expected in {"a mapping", "a list"}:
            finding = _walk(error, root, model)
            if finding.node.value is None and not finding.node.shown:
                found.append((finding.node, {} if expected == "a mapping" else []))
    return found


def _walk(error: ErrorDetails, root: Node, model: type[Model]) -> Finding:
    node, place, parent = root, root.place, root
    shapes: list[Any] = [model]
    steps: list[tuple[bool, str | int]] = []
    location = list(error["loc"])
    absent = location.pop() if error["type"] == "missing" and location else None
    for at, step in enumerate(location):
        if step == "[key]" and at == len(location) - 1:
            place = parent.keys.get(location[at - 1], place)
            node = Node(place, location[at - 1])
            break
        child = node.child(step)
        is_label = any(shape.__name__ == step for shape in models_in(shapes))
        inner = narrowed(shapes, step)
        if child is not None and not is_label:
            parent, node, place = node, child, child.place
            steps.append((True, str(step) if isinstance(parent.value, dict) else step))
            if error["type"] == "extra_forbidden" and at == len(location) - 1:
                place = parent.keys.get(step, place)
                break
        elif isinstance(step, str):
            steps.append((False, step))
        shapes = inner or shapes
    if absent is not None:
        steps.append((True, absent))
    return Finding(error["type"], error.get("ctx", {}), error["msg"], tuple(steps), node, place, tuple(shapes))


def _settled(found: list[Finding]) -> list[Finding]:
    """Errors of a union's members made one: the errors of the member that was meant, or one about all of them."""
    settled: list[Finding] = []
    unions: dict[tuple[tuple[bool, str | int], ...], dict[str | int, list[Finding]]] = {}
    for finding in found:
        label = next((at for at, (is_key, _) in enumerate(finding.steps) if not is_key), None)
        if label is None:
            settled.append(finding)
            continue
        before, after = finding.steps[:label], finding.steps[label + 1 :]
        members = unions.setdefault(before, {})
        members.setdefault(finding.steps[label][1], []).append(finding._replace(steps=before + after))
    for before, members in unions.items():
        settled += _settled(_meant(before, list(members.values())))
    return settled


def _meant(before: tuple[tuple[bool, str | int], ...], members: list[list[Finding]]) -> list[Finding]:
    inside = [found for found in members if not any(f.at_door and f.steps == before for f in found)]
    own = [found for found in inside if any(f.type in _OWN_SENTENCE and f.steps == before for f in found)]
    deeper = [found for found in inside if found not in own]
    if deeper:
        return min(deeper, key=len)
    doors = [f for found in members for f in found if f.at_door and f.steps == before]
    if not own:
        return [doors[0]._replace(type="union", details={"expected": join_choices(_wanted(f) for f in doors)})]
    choices = [choice for f in doors for choice in _choices(f)]
    spoken = own[0][0]
    also = f", or one of {join_choices(choices)}" if len(choices) > 1 else f", or {''.join(choices)}"
    return [spoken._replace(details={**spoken.details, "also": also if choices else ""})]


def _choices(finding: Finding) -> list[str]:
    """The values an enum or literal takes, each in backquotes."""
    if finding.type not in _CHOICES:
        return []
    expected = str(finding.details.get("expected", ""))
    words = re.findall(r"'((?:[^'\\]|\\.)*)'|(\w+)", expected)
    return [f"`{text or bare}`" for text, bare in words if text or bare != "or"]


def _wanted(finding: Finding) -> str:
    return join_choices(_choices(finding)) or _EXPECTED.get(finding.type, "something else")


def _sentence(finding: Finding) -> str:
    if finding.is_own_sentence:
        return _own_sentence(finding)
    found = finding.node.describe(finding.name)
    details = finding.details
    if finding.type in _EXPECTED:
        expected = _EXPECTED[finding.type]
        return f"expected {expected}, found {found}{_advice(expected, finding)}"
    if finding.type in _CHOICES or finding.type == "union":
        expected = details["expected"] if finding.type == "union" else join_choices(_choices(finding))
        return f"expected {expected}, found {found}{_nearest(finding.node, expected)}"
    match finding.type:
        case "extra_forbidden":
            return _unknown_key(finding)
        case "missing":
            return "this key is required and missing"
        case "union_tag_not_found":
            return f"the key {details['discriminator'].replace(chr(39), '`')} is required and missing"
        case "union_tag_invalid":
            choices = [f"`{tag}`" for tag in re.findall(r"'([^']*)'", details["expected_tags"])]
            key = details["discriminator"].replace("'", "`")
            return f"{key} must be {join_choices(choices)}, found {quoted(str(details['tag']))}"
        case "greater_than_equal" | "less_than_equal" | "greater_than" | "less_than" | "multiple_of":
            return f"must be {_bound(finding.type, details)}, found {found}"
        case "too_short" | "too_long":
            return _length(finding)
        case "string_too_short" if details["min_length"] == 1:
            return "must not be empty"
        case "string_too_short":
            return f"must have at least {details['min_length']} characters, found {found}"
        case "string_too_long":
            return f"must have at most {details['max_length']} characters, found {found}"
        case "string_pattern_mismatch":
            return f"must look like the pattern {quoted(details['pattern'])}, found {found}"
        case "invalid_key":
            return "a key must be text here: put it in quotes"
    return f"this value is not accepted here, found {found}"


def _bound(kind: str, details: dict[str, Any]) -> str:
    words = {"greater_than_equal": ("ge", "at least"), "less_than_equal": ("le", "at most"),
             "greater_than": ("gt", "more than"), "less_than": ("lt", "less than"),
             "multiple_of": ("multiple_of", "a multiple of")}  # fmt: skip
    key, word = words[kind]
    return f"{word} {details[key]:g}"


def _length(finding: Finding) -> str:
    is_short = finding.type == "too_short"
    bound = finding.details["min_length" if is_short else "max_length"]
    found = finding.details.get("actual_length")
    kind = "entry" if bound == 1 else "entries"
    return f"needs {'at least' if is_short else 'at most'} {bound} {kind}, found {found or 'none'}"


def _advice(expected: str, finding: Finding) -> str:
    """What to write instead, where it can be said."""
    node, value = finding.node, finding.node.value
    if node.shown:
        return ""
    if expected == "a mapping" and value is not None:
        return _mapping_advice(finding)
    if expected == "true or false" and isinstance(value, str) and value.lower() in _TRUE_WORDS:
        return f": write `{_TRUE_WORDS[value.lower()]}`"
    if expected == "text" and isinstance(value, (int, float)):
        return ": put it in quotes"
    if expected in {"a number", "a whole number"} and isinstance(value, str) and value.strip().isdigit():
        return ": take away the quotes"
    if expected == "a list" and isinstance(value, dict) and all(str(key).startswith("-") for key in value) and value:
        return ": put a space after each `-`"
    if expected == "a list" and value and isinstance(value, (str, dict)):
        return ": begin each entry with `- `"
    if value is None:
        return ": write a value or remove the key"
    return ""


def _mapping_advice(finding: Finding) -> str:
    """Which keys there are, and where one of them is all that a mapping needs, how it is written."""
    value, keys = finding.node.value, finding.keys
    models = models_in(finding.shapes)
    required = [(name, field) for model in models for name, field in model.model_fields.items() if field.is_required()]
    if value is True and models and not required:
        return ": write `{}` for the defaults"
    if len(required) == 1 and isinstance(value, str):
        name, field = required[0]
        written = f"[{value}]" if get_origin(field.annotation) is list else value
        return f": write {quoted(f'{name}: {written}')}" if not hides(finding.name) else ""
    if not keys:
        return ": write `key: value` lines without `- `" if isinstance(value, list) else ""
    return f": {_keys_here(keys[:8])}{' …' if len(keys) > 8 else ''}"


def _keys_here(keys: list[str]) -> str:
    shown = join_choices((f"`{name}`" for name in keys[:KEYS_SHOWN]), "and")
    return f"the key{'s here are' if len(keys) > 1 else ' here is'} {shown}{' …' if len(keys) > KEYS_SHOWN else ''}"


def _nearest(node: Node, expected: str) -> str:
    choices = re.findall(r"`([^`]*)`", expected)
    near = closest(node.value, choices) if isinstance(node.value, str) and not node.shown else ""
    return f": did you mean `{near}`?" if near else ""


def _meant_key(finding: Finding) -> str:
    """The key that an unknown one most likely stands for, or ""."""
    return closest(str(finding.path[-1]), finding.keys)


def _unknown_key(finding: Finding) -> str:
    key, near, keys = str(finding.path[-1]), _meant_key(finding), finding.keys
    unknown = f"unknown key {quoted(key)}"
    foreign = next((letter for letter in key if not letter.isascii() and letter.isprintable()), "")
    if foreign:  # some letters of other alphabets look like ours
        unknown += f", of which `{foreign}` is U+{ord(foreign):04X}"
    above = _above(key, finding.shapes)
    if above and not closest(key, keys, 0.8):
        return f"{unknown}: it belongs under {join_choices(f'`{name}`' for name in above)}"
    if near:
        return f"{unknown}: did you mean `{near}`?"
    return f"{unknown}: {_keys_here(keys)}" if keys else f"{unknown}: remove it"


def _above(key: str, shapes: Iterable[Any]) -> list[str]:
    """The keys of these shapes under which `key` may stand."""
    return [
        name
        for model in models_in(shapes)
        for name, annotation in keys_of(model).items()
        if any(key in keys_of(below) for below in models_in([annotation, *narrowed([annotation], 0)]))
    ]


def _own_sentence(finding: Finding) -> str:
    """A validator's own words, unless they would show a secret."""
    said = f"{finding.details.get('error', finding.message)}{finding.details.get('also', '')}"
    secrets = [secret for node in finding.node.below() for secret in node.secrets]
    secrets += _named_secrets(finding.node, finding.name)
    if not secrets:
        return said
    clean = scrubbed(said, tuple(secrets))
    if clean is not None:
        return clean
    shown = join_choices((quoted(secret.shown) for secret in secrets), "and")
    return f"the value of {shown} is not accepted here"


def _named_secrets(node: Node, name: str) -> list[Secret]:
    """Values written in the file itself, under keys named like a secret."""
    if isinstance(node.value, dict):
        return [secret for key, child in node.value.items() for secret in _named_secrets(child, str(key))]
    if isinstance(node.value, list):
        return [secret for child in node.value for secret in _named_secrets(child, name)]
    if not isinstance(node.value, str) or not node.value or node.shown:
        return []
    return [Secret(node.value, name)] if hides(name) and not _VARIABLE.fullmatch(node.value) else []
