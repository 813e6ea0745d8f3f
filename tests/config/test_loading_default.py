"""config.yaml at the top of the repository: it serves the demo, names every key, and each of its examples works."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway.config import load
from gateway.config.descriptions import keys_below
from gateway.config.model import SiteConfig
from gateway.schema import Model

DEFAULT = Path(__file__).resolve().parent.parent.parent / "config.yaml"
LINES = DEFAULT.read_text().splitlines()
KEY = re.compile(r"( *)#(?=(?:- )?[a-z0-9_]+:(?: |$)|- )")  # a key, or an entry of a list, that is a comment
NEEDS = {"hash_on": "balance"}


def blocks() -> list[list[int]]:
    """Numbers of the lines of each commented example: its first line and the commented keys indented deeper."""
    found: list[list[int]] = []
    for number, line in enumerate(LINES):
        key = KEY.match(line)
        if key is None:
            continue
        if (
            found
            and found[-1][-1] + 1 <= number
            and len(key[1]) > indent(found[-1][0])
            and joined(found[-1][-1], number)
        ):
            found[-1].append(number)
        else:
            found.append([number])
    return found


def indent(number: int) -> int:
    return len(LINES[number]) - len(LINES[number].lstrip(" "))


def joined(last: int, number: int) -> bool:
    """Whether only comments stand between two lines."""
    return all(line.lstrip().startswith("#") for line in LINES[last + 1 : number])


def name_of(block: list[int]) -> str:
    return LINES[block[0]].strip(" #-").partition(":")[0]


def test_it_serves_the_demo() -> None:
    """As `make run` and its printed lines expect it, without a warning."""
    loaded = load(DEFAULT, environ={})
    assert loaded.warnings == ()
    config = loaded.config
    assert [(str(entry.bind), entry.tls is not None) for entry in config.listeners] == [
        ("127.0.0.1:8080", False), ("127.0.0.1:8443", True),
    ]  # fmt: skip
    assert config.listeners[1].tls.certificates == "certs/"  # type: ignore[union-attr]
    assert [endpoint.url for endpoint in config.upstreams["app"].endpoints] == ["http://127.0.0.1:3000"]
    assert str(config.admin.bind) == "127.0.0.1:9090"


def test_what_it_writes_out_are_the_defaults() -> None:
    """Apart from the demo's own addresses it changes nothing."""
    config, default = load(DEFAULT, environ={}).config, SiteConfig()
    own = {"listeners", "upstreams", "routes"}
    assert [key for key in SiteConfig.model_fields if getattr(config, key) != getattr(default, key)] == [
        key for key in SiteConfig.model_fields if key in own
    ]


def test_sections_stand_in_the_order_of_the_journey() -> None:
    """All of them, each with a comment before it."""
    numbers = [number for number, line in enumerate(LINES) if re.match(r"#?[a-z_]+:", line)]
    assert [name_of([number]) for number in numbers] == list(SiteConfig.model_fields)
    assert all(LINES[number - 1].startswith("# ") for number in numbers)


def test_every_key_is_named() -> None:
    """In the section it belongs to; a route's copies of other sections are named by their first word."""
    text = "\n".join(LINES)
    missing: list[str] = []

    def visit(model: type[Model], prefix: str, section: str) -> None:
        for key in keys_below(model, prefix):
            name = re.sub(r"(\[\]|\.NAME)$", "", key.path).rpartition(".")[2]
            if not re.search(rf"(?:^|[#\s{{]){re.escape(name)}[:}},]", section, re.MULTILINE):
                missing.append(key.path)
            is_copy = prefix == "routes[]" and name in {*SiteConfig.model_fields, "timeouts", "buffering"}
            if key.model is not None and not is_copy:
                visit(key.model, key.path, section)

    for key in keys_below(SiteConfig):
        name = re.sub(r"(\[\]|\.NAME)$", "", key.path)
        section = re.split(r"\n(?=#?[a-z_]+:)", re.split(rf"\n#?{name}:", text, maxsplit=1)[1], maxsplit=1)[0]
        if key.model is not None:
            visit(key.model, key.path, section)
    assert missing == []


@pytest.mark.parametrize("block", blocks(), ids=lambda block: f"{block[0] + 1}-{name_of(block)}")
def test_each_example_works_when_its_marks_are_taken_away(block: list[int], tmp_path: Path) -> None:
    """By itself, or with the key that it needs."""
    (tmp_path / "secret").write_text("x" * 40)
    wanted = {*block, *(n for other in blocks() if name_of(other) == NEEDS.get(name_of(block)) for n in other)}
    lines = [KEY.sub(r"\1", line, count=1) if number in wanted else line for number, line in enumerate(LINES)]
    path = tmp_path / "config.yaml"
    path.write_text(re.sub("/run/secrets/[a-z-]+", str(tmp_path / "secret"), "\n".join(lines)))
    after = load(path, environ={}).tree.root.plain()
    assert after != load(DEFAULT, environ={}).tree.root.plain()
