"""The YAML parser's complaints in the words of someone who writes configuration.

Called by document.py when a file cannot be read to its end.
The rule: say what to write, at the place where a person would look for the mistake.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from gateway.config.problems import Place, Problem, quoted

__all__ = ["unreadable", "yaml_fault"]

# (part of the parser's sentence, ours); the first that fits is taken. {opened} is the line of the parser's context.
_SENTENCES = (
    ("did not find expected '-' indicator", "the list of line {opened} goes on here: write `- `, or indent less"),
    ("did not find expected ',' or '}'", "the {{ of line {opened} is not closed: a `,` or `}}` is missing"),
    ("did not find expected ',' or ']'", "the [ of line {opened} is not closed: a `,` or `]` is missing"),
    ("did not find expected key", "the indentation does not fit the block that began on line {opened}"),
    ("block sequence entries are not allowed", "a list item cannot stand here: begin it on its own line"),
    ("mapping keys are not allowed", "a `?` is not expected here: put the text in quotes"),
    ("found unknown escape character", "unknown escape in double quotes: write `\\\\`, or use single quotes"),
    ("did not find expected hexdecimal number", "an escape in double quotes is cut short: write `\\\\`"),
    ("found invalid Unicode character escape", "an escape in double quotes names no character"),
    ("found undefined tag handle", "a tag is not known here: remove it, or put text that begins with `!` in quotes"),
    ("did not find expected <document start>", "only comments may stand here: check the indentation above"),
    ("found incompatible YAML document", "only YAML 1.1 and 1.2 are read: remove the %YAML line"),
    ("did not find expected alphabetic or numeric", "text that begins with `*` or `&` must be in quotes"),
    ("did not find expected comment or line break", "only a comment may follow here"),
    ("did not find expected node content", "a value is missing here"),
)  # fmt: skip

_ODD_SPACE = re.compile(r"[\u00a0\u1680\u2000-\u200b\u202f\u205f\u3000\ufeff]")

_NO_COLON = "this is neither `key: value` nor a list item: a `:` is missing, or a space after it"

_IPV6 = re.compile(r"[:-] +(\[[0-9A-Fa-f]*:[0-9A-Fa-f:.]*\])")

_TOO_DEEP = "this line is indented deeper than the one above, which has its value already: indent both alike"


def yaml_fault(error: yaml.YAMLError, text: str, file: str) -> Problem:
    """The Problem for a parser's error."""
    mark: Any = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if mark is None:
        return Problem(Place(file, 1, 1), "", "the file is not YAML: check its quotes and indentation")
    context: Any = getattr(error, "context_mark", None)
    lines = text.splitlines()
    line = _line(lines, mark.line + 1)
    strange = _conflict(lines, file) or _odd_letters(lines, (context or mark).line + 1, file)
    if strange is not None:
        return strange
    said, opened = str(getattr(error, "problem", "")), (context or mark).line + 1
    if context is not None and ("end of stream" in said or "document indicator" in said):
        return Problem(Place(file, opened, context.column + 1), "", "the quote that opens here is not closed")
    if context is not None and "could not find expected ':'" in said:
        return Problem(Place(file, opened, context.column + 1), "", _NO_COLON)
    place = Place(file, mark.line + 1, mark.column + 1)
    if "mapping values are not allowed" in said:
        return _colon(place, lines)
    above = _line(lines, _above(lines, place.line))
    if "did not find expected key" in said and re.search(r": +[^#\s]", above) and _indent(line) > _indent(above):
        return Problem(place, "", _TOO_DEEP)
    tab = re.match(r" *\t", line)
    if tab is not None:
        return Problem(place._replace(column=tab.end()), "", "a tab cannot indent YAML: use spaces")
    return Problem(place, "", _sentence(said, line, mark.column, opened))


def _conflict(lines: list[str], file: str) -> Problem | None:
    """What git leaves where it could not merge."""
    for at, line in enumerate(lines, 1):
        if line.startswith(("<<<<<<< ", ">>>>>>> ")):
            return Problem(Place(file, at, 1), "", "a merge conflict is not settled here: keep one of the two sides")
    return None


def _odd_letters(lines: list[str], number: int, file: str) -> Problem | None:
    """What people and YAML read differently: spaces that are none (copied from a page), and IPv6 addresses."""
    line = _line(lines, number)
    odd, address = _ODD_SPACE.search(line), _IPV6.search(line)
    if odd is not None:
        what = f"this looks like a space and is the character U+{ord(odd[0]):04X}: write a plain space"
        return Problem(Place(file, number, odd.start() + 1), "", what)
    if address is not None:
        what = "an IPv6 address in brackets must be in quotes, for a `[` begins a list"
        return Problem(Place(file, number, address.start(1) + 1), "", what)
    return None


def _colon(place: Place, lines: list[str]) -> Problem:
    """A `:` where none can stand: the mistake is often on the line above."""
    here, above = _line(lines, place.line), _above(lines, place.line)
    if above and ":" not in here[: place.column - 1]:
        text = lines[above - 1]
        glued = re.match(r"\s*(?:- +)*[A-Za-z_][\w-]*:(?=\S)", text)
        if glued is not None and ": " not in text:
            return Problem(Place(place.file, above, glued.end()), "", "a space is missing after this `:`")
        if not re.search(r":(?:\s|$)", text) and not text.lstrip().startswith(("-", "}", "]")):
            return Problem(Place(place.file, above, _indent(text) + 1), "", _NO_COLON)
        if _indent(here) > _indent(text):
            return Problem(place._replace(column=_indent(here) + 1), "", _TOO_DEEP)
    return Problem(place, "", "a `:` is not expected here: put the text in quotes, or check the indentation")


def _line(lines: list[str], number: int) -> str:
    return lines[number - 1] if number <= len(lines) else ""


def _above(lines: list[str], number: int) -> int:
    """Number of the nearest line above that is neither empty nor a comment; 0 if there is none."""
    for at in range(min(number - 1, len(lines)), 0, -1):
        if lines[at - 1].strip() and not lines[at - 1].lstrip().startswith("#"):
            return at
    return 0


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def _sentence(said: str, line: str, column: int, opened: int) -> str:
    if "cannot start any token" in said:
        letter = line[column : column + 1] or " "
        if letter == "\t":
            return "a tab cannot indent YAML: use spaces"
        return f"text that begins with {quoted(letter)} must be in quotes"
    for part, ours in _SENTENCES:
        if part in said:
            sentence = ours.format(opened=opened)
            if part.startswith("did not find expected ','") and "${" in line:
                sentence += "; inside { } and [ ] a `${…}` must be in quotes"
            return sentence
    return "this is not YAML: check quotes and indentation here and on the line above"


def unreadable(content: bytes, at: int | None, file: str, what: str) -> Problem:
    """A Problem at a byte: `content` up to `at` (or to its end) is what could be read."""
    before = content[:at].decode("utf-8", "replace")
    line = before.count("\n") + 1
    column = len(before) - before.rfind("\n")
    if at is not None:
        what = f"the byte 0x{content[at]:02X} {what}"
    return Problem(Place(file, line, column), "", what)
