"""`load`: config.yaml and its rules folder → a validated SiteConfig, or every mistake at once.

The one entrance to the configuration, for `gateway run`, `check` and reloads; `quick` is the same without a file.
The rule: syntax ends the reading of one file only; everything else is collected, sorted and raised together.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from gateway.config.crosscheck import crosscheck, repeated_names
from gateway.config.document import MAX_FILE_BYTES, NOT_SET, Node, parse
from gateway.config.lints import lints
from gateway.config.model import DEFAULT_BIND, RULES_KEYS, SiteConfig
from gateway.config.model import References as Remembered
from gateway.config.partial import NO_GAPS, Gaps, sound_part, spoiled_values
from gateway.config.partial import Path as TreePath
from gateway.config.problems import ConfigError, Place, Problem
from gateway.config.references import References, Secret, scrubbed
from gateway.config.translate import findings, left_empty, misread, translate
from gateway.config.tree import Tree, join

__all__ = ["MAX_RULES_FILES", "RULES_FOLDER", "Loaded", "load", "quick"]

RULES_FOLDER = "rules"
MAX_RULES_FILES = 1000  # against a rules folder that is a mount of something else
_READINGS = 3  # a reference is read as it is written, then the other way round, and back where that failed too


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration that may be built.

    config    the validated values
    warnings  what works but is surely not meant
    watched   files and folders that the configuration was read from, for reloads
    folder    where relative paths start
    gaps      what was taken out because it is wrong: then it is only built to find more (ConfigError.sound)
    """

    config: SiteConfig
    warnings: tuple[Problem, ...]
    watched: tuple[Path, ...]
    folder: Path
    tree: Tree = field(repr=False)
    gaps: Gaps = field(default=NO_GAPS, repr=False)

    def position_of(self, path: Sequence[str | int]) -> Place:
        """(file, line, column) of the value at a path such as ("routes", 0, "upstream"), or of the nearest above it."""
        return self.tree.find(self.gaps.original(path)).place

    def problem(self, path: Sequence[str | int], message: str) -> Problem:
        """A Problem at a path, for what only building finds (a certificate that does not fit its key).

        A message may begin with the keys that lead on from there: `tls.ca: there is no such file`.
        """
        path, message = self._deeper(tuple(path), self.scrub(message))
        place = self.position_of(path)
        return Problem(place, self.tree.spelled(self.gaps.original(path), place), message)

    def is_sound(self, path: Sequence[str | int]) -> bool:
        """Whether all at and below a path is as the operator wrote it: always, where nothing is wrong."""
        return self.gaps.is_sound(path)

    def _deeper(self, path: TreePath, message: str) -> tuple[TreePath, str]:
        """The keys at the beginning of a message go into the path, where there is a file to point into."""
        if not path or not self.position_of(path).line:
            return path, message
        spelled = ".".join(map(str, path))
        message = message.removeprefix(f"{spelled}: ")
        for start in ("", f"{spelled}.", f"{path[-1]}."):
            keys, colon, said = message.removeprefix(start).partition(": ")
            deeper = (*path, *keys.split("."))
            if colon and message.startswith(start) and self.tree.at(self.gaps.original(deeper)) is not None:
                return deeper, said
        return path, message

    def scrub(self, text: str) -> str:
        """The text without any secret of this configuration, for messages of later steps."""
        clean = scrubbed(text, self.config.references.secrets, partly=False)
        return clean if clean is not None else text


def load(path: Path, *, environ: Mapping[str, str] = os.environ) -> Loaded:
    """Reads, joins and validates. Raises ConfigError, and nothing else, for whatever the files hold."""
    references = References(environ, path.parent)
    problems: list[Problem] = []
    main, is_whole = _read(path, references, problems)
    rules: list[Node] = []
    watched = [path, path.parent / RULES_FOLDER]
    for rules_path in _rules_files(path.parent / RULES_FOLDER, problems):
        watched.append(rules_path)
        root, was_whole = _read(rules_path, references, problems)
        is_whole = is_whole and was_whole
        if root is not None:
            rules.append(root)
    tree, joining = join(main, rules, str(path), RULES_KEYS, tuple(SiteConfig.model_fields))
    watched += references.read
    return _validated(tree, problems + joining, is_whole=is_whole, watched=tuple(watched), folder=path.parent)


def quick(to: str, listen: Sequence[str], tls_listen: Sequence[str], admin: str | None) -> Loaded:
    """The configuration of `gateway run --to URL`, no file needed. Errors name the flags. Raises ConfigError."""
    listeners = [_flag("--listen", {"bind": bind}) for bind in listen]
    listeners += [_flag("--tls-listen", {"bind": bind, "tls": {}}) for bind in tls_listen]
    if not listeners:
        listeners.append(_flag("--listen", {"bind": DEFAULT_BIND}))
    root = Node(Place("--to"), {
        "listeners": Node(Place("--listen"), listeners),
        "upstreams": _flag("--to", {"app": {"endpoints": [to.removesuffix("/")]}}),
        "routes": _flag("--to", [{"upstream": "app"}]),
    })  # fmt: skip
    if admin is not None:
        root.value["admin"] = _flag("--admin", {"bind": admin})
    return _validated(Tree(root), [], is_whole=True, watched=(), folder=Path())


def _flag(name: str, value: Any) -> Node:
    """A value as a node whose place is a command line flag."""
    node = Node(Place(name), value)
    if isinstance(value, dict):
        node.keys = dict.fromkeys(value, node.place)
        node.value = {key: _flag(name, child) for key, child in value.items()}
    elif isinstance(value, list):
        node.value = [_flag(name, child) for child in value]
    return node


def _validated(
    tree: Tree, problems: list[Problem], *, is_whole: bool, watched: tuple[Path, ...], folder: Path
) -> Loaded:
    """The configuration of a tree; `is_whole` unless the reading of a file ended early."""
    config, errors = _config(tree)
    told = problems + translate(errors, tree, SiteConfig)
    if is_whole:  # else names would be missed that stand where reading ended
        told += crosscheck(tree)
    gaps, sound = NO_GAPS, config
    if told or sound is None:
        wrong = [*spoiled_values(tree.root), *(finding.path for finding in findings(errors, tree.root, SiteConfig))]
        wrong += [("routes", index, "name") for index, _name, _first in repeated_names(tree)]
        part = sound_part(tree, wrong)
        if part is None:
            raise ConfigError(told)
        sound, gaps = part.config, part.gaps
        told += part.problems
    sound.remember(_remembered(tree.root))
    warnings = [] if problems else lints(tree, gaps, SiteConfig.model_fields)
    loaded = Loaded(sound, tuple(sorted(warnings)), watched, folder, tree, gaps)
    if told:
        raise ConfigError(told, loaded)
    return loaded


def _config(tree: Tree) -> tuple[SiteConfig | None, list[ErrorDetails]]:
    """The validated values, or None and why not. References are read again as the key wants them."""
    swapped: list[Node] = []
    for reading in range(_READINGS):
        try:
            return SiteConfig.model_validate(tree.root.plain()), []
        except ValidationError as error:
            errors = error.errors(include_url=False, include_input=False)
        empty = left_empty(errors, tree.root, SiteConfig)
        for node, value in empty:
            node.value = value
        wrong = misread(errors, tree.root, SiteConfig)
        again = [node for node in wrong if (node in swapped) == (reading == 1)] if reading < 2 else []
        if not again and not empty:
            break
        for node in again:
            node.value, node.other = node.other, node.value
        swapped = again
    return None, errors


def _remembered(root: Node) -> Remembered:
    paths: set[tuple[str | int, ...]] = set()
    secrets: dict[Secret, None] = {}

    for path, node in root.walk():
        if node.shown:
            paths.add(path)
            secrets.update(dict.fromkeys(node.secrets))
    return Remembered(frozenset(paths), tuple(secrets))


def _read(path: Path, references: References, problems: list[Problem]) -> tuple[Node | None, bool]:
    """(root or None, was it read to its end)."""
    file = str(path)
    try:
        with path.open("rb") as opened:
            content = opened.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        why = "there is no such file: write one, name another with -c, or run `gateway run --to URL` without any"
    except IsADirectoryError:
        why = f"this is a folder: name the file in it, for example {path / 'config.yaml'}"
    except OSError as error:
        why = f"the file cannot be read ({error.strerror}): let the user that runs the gateway read it"
    except ValueError:
        why = "this is not the name of a file"
    else:
        root, found, is_whole = parse(content, file, references)
        problems += found
        return (None if root is not None and root.value is NOT_SET else root), is_whole
    problems.append(Problem(Place(file), "", why))
    return None, False


def _rules_files(folder: Path, problems: list[Problem]) -> Iterator[Path]:
    """`*.yaml` below the folder, sorted. Names that begin with a dot are passed over: mounted config maps have them."""
    found: list[Path] = []
    try:
        for parent, folders, names in os.walk(folder):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(names):
                path = Path(parent, name)
                if name.endswith(".yml") and not name.startswith("."):
                    problems.append(Problem(Place(str(path)), "", "rules files end in .yaml: rename it"))
                elif name.endswith(".yaml") and not name.startswith("."):
                    found.append(path)
    except (OSError, ValueError):
        return
    if len(found) > MAX_RULES_FILES:
        problems.append(
            Problem(Place(str(folder)), "", f"more than {MAX_RULES_FILES} files: is this the rules folder?")
        )
        return
    yield from found
