"""Command lines in documents: which of them call the gateway, and whether it understands them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from itertools import takewhile

from gateway.usage import read_words


def typed(page: str) -> Iterator[str]:
    """Every command line of a Markdown page: lines after `$ ` in a console block, all of a shell block, joined where
    they end in a backslash; and what looks like one in `code`."""
    for kind, block in re.findall(r"^```(console|sh)\n(.*?)^```", page, re.DOTALL | re.MULTILINE):
        for line in block.replace("\\\n", " ").splitlines():
            if kind == "sh":
                yield line
            elif line.startswith("$ "):
                yield line.removeprefix("$ ")
    yield from re.findall(
        r"`([^`\n]*\bgateway [a-z][^`\n]*)`", re.sub(r"^```.*?^```", "", page, flags=re.DOTALL | re.MULTILINE)
    )


def gateway_words(line: str) -> Iterator[list[str]]:
    """The words after `gateway`, for each call of it in a command line; not where it only is a name: of a user, a
    service, a container, or of the command in a sentence (`gateway ctl`)."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    lexer.commenters = ""
    words = [*lexer, ";"]
    for at, word in enumerate(words[:-1]):
        if word == "gateway" and re.fullmatch(r"(?!gateway$)[a-z][a-z-]*", words[at + 1]):
            call = list(takewhile(lambda one: not set(one) <= set(";&|<>()"), words[at + 1 :]))
            if call != ["ctl"]:
                yield call


def understood(words: list[str]) -> None:
    """Raises what the command line would end with, SystemExit or WrongUsage."""
    read_words(words)
