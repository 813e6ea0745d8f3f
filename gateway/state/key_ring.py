"""KeyRing: the keys that the gateway signs with, so that a client cannot make up what it hands back.

Loaded by the supervisor before it forks, so that all workers have the same; sticky cookies are signed with it. The
rule: the first key signs, all verify, so a key is replaced without anything becoming invalid; and a signature for one
purpose is worth nothing for another.
"""

from __future__ import annotations

import os
import secrets
import stat
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterable
from contextlib import suppress
from hashlib import blake2b
from hmac import compare_digest
from pathlib import Path
from typing import Annotated, TypeAlias

from gateway.schema import AfterValidator

KEYS_FILE = "signing-keys"
SHORTEST = 32  # characters of a key: less might be a word that somebody guesses
MAX_KEYS = 16  # each is tried on each signature that is verified
MAX_FILE = 64 * 1024  # bytes: against a path that is something else
SIGNATURE = 18  # bytes, 144 bits: nobody meets one by chance, and base64 needs no padding
MAX_PURPOSE = blake2b.PERSON_SIZE

_HEADER = """\
# Keys that the gateway signs with, one a line. The first one signs, all of them verify: to replace a key put a new one
# above it, and take the old one out when nothing that it has signed is in use any more. Machines that serve one site
# need the same keys (signing_keys in the configuration): give all of them a new one as the second, then move it up.
# To make one: openssl rand -base64 33
"""


def _long_enough(key: str) -> str:
    if len(key.strip()) < SHORTEST:
        raise ValueError(
            f"a key has at least {SHORTEST} characters that nobody can guess: make one with openssl rand -base64 33"
        )
    return key.strip()


Key: TypeAlias = Annotated[str, AfterValidator(_long_enough)]


class KeyFault(ValueError):
    """Keys that must not be used, or cannot be read. The message says what to do and shows no key."""


class KeyRing:
    """Keys in the order of their use. `source` says where they are from: "configuration", "memory" or a path."""

    __slots__ = ("_keys", "source")

    def __init__(self, keys: Iterable[str], source: str) -> None:
        # What people write down is not uniform, and may be longer than the function's key.
        derived = (blake2b(key.encode(), digest_size=32, person=b"gateway key").digest() for key in keys)
        self._keys = tuple(dict.fromkeys(derived))
        self.source = source
        if not 0 < len(self._keys) <= MAX_KEYS:
            raise KeyFault(f"there must be 1 to {MAX_KEYS} keys, and there are {len(self._keys)}")

    @classmethod
    def load(cls, folder: Path | None, keys: Iterable[str], warn: Callable[[str], None]) -> KeyRing:
        """Those of the configuration; without any, those of the state_dir, made there if there are none; without a
        state_dir that can be written to new ones, which `warn` is told of. Raises KeyFault. Does I/O."""
        given = list(keys)
        if given:
            return cls(given, "configuration")
        if folder is not None:
            path = folder / KEYS_FILE
            try:
                found = _read(path, warn)
                return cls(_make(path, warn) if found is None else found, str(path))
            except KeyFault as error:
                raise KeyFault(f"{path}: {error}") from None
            except OSError as error:
                warn(f"{path}: no keys can be made there ({error.strerror})")
        warn(
            "what the gateway signs (cookies of sticky sessions) is invalid after a restart: set state_dir, or "
            "signing_keys"
        )
        return cls([secrets.token_urlsafe(32)], "memory")

    def sign(self, purpose: bytes, message: bytes) -> bytes:
        """The signature of `message`: 24 bytes that may stand in a cookie or a URL. `purpose` is a constant of at most
        MAX_PURPOSE bytes, another one wherever a signature means something else."""
        return _signature(self._keys[0], purpose, message)

    def verify(self, purpose: bytes, message: bytes, signature: bytes) -> bool:
        """Whether one of the keys has signed this. The time it takes says nothing about how much of it was right."""
        fits = [compare_digest(_signature(key, purpose, message), signature) for key in self._keys]
        return any(fits)

    def __len__(self) -> int:
        return len(self._keys)

    def __repr__(self) -> str:
        return f"<KeyRing of {len(self)} from {self.source}>"


def _signature(key: bytes, purpose: bytes, message: bytes) -> bytes:
    # Keyed BLAKE2b is a MAC by itself (RFC 7693 §2.9); `person` separates the purposes.
    return urlsafe_b64encode(blake2b(message, digest_size=SIGNATURE, key=key, person=purpose).digest())


def _read(path: Path, warn: Callable[[str], None]) -> list[str] | None:
    """The keys of a file, None if there is none. Raises KeyFault."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise KeyFault(f"cannot be read ({error.strerror})") from None
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise KeyFault("is not a regular file")
        if status.st_uid not in {0, os.geteuid()}:
            raise KeyFault("belongs to somebody else, who knows what it says: remove it, and a new one is made")
        if status.st_mode & stat.S_IRWXO:
            raise KeyFault("everybody on this machine may read it, and sign like the gateway: remove it")
        if status.st_mode & stat.S_IRWXG:  # as volumes of Kubernetes make it (fsGroup)
            warn(f"{path}: its group may read it, and sign like the gateway")
        content = os.read(fd, MAX_FILE + 1)
    finally:
        os.close(fd)
    if len(content) > MAX_FILE:
        raise KeyFault(f"is larger than {MAX_FILE // 1024} KiB")
    try:
        lines = [line.strip() for line in content.decode().splitlines()]
        return [_long_enough(line) for line in lines if line and not line.startswith("#")]
    except UnicodeDecodeError:
        raise KeyFault("is not text") from None
    except ValueError as error:
        raise KeyFault(str(error)) from None


def _make(path: Path, warn: Callable[[str], None]) -> list[str]:
    """A new key, in a file that is whole as soon as it is there. Raises OSError, KeyFault."""
    key = secrets.token_urlsafe(32)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(fd, "w") as file:
            file.write(f"{_HEADER}{key}\n")
            file.flush()
            os.fsync(fd)
        with suppress(FileExistsError):  # somebody was faster: theirs are the keys
            os.link(draft, path)
    finally:
        draft.unlink()
    return _read(path, warn) or []
