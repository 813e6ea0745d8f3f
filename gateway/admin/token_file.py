"""The token that a gateway without `admin.token` makes for itself: the file `admin-token` in its state_dir.

Made when the admin listener starts for the first time, read at every later start and by `gateway ctl`. The rule: nobody
but the gateway's user (and root) can read it, and one that somebody else put there is not believed.
"""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from gateway.admin.settings import SHORTEST_TOKEN

NAME = "admin-token"
MOST_BYTES = 4096  # of the file, against one that is something else


class TokenUnusable(Exception):
    """The file cannot be used; the message says why and what to do."""


def read_or_make(folder: Path) -> str:
    """The token of the state_dir `folder`. Raises TokenUnusable."""
    path = folder / NAME
    try:
        try:
            return read(path)
        except FileNotFoundError:
            return _make(path)
    except OSError as error:
        raise TokenUnusable(f"{path}: {os.strerror(error.errno or 0)}") from None


def read(path: Path) -> str:
    """The token in a file. Raises TokenUnusable, or OSError where it cannot be read."""
    # A link could lead to what others may write, a pipe would hold us up.
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise TokenUnusable(f"{path} is not a file: remove it")
        if status.st_uid not in {0, os.geteuid()}:
            raise TokenUnusable(f"{path} belongs to somebody else, who knows what it says: remove it")
        if status.st_mode & stat.S_IRWXO:
            raise TokenUnusable(f"{path} is there for everybody to read: remove it, and a new one is made")
        token = os.read(fd, MOST_BYTES).decode("ascii", "replace").strip()
    finally:
        os.close(fd)
    if len(token) < SHORTEST_TOKEN:
        raise TokenUnusable(f"{path} holds no token: remove it, and a new one is made")
    return token


def _make(path: Path) -> str:
    token = secrets.token_hex(32)
    # Under its name only when it is whole: a start that is killed meanwhile leaves no empty token behind.
    unfinished = path.with_name(f".{NAME}.{os.getpid()}")
    unfinished.unlink(missing_ok=True)
    fd = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        os.write(fd, f"{token}\n".encode())
    finally:
        os.close(fd)
    unfinished.replace(path)
    return token
