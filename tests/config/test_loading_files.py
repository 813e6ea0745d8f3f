"""Every file of tests/config/good and bad: what it says at its head is what `gateway check` must say.

A file begins with one `# expect: LINE:COLUMN: path: message` per mistake, in order, and with a `# warn:` line for each
warning. In a folder with rules, lines about other files begin with their name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from gateway.check import Report, everything, rehearse
from gateway.config import ConfigError, load
from gateway.config.json_schema import schema
from tests.kit.json_schema import mistakes

FOLDER = Path(__file__).parent
SECRET = "hunter2-xyzzy"
SCHEMA = schema()
ENVIRON = {"SECRET": SECRET, "LIMIT": "50", "DIGITS": "12345", "EMPTY": ""}


def cases(kind: str) -> list[Path]:
    return sorted([*(FOLDER / kind).glob("*.yaml"), *(FOLDER / kind).glob("*/config.yaml")])


def case_name(path: Path) -> str:
    return path.parent.name if path.name == "config.yaml" else path.stem


def told(path: Path, word: str) -> list[str]:
    text = path.read_bytes().decode("utf-8-sig", "replace")
    return re.findall(rf"^# {word}: (.*?)\r?$", text, re.MULTILINE)


def said(path: Path, problems: Iterable[object]) -> list[str]:
    """Problems as the files tell them: without the case's own folder and name."""
    own = f"{path.parent}/"
    return [str(problem).removeprefix(f"{path}:").replace(own, "") for problem in problems]


def check(path: Path) -> Report:
    try:
        return rehearse(load(path, environ=ENVIRON))
    except ConfigError as error:
        return everything(error)


@pytest.mark.parametrize("path", cases("bad"), ids=case_name)
def test_bad_file_says_every_mistake(path: Path) -> None:
    """Each mistake once, with its place and what to write; never a secret, nor a word of the validator's."""
    report = check(path)
    assert said(path, report.errors) == told(path, "expect") != []
    assert said(path, report.warnings) == told(path, "warn")
    text = "\n".join(map(str, (*report.errors, *report.warnings)))
    assert SECRET not in text
    assert not re.search(r"pydantic|Input should|Value error|type=|NoneType|Traceback|<class", text)


@pytest.mark.parametrize("path", cases("good"), ids=case_name)
def test_good_file_loads(path: Path) -> None:
    """It loads, with exactly the warnings it names."""
    loaded = load(path, environ=ENVIRON)
    assert said(path, loaded.warnings) == told(path, "warn")


@pytest.mark.parametrize("path", cases("good"), ids=case_name)
def test_good_file_fits_the_schema(path: Path) -> None:
    """Editors accept what the gateway accepts, references in place of their values included."""
    tree = load(path, environ=ENVIRON).tree
    for node in tree.root.below():
        if node.shown:
            node.value = node.shown
    assert mistakes(tree.root.plain(), SCHEMA) == []


def test_there_are_enough_of_them() -> None:
    """The collections do not shrink unseen."""
    assert len(cases("bad")) >= 120
    assert len(cases("good")) >= 15
