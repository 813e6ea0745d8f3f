"""Patterns: RE2 over bytes, its refusals in plain words, globs, and no input that makes them slow."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.patterns import MAX_PATTERN, compile_glob, compile_regex, quote


@pytest.mark.parametrize(
    ("pattern", "advice"),
    [
        ("(?=a)", "look-ahead"),
        ("(?!a)", "look-ahead"),
        ("(?<=a)", "look-behind"),
        ("(?<!a)", "look-behind"),
        (r"(a)\1", r"back-reference \1"),
        ("(?>a)", "atomic groups"),
        ("a*+", "possessive"),
        ("a{1001}", "1000 at most"),
        ("(((a{1000}){1000}){1000})", "1000 at most"),
        ("[", "missing ]"),
        ("", "empty pattern"),
        ("a" * (MAX_PATTERN + 1), f"at most {MAX_PATTERN}"),
    ],
)
def test_refused(pattern: str, advice: str) -> None:
    """What RE2 cannot do is refused with a reason and not with its own terse words."""
    with pytest.raises(ValueError, match=re.escape(advice)):
        compile_regex(pattern)


def test_bytes_are_characters() -> None:
    """A dot is one byte, so undecodable bytes cannot fall through a pattern."""
    assert compile_regex("a.b").fullmatch(b"a\xffb")
    assert not compile_regex("a.b").fullmatch(b"a\xc3\xa9b")


def test_hostile_input_is_linear() -> None:
    """The classic exponential pattern takes milliseconds on 8 KiB."""
    began = time.perf_counter()
    assert not compile_regex("(a+)+b").fullmatch(b"a" * 8192)
    assert not compile_glob(b"*a*a*a*a*b")(b"a" * 8192)
    assert time.perf_counter() - began < 0.5


@given(st.binary(max_size=20), st.binary(max_size=20))
def test_quote_matches_itself_only(text: bytes, other: bytes) -> None:
    """Quoted bytes have no meaning but themselves."""
    pattern = compile_regex(f"(?s:{quote(text).decode()})")
    assert pattern.fullmatch(text)
    assert bool(pattern.fullmatch(other)) is (text == other)


@given(st.text("ab*.", max_size=6), st.text("ab.\n", max_size=8))
def test_glob_equals_its_definition(glob: str, value: str) -> None:
    """One star goes by comparison and several by RE2; both mean: any bytes here."""

    def matches(pattern: str, text: str) -> bool:
        if not pattern:
            return not text
        if pattern[0] == "*":
            return any(matches(pattern[1:], text[at:]) for at in range(len(text) + 1))
        return text[:1] == pattern[0] and matches(pattern[1:], text[1:])

    assert bool(compile_glob(glob.encode())(value.encode())) is matches(glob, value)
