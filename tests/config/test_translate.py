"""The validator's errors in our words, for every kind that a Model can raise."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import Discriminator, Tag, ValidationError

from gateway.config.document import parse
from gateway.config.references import References
from gateway.config.translate import misread, translate
from gateway.config.tree import Tree
from gateway.schema import AfterValidator, BeforeValidator, Count, Duration, Field, Model, Network, one_or_many


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


def refuse(text: str) -> str:
    raise ValueError(f"{text!r} is refused")


def insist(text: str) -> str:
    if text != "x":
        raise AssertionError(f"{text} is not x")
    return text


class Cat(Model):
    kind: Literal["cat"]
    lives: int = 9


class Dog(Model):
    kind: Literal["dog"]
    bark: bool


class Inner(Model):
    size: int
    name: str = ""


class Easy(Model):
    level: int = 1


class Everything(Model):
    number: int | None = None
    share: float = 0.5
    flag: bool = False
    text: str = ""
    short: str = Field(default="abc", min_length=2, max_length=4)
    filled: str = Field(default="a", min_length=1)
    shaped: str = Field(default="a1", pattern="^[a-z][0-9]$")
    even: int = Field(default=2, multiple_of=2)
    under: float = Field(default=0.5, gt=0, lt=1)
    colour: Literal["red", "blue"] = "red"
    code: Literal[301, 302] = 301
    shade: Colour = Colour.RED
    entries: list[int] = Field(default=[], max_length=2)
    pair: tuple[int, int] = (1, 2)
    names: set[str] = set()
    table: dict[str, int] = {}
    codes: dict[int, str] = {}
    inner: Inner | None = None
    easy: Easy = Easy()
    inners: list[Inner] = []
    off_or: Literal["off"] | Inner = "off"
    wait_or: Literal["never"] | Duration = "never"
    pet: Annotated[Cat | Dog, Field(discriminator="kind")] | None = None
    tagged: (
        Annotated[
            Annotated[Cat, Tag("c")] | Annotated[Dog, Tag("d")], Discriminator(lambda value: value.get("kind", "")[:1])
        ]
        | None
    ) = None
    many: Annotated[list[Annotated[str, AfterValidator(refuse)]], BeforeValidator(one_or_many)] = []
    insisted: Annotated[str, AfterValidator(insist)] = "x"
    ranges: list[Network | Literal["private"]] = []
    anything: dict[str, list[Inner] | Count] = {}
    password: Literal["a", "b"] = "a"


def problems(text: str, **environ: str) -> list[str]:
    root, found, _ = parse(text.encode(), "c", References(environ, Path()))
    assert found == []
    assert root is not None
    with pytest.raises(ValidationError) as caught:
        Everything.model_validate(root.plain())
    errors = caught.value.errors(include_url=False, include_input=False)
    return [str(problem).removeprefix("c:") for problem in sorted(translate(errors, Tree(root), Everything))]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("number: x", "1:9: number: expected a whole number, found text `x`"),
        ("number: 1.5", "1:9: number: expected a whole number, found the number `1.5`"),
        ("number: true", "1:9: number: expected a whole number, found `true`"),
        ("number: '5'", "1:9: number: expected a whole number, found text `5`: take away the quotes"),
        ("share: [1]", "1:8: share: expected a number, found a list"),
        ("flag: on", "1:7: flag: expected true or false, found text `on`: write `true`"),
        ("flag: 1", "1:7: flag: expected true or false, found the number `1`"),
        ("text: 1", "1:7: text: expected text, found the number `1`: put it in quotes"),
        ("text:", "1:6: text: expected text, found nothing: write a value or remove the key"),
        ("text: {}", "1:7: text: expected text, found a mapping"),
        ("short: a", "1:8: short: must have at least 2 characters, found text `a`"),
        ("short: abcde", "1:8: short: must have at most 4 characters, found text `abcde`"),
        ("filled: ''", "1:9: filled: must not be empty"),
        ("shaped: 1a", "1:9: shaped: must look like the pattern `^[a-z][0-9]$`, found text `1a`"),
        ("even: 3", "1:7: even: must be a multiple of 2, found the number `3`"),
        ("under: 0", "1:8: under: must be more than 0, found the number `0`"),
        ("under: 1.0", "1:8: under: must be less than 1, found the number `1.0`"),
        ("colour: bleu", "1:9: colour: expected `red` or `blue`, found text `bleu`: did you mean `blue`?"),
        ("colour: 3", "1:9: colour: expected `red` or `blue`, found the number `3`"),
        ("code: 303", "1:7: code: expected `301` or `302`, found the number `303`"),
        ("entries: 1", "1:10: entries: expected a list, found the number `1`"),
        ("entries: [1, 2, 3]", "1:10: entries: needs at most 2 entries, found 3"),
        ("entries: [1, x]", "1:14: entries[1]: expected a whole number, found text `x`"),
        ("table: [a]", "1:8: table: expected a mapping, found a list: write `key: value` lines without `- `"),
        ("table: {a: x}", "1:12: table.a: expected a whole number, found text `x`"),
        ("table: {1: 2}", "1:9: table.1: expected text, found the number `1`: put it in quotes"),
        ("codes: {a: x}", "1:9: codes.a: expected a whole number, found text `a`"),
        ("codes: {404: 1}", "1:14: codes.404: expected text, found the number `1`: put it in quotes"),
        ("inner: {}", "1:8: inner.size: this key is required and missing"),
        ("inner: 5", "1:8: inner: expected a mapping, found the number `5`: the keys here are `size` and `name`"),
        ("inner: x", "1:8: inner: expected a mapping, found text `x`: write `size: x`"),
        ("inner: true", "1:8: inner: expected a mapping, found `true`: the keys here are `size` and `name`"),
        ("inner: [size]", "1:8: inner: expected a mapping, found a list: the keys here are `size` and `name`"),
        ("easy: true", "1:7: easy: expected a mapping, found `true`: write `{}` for the defaults"),
        ("easy: x", "1:7: easy: expected a mapping, found text `x`: the key here is `level`"),
        ("inners: {size: 1}", "1:9: inners: expected a list, found a mapping: begin each entry with `- `"),
        ("inners:\n  -size: 1", "2:3: inners: expected a list, found a mapping: put a space after each `-`"),
        ("inners: [x]", "1:10: inners[0]: expected a mapping, found text `x`: write `size: x`"),
        ("size: 1", "1:1: size: unknown key `size`: it belongs under `inner`, `inners` or `off_or`"),
        ("numbr: 1", "1:1: numbr: unknown key `numbr`: did you mean `number`?"),
        ("t\u0435xt: a", "1:1: t\u0435xt: unknown key `t\u0435xt`, of which `\u0435` is U+0435: did you mean `text`?"),
        ("inners: [{size: 1, nam: x}]", "1:20: inners[0].nam: unknown key `nam`: did you mean `name`?"),
        ("inner: {siz: 1}", "1:9: inner.siz: unknown key `siz`: did you mean `size`?"),
        ("off_or: 3", "1:9: off_or: expected `off` or a mapping, found the number `3`"),
        ("off_or: of", "1:9: off_or: expected `off` or a mapping, found text `of`: did you mean `off`?"),
        ("off_or: {size: x}", "1:16: off_or.size: expected a whole number, found text `x`"),
        ("off_or: [1]", "1:9: off_or: expected `off` or a mapping, found a list"),
        ("pet: {kind: bird}", "1:6: pet: `kind` must be `cat` or `dog`, found `bird`"),
        ("pet: {lives: 1}", "1:6: pet: the key `kind` is required and missing"),
        ("pet: {kind: dog}", "1:6: pet.bark: this key is required and missing"),
        ("pet: {kind: cat, lives: x}", "1:25: pet.lives: expected a whole number, found text `x`"),
        ("tagged: {kind: dog, bark: 1}", "1:27: tagged.bark: expected true or false, found the number `1`"),
        ("many: a", "1:7: many: 'a' is refused"),
        ("many: [a]", "1:8: many[0]: 'a' is refused"),
        ("insisted: y", "1:11: insisted: y is not x"),
        ("anything: {a: []}\nflag: 1", "2:7: flag: expected true or false, found the number `1`"),
        ("anything: {a: [{size: x}]}", "1:23: anything.a[0].size: expected a whole number, found text `x`"),
        ("anything: {a: 0}", "1:15: anything.a: must be at least 1, found the number `0`"),
        ("anything: {a: x}", "1:15: anything.a: expected a list or a whole number, found text `x`"),
        ("password: hunter2", "1:11: password: expected `a` or `b`, found a text that is not shown"),
        ("ranges: [10.0.0.0/8, 1]", "1:22: ranges[1]: expected an address or a range such as 10.0.0.0/8, or `private`"),
    ],
)  # fmt: skip
def test_one_sentence_for_one_mistake(text: str, message: str) -> None:
    """Place, path, what was expected, what was found, and advice where there is some."""
    assert problems(text) == [message]


def test_a_union_with_a_validator_of_its_own_speaks_its_words() -> None:
    """And names the words that would do as well."""
    (message,) = problems("wait_or: soon")
    assert message.startswith("1:10: wait_or: 'soon' is not a duration: write for example 30s")
    assert message.endswith(", or `never`")


def test_kinds_that_strict_models_hardly_raise() -> None:
    """Sets, tuples and enums are not written in YAML: whatever comes is told without jargon."""
    for text in ("shade: red", "pair: [1, 2]", "names: [a]"):
        (message,) = problems(text)
        assert message.split(": ")[2].startswith(("expected", "this value is not accepted"))


def test_all_mistakes_at_once() -> None:
    """Sorted by place, each told once."""
    found = problems("inner:\n  siz: 1\nflag: on\nnumber: x\n")
    assert [message.split(":")[0] for message in found] == ["2", "3", "4"]


def test_secrets_in_a_validators_own_words_are_replaced() -> None:
    """By the reference; if a part would still show, by a sentence without any of it."""

    def cut(text: str) -> str:
        raise ValueError(f"begins with {text[:5]}")

    class Cut(Model):
        value: Annotated[str, AfterValidator(cut)]

    assert problems("many: ['${env:S}']", S="hunter2") == ["1:8: many[0]: '${env:S}' is refused"]
    assert problems("number: ${env:S}", S="hunter2") == ["1:9: number: expected a whole number, found text `${env:S}`"]
    root, _, _ = parse(b"value: ${env:S}\n", "c", References({"S": "hunter2"}, Path()))
    assert root is not None
    with pytest.raises(ValidationError) as caught:
        Cut.model_validate(root.plain())
    (problem,) = translate(caught.value.errors(), Tree(root), Cut)
    assert problem.message == "the value of `${env:S}` is not accepted here"


def test_misread_finds_references_of_the_other_kind() -> None:
    """A number where text is wanted and the reverse; nothing that was written as it is."""
    root, _, _ = parse(b"text: ${env:N}\nnumber: '${env:N}'\nflag: 3\n", "c", References({"N": "7"}, Path()))
    assert root is not None
    with pytest.raises(ValidationError) as caught:
        Everything.model_validate(root.plain())
    found = misread(caught.value.errors(), root, Everything)
    assert sorted(node.place.line for node in found) == [1, 2]


def test_an_error_of_a_kind_unknown_to_us_has_no_jargon() -> None:
    """Kinds of later versions of the library, and of Models that are not there yet."""
    root, _, _ = parse(b"text: 3\n", "c", References({}, Path()))
    assert root is not None
    error: Any = {"type": "date_parsing", "loc": ("text",), "msg": "Input should be a date", "input": 3}
    assert [problem.message for problem in translate([error], Tree(root), Everything)] == [
        "this value is not accepted here, found the number `3`"
    ]
