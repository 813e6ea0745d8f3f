"""YAML 1.2 core schema: which value a scalar stands for (YAML 1.2.2, section 10.3.2).

The composer (document.py) asks for each plain scalar; `no`, `on`, `12:30:45` and dates are text.
The rule: only null, true/false, whole and decimal numbers are not text; what no key can mean (infinity) is refused.
"""

from __future__ import annotations

import math
import re
from typing import TypeAlias

__all__ = ["ScalarFault", "Value", "plain_value", "tagged_value"]

Value: TypeAlias = "bool | int | float | str | None"

MAX_NUMBER_LETTERS = 64  # against int() of a megabyte of digits, which takes quadratic time

_WORDS: dict[str, Value] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip
_NUMBER_BEGINS = frozenset("+-.0123456789")
_INTEGER = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o[0-7]+")
_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]+")
_DECIMAL = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NO_NUMBER = frozenset({
    ".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF", "-.inf", "-.Inf", "-.INF", ".nan", ".NaN", ".NAN",
})  # fmt: skip


class ScalarFault(ValueError):
    """A scalar no key can mean. The message says what to write instead; the caller adds what was found."""


def plain_value(text: str) -> Value:
    """The value of a scalar without quotes. Raises ScalarFault."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _NUMBER_BEGINS:
        return text
    if _INTEGER.fullmatch(text):
        return int(_bounded(text))
    if _OCTAL.fullmatch(text):
        return int(_bounded(text), 8)
    if _HEXADECIMAL.fullmatch(text):
        return int(_bounded(text), 16)
    if _DECIMAL.fullmatch(text):
        number = float(_bounded(text))
        if math.isinf(number):
            raise ScalarFault("is a number without bounds: put it in quotes if text is meant")
        return number
    if text in _NO_NUMBER:
        raise ScalarFault("is not a value a key can have: put it in quotes if text is meant")
    return text


def _bounded(text: str) -> str:
    if len(text) > MAX_NUMBER_LETTERS:
        raise ScalarFault(f"is a number of {len(text)} digits: put it in quotes if text is meant")
    return text


_TAGGED: dict[str, tuple[tuple[type, ...], str]] = {
    "tag:yaml.org,2002:null": ((type(None),), "!!null"),
    "tag:yaml.org,2002:bool": ((bool,), "!!bool"),
    "tag:yaml.org,2002:int": ((int,), "!!int"),
    "tag:yaml.org,2002:float": ((int, float), "!!float"),
}


def tagged_value(tag: str, text: str) -> Value:
    """The value of a scalar with an explicit core tag. Raises ScalarFault, KeyError for an unknown tag."""
    if tag in {"!", "tag:yaml.org,2002:str"}:
        return text
    kinds, name = _TAGGED[tag]
    value = plain_value(text)
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        raise ScalarFault(f"is not what its tag {name} says: remove the tag")
    return float(value) if name == "!!float" and isinstance(value, int) else value
