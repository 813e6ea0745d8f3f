"""Problem and ConfigError: what is wrong in a configuration, where, and what to write instead.

Every step of loading returns Problems; the last one raises them all at once, sorted by place.
The rule: a message names the place, what was found and what to write, and never shows a secret.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from gateway.config.loading import Loaded

__all__ = ["ConfigError", "Place", "Problem", "closest", "join_choices", "quoted", "spelled_path"]

SHOWN_CHARACTERS = 60  # of a value in a message: against a certificate pasted into the wrong key


class Place(NamedTuple):
    """A position in a file: line and column count from 1. Line 0 means the file as a whole."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


class Problem(NamedTuple):
    """One error or warning. `path` is the key's path (`routes[0].upstream`) or a flag (`--to`), "" for syntax."""

    place: Place
    path: str
    message: str

    @property
    def file(self) -> str:
        return self.place.file

    @property
    def line(self) -> int:
        return self.place.line

    @property
    def column(self) -> int:
        return self.place.column

    def __str__(self) -> str:
        return ": ".join(part for part in (str(self.place), self.path, self.message) if part)


class ConfigError(Exception):
    """The configuration is not usable; `problems` says everything that is wrong, one line each, sorted by place.

    `sound` is a Loaded of what is right in it, if anything is: to be built for the mistakes that only building finds,
    and never to be served.
    """

    def __init__(self, problems: Iterable[Problem], sound: Loaded | None = None) -> None:
        self.problems: tuple[Problem, ...] = tuple(sorted(set(problems)))
        self.sound = sound
        super().__init__("\n".join(map(str, self.problems)))


def quoted(text: str) -> str:
    """The text in backquotes on one line, control characters escaped, long texts cut."""
    if len(text) > SHOWN_CHARACTERS:
        text = text[: SHOWN_CHARACTERS - 1] + "…"
    shown = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)
    return f"`{shown}`"


def spelled_path(path: Iterable[str | int]) -> str:
    """`routes[0].match.host` from ("routes", 0, "match", "host"); keys with a dot or a space are put in quotes."""
    spelled = ""
    for step in path:
        if isinstance(step, int):
            spelled += f"[{step}]"
            continue
        plain = step.replace("_", "").replace("-", "").isalnum() or step == "<<"
        name = step if plain else '"' + quoted(step)[1:-1] + '"'
        spelled += f".{name}" if spelled else name
    return spelled


def join_choices(choices: Iterable[str], last: str = "or") -> str:
    """`a`, `b` or `c`, each as given."""
    rows = list(dict.fromkeys(choices))
    if len(rows) < 2:
        return "".join(rows)
    return f"{', '.join(rows[:-1])} {last} {rows[-1]}"


# What people who come from other gateways write for our words. Consulted before the spelling is compared.
_OTHER_WORDS = {
    "addr": "bind",
    "address": "bind",
    "backend": "upstream",
    "backends": "upstreams",
    "certs": "certificates",
    "certificate": "certificates",
    "clusters": "upstreams",
    "code": "status",
    "hosts": "host",
    "listen": "bind",
    "location": "to",
    "locations": "routes",
    "logging": "log",
    "method": "methods",
    "paths": "path",
    "proxy_pass": "upstream",
    "route": "routes",
    "rules": "routes",
    "servers": "endpoints",
    "service": "upstream",
    "services": "upstreams",
    "ssl": "tls",
    "targets": "endpoints",
    "timeout": "timeouts",
    "trusted_proxies": "trusted",
    "urls": "endpoints",
}


def closest(written: str, choices: Iterable[str], likeness: float = 0.6) -> str:
    """The choice that `written` most likely stands for, or ""; at a `likeness` of 1 only what is spelled the same."""
    return _closest(written, tuple(choice for choice in choices if choice), likeness)


@lru_cache(maxsize=256)  # a mistake that was copied stands in a thousand places
def _closest(written: str, rows: tuple[str, ...], likeness: float) -> str:
    import difflib  # noqa: PLC0415  # only when something is misspelt: kept off the way to the first answer

    folded = written.lower().replace("-", "_").replace(" ", "_")
    by_spelling = {choice.lower().replace("-", "_"): choice for choice in rows}
    if folded in by_spelling:
        return by_spelling[folded]
    other = _OTHER_WORDS.get(folded, "")
    if other in rows:
        return other
    begun = [choice for spelling, choice in by_spelling.items() if len(folded) > 2 and spelling.startswith(folded)]
    if len(begun) == 1:
        return begun[0]
    near = difflib.get_close_matches(folded, list(by_spelling), n=1, cutoff=likeness)
    return by_spelling[near[0]] if near else ""
