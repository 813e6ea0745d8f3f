"""`${env:NAME}`, `${env:NAME:-default}` and `${file:/path}` inside scalars, and what must stay secret.

The composer (document.py) hands every scalar of a file to `References.resolve` while it builds the tree of nodes.
The rule: a value that came from the environment or a file is a secret; messages show the reference, never the value.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

__all__ = ["HIDDEN", "ReferenceFault", "References", "Resolved", "Secret", "hides", "is_secret_name", "scrubbed"]

HIDDEN = "***"
MAX_SECRET_BYTES = 1 << 20  # of a ${file:…}: against a path that names a log or a disk image
SHARED_LETTERS = 4  # a message that repeats this many letters of a secret in a row is not shown

# `$${env:` is an escape: the text `${env:` itself. `${host}` and other variables are not ours.
_REFERENCE = re.compile(r"(\$?)\$\{(env|file):([^}]*)(\}?)")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SECRET_NAME = re.compile(
    r"(?:^|[_-])(?:password|passwd|passphrase|secrets?|tokens?|keys?|apikey|credentials?|authorization|cookie)(?:$|[_-])",
    re.IGNORECASE,
)


class Secret(NamedTuple):
    """A value that must not be shown ("" for a default), and what is shown in its place (`${env:NAME}`)."""

    value: str
    shown: str

    def __repr__(self) -> str:
        return f"Secret({self.shown})"


class Resolved(NamedTuple):
    """A scalar's text after its references; `whole` if the scalar was one reference and nothing else."""

    text: str
    secrets: tuple[Secret, ...]
    whole: bool

    def __repr__(self) -> str:
        return f"Resolved({self.secrets})"


class ReferenceFault(ValueError):
    """A reference that cannot be followed. The message says what to do and never shows a value."""


class References:
    """Follows references; `read` collects the files it has read, for the watcher."""

    __slots__ = ("environ", "folder", "read")

    def __init__(self, environ: Mapping[str, str], folder: Path) -> None:
        self.environ = environ
        self.folder = folder
        self.read: list[Path] = []

    def resolve(self, text: str) -> Resolved | None:
        """None if the text has no reference of ours. Raises ReferenceFault."""
        if "${env:" not in text and "${file:" not in text:
            return None
        parts: list[str] = []
        secrets: list[Secret] = []
        at, whole = 0, False
        for found in _REFERENCE.finditer(text):
            parts.append(text[at : found.start()])
            at = found.end()
            if found[1]:
                parts.append(found[0][1:])
                continue
            if not found[4]:
                raise ReferenceFault(f"the reference `{found[0]}` is not closed: write a }} at its end")
            follow = self._environment if found[2] == "env" else self._file
            value, hidden = follow(found[0], found[3])
            secrets.append(Secret(value if hidden else "", found[0]))
            parts.append(value)
            whole = found.span() == (0, len(text))
        parts.append(text[at:])
        return Resolved("".join(parts), tuple(secrets), whole)

    def _environment(self, reference: str, inside: str) -> tuple[str, bool]:
        """The value, and whether it is a secret: a default stands in the file for all to read."""
        name, has_default, default = inside.partition(":-")
        if not _NAME.fullmatch(name):
            raise ReferenceFault(f"`{reference}` is not a reference: write ${{env:NAME}} or ${{env:NAME:-default}}")
        value = self.environ.get(name)
        if has_default and not value:
            return default, False
        if value is None:
            raise ReferenceFault(
                f"the environment variable {name} is not set: set it, or write ${{env:{name}:-default}}"
            )
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ReferenceFault(f"the environment variable {name} is not valid UTF-8") from None
        return value, True

    def _file(self, reference: str, inside: str) -> tuple[str, bool]:
        if not inside or "\0" in inside:
            raise ReferenceFault(f"`{reference}` is not a reference: write ${{file:/run/secrets/name}}")
        path = self.folder / inside
        self.read.append(path)
        try:
            status = path.stat()
            if not stat.S_ISREG(status.st_mode):
                raise ReferenceFault(f"`{reference}`: {inside} is not a regular file")
            if status.st_size > MAX_SECRET_BYTES:
                raise ReferenceFault(f"`{reference}`: the file is larger than 1 MiB")
            text = path.read_bytes().decode()
        except FileNotFoundError:
            raise ReferenceFault(f"`{reference}`: there is no file {inside}") from None
        except UnicodeDecodeError:
            raise ReferenceFault(f"`{reference}`: the file is not valid UTF-8 text") from None
        except OSError as error:
            raise ReferenceFault(f"`{reference}`: the file cannot be read ({error.strerror})") from None
        return text.removesuffix("\n").removesuffix("\r"), True


def is_secret_name(name: str) -> bool:
    """Whether a key is named like something that must not be shown: password, token, secret, key, …"""
    return _SECRET_NAME.search(name) is not None


def hides(name: str) -> bool:
    """Whether messages hide what stands under a key. A bare `key` mostly names a file, or what to hash by."""
    return name not in {"key", "keys"} and is_secret_name(name)


def scrubbed(message: str, secrets: tuple[Secret, ...], *, partly: bool = True) -> str | None:
    """The message with each secret replaced by its reference, or None if part of one would still be readable.

    With `partly=False` parts are not looked for: for messages that are not about the secret.
    """
    for value, shown in sorted(secrets, key=lambda secret: -len(secret.value)):
        for spelling in {value, repr(value)[1:-1], value.strip()} - {""}:
            message = re.sub(rf"(?<!\w){re.escape(spelling)}(?!\w)", lambda _, shown=shown: shown, message)  # type: ignore[misc]
    if not partly:
        return message
    bare = message.lower()
    for _, shown in secrets:
        bare = bare.replace(shown.lower(), "\0")
    pieces = {bare[start : start + SHARED_LETTERS] for start in range(len(bare) - SHARED_LETTERS + 1)}
    lowered = [value.lower() for value, _ in secrets]
    return None if any(piece in value for piece in pieces for value in lowered) else message
