"""Signing, verifying, replacing keys, and where they are kept."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.schema import Model
from gateway.state import key_ring as key_ring_module
from gateway.state.key_ring import KEYS_FILE, MAX_FILE, MAX_KEYS, MAX_PURPOSE, SHORTEST, Key, KeyFault, KeyRing

OLD, NEW, OTHER = (letter * SHORTEST for letter in "abc")


def silent(_text: str) -> None:
    raise AssertionError(_text)


def ring(*keys: str) -> KeyRing:
    return KeyRing.load(None, keys, silent)


def write(folder: Path, text: str, mode: int = 0o600) -> Path:
    path = folder / KEYS_FILE
    path.write_text(text)
    path.chmod(mode)
    return path


@given(st.binary(max_size=MAX_PURPOSE), st.binary(max_size=200))
def test_what_was_signed_verifies(purpose: bytes, message: bytes) -> None:
    """The same keys anywhere; the signature may stand in a cookie or a URL."""
    signature = ring(NEW).sign(purpose, message)
    assert re.fullmatch(rb"[A-Za-z0-9_-]{24}", signature)
    assert ring(NEW).verify(purpose, message, signature)
    assert ring(NEW).sign(purpose, message) == signature


@given(st.binary(min_size=1, max_size=40), st.integers(min_value=0), st.integers(min_value=1, max_value=255))
def test_whatever_is_changed_does_not_verify(message: bytes, at: int, change: int) -> None:
    """One byte of the message or of the signature."""
    keys = ring(NEW)
    signature = keys.sign(b"cookie", message)
    for changed in (message, signature):
        place = at % len(changed)
        forged = changed[:place] + bytes([changed[place] ^ change]) + changed[place + 1 :]
        assert not keys.verify(b"cookie", *((forged, signature) if changed is message else (message, forged)))
    for wrong in (b"", signature[:-1], signature + b"=", message):
        assert not keys.verify(b"cookie", message, wrong)


def test_a_signature_is_for_one_purpose() -> None:
    """One that was given out as a cookie opens nothing else, not even where the purposes begin alike."""
    keys = ring(NEW)
    purposes = (b"sticky", b"challenge", b"stick", b"sticky2")
    for one, other in combinations(purposes, 2):
        assert not keys.verify(other, b"m", keys.sign(one, b"m"))
    assert keys.sign(b"ab", b"c") != keys.sign(b"a", b"bc")
    with pytest.raises(ValueError, match="16"):
        keys.sign(b"x" * (MAX_PURPOSE + 1), b"m")


def test_keys_are_replaced_without_anything_becoming_invalid() -> None:
    """The first signs, all verify; what a key has signed ends with it."""
    by_old = ring(OLD).sign(b"p", b"m")
    both = ring(NEW, OLD)
    assert both.verify(b"p", b"m", by_old)
    assert both.sign(b"p", b"m") == ring(NEW).sign(b"p", b"m") != by_old
    assert not ring(NEW, OTHER).verify(b"p", b"m", by_old)
    assert ring(OLD, NEW).verify(b"p", b"m", both.sign(b"p", b"m"))


def test_keys_of_the_configuration() -> None:
    """They are told apart whole, whatever their length; twice the same is once; no more than are worth trying."""
    assert len(ring(NEW, NEW, OLD)) == 2
    assert ring(NEW + "x").sign(b"", b"") != ring(NEW).sign(b"", b"")
    assert ring(NEW * 100 + "x").sign(b"", b"") != ring(NEW * 100 + "y").sign(b"", b"")
    assert ring(NEW).source == "configuration"
    with pytest.raises(KeyFault, match="1 to 16 keys, and there are 17"):
        ring(*(f"{number:032}" for number in range(MAX_KEYS + 1)))


def test_no_key_is_shown() -> None:
    """Neither where the ring is printed nor by a mistake about it."""
    assert repr(ring(NEW, OLD)) == "<KeyRing of 2 from configuration>"

    class Config(Model):
        signing_keys: list[Key]

    assert Config(signing_keys=[f" {NEW}\n"]).signing_keys == [NEW]
    with pytest.raises(ValueError, match="at least 32 characters that nobody can guess: make one with openssl"):
        Config(signing_keys=["hunter2"])


def test_the_state_dir_gets_a_key(tmp_path: Path) -> None:
    """Made once, for its owner's eyes, and found by every later start; it says how to replace it."""
    first = KeyRing.load(tmp_path, [], silent)
    path = tmp_path / KEYS_FILE
    assert (first.source, len(first)) == (str(path), 1)
    assert path.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == [KEYS_FILE]
    assert KeyRing.load(tmp_path, [], silent).sign(b"p", b"m") == first.sign(b"p", b"m")
    path.write_text(f"{NEW}\n{path.read_text()}")
    later = KeyRing.load(tmp_path, [], silent)
    assert later.sign(b"p", b"m") == ring(NEW).sign(b"p", b"m")
    assert later.verify(b"p", b"m", first.sign(b"p", b"m"))


def test_each_gateway_makes_its_own(tmp_path: Path) -> None:
    """Two keys that were made are not the same."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one, other = (KeyRing.load(tmp_path / name, [], silent) for name in "ab")
    assert not other.verify(b"p", b"m", one.sign(b"p", b"m"))


def test_keys_of_the_configuration_come_first(tmp_path: Path) -> None:
    """Nothing is made, or read, where keys are given."""
    KeyRing.load(tmp_path, [NEW], silent)
    assert list(tmp_path.iterdir()) == []


def test_whoever_is_later_takes_the_key_that_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two gateways that start at once end up with one key: a file is never replaced."""
    barrier = threading.Barrier(8)
    link = os.link

    def late(source: Path, target: Path) -> None:
        barrier.wait()
        link(source, target)

    monkeypatch.setattr(key_ring_module.os, "link", late)
    rings: list[KeyRing] = []
    threads = [threading.Thread(target=lambda: rings.append(KeyRing.load(tmp_path, [], silent))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({made.sign(b"p", b"m") for made in rings}) == 1
    assert len(list(tmp_path.iterdir())) == 1


def test_without_a_place_keys_live_in_memory(tmp_path: Path) -> None:
    """One warning that says what to do, two where the place that was named is none; every start has other keys."""
    texts: list[str] = []
    one, other = (KeyRing.load(None, [], texts.append) for _ in range(2))
    assert len(texts) == 2
    assert "set state_dir, or signing_keys" in texts[0]
    assert one.source == "memory"
    assert not other.verify(b"p", b"m", one.sign(b"p", b"m"))
    texts.clear()
    for folder in (tmp_path / "missing", write(tmp_path, "")):
        assert KeyRing.load(folder, [], texts.append).source == "memory"
    assert len(texts) == 4
    assert "no keys can be made there" in texts[0]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: write(folder, NEW, 0o604), "everybody on this machine may read it"),
        (lambda folder: write(folder, NEW, 0o602), "everybody on this machine"),
        (lambda folder: write(folder, ""), "1 to 16 keys, and there are 0"),
        (lambda folder: write(folder, "# only words\n\n"), "and there are 0"),
        (lambda folder: write(folder, f"{NEW}\nhunter2\n"), "at least 32 characters"),
        (lambda folder: write(folder, "x" * (MAX_FILE + 1)), "is larger than 64 KiB"),
        (lambda folder: write(folder, "x").write_bytes(b"\xff" * 40), "is not text"),
        (lambda folder: (folder / KEYS_FILE).mkdir(), "is not a regular file"),
        (lambda folder: os.mkfifo(folder / KEYS_FILE), "is not a regular file"),
        (lambda folder: (folder / KEYS_FILE).symlink_to("/etc/passwd"), "cannot be read"),
    ],
)
def test_a_file_that_must_not_be_used(tmp_path: Path, make: Callable[[Path], object], message: str) -> None:
    """It is an error that names the file, never a key that others may know; and no key is shown."""
    make(tmp_path)
    with pytest.raises(KeyFault) as raised:
        KeyRing.load(tmp_path, [], silent)
    text = str(raised.value)
    assert text.startswith(f"{tmp_path / KEYS_FILE}: ")
    assert message in text
    assert "hunter2" not in text


def test_a_file_of_somebody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever wrote it knows the key."""
    write(tmp_path, NEW)
    monkeypatch.setattr(key_ring_module.os, "geteuid", lambda: os.getuid() + 1)
    if os.getuid() == 0:  # root's files are believed
        os.chown(tmp_path / KEYS_FILE, 12345, -1)
    with pytest.raises(KeyFault, match="belongs to somebody else"):
        KeyRing.load(tmp_path, [], silent)


def test_a_file_for_a_group(tmp_path: Path) -> None:
    """Volumes of Kubernetes are made readable for their group at each start: said, and used."""
    write(tmp_path, NEW, 0o660)
    texts: list[str] = []
    assert KeyRing.load(tmp_path, [], texts.append).sign(b"p", b"m") == ring(NEW).sign(b"p", b"m")
    assert texts == [f"{tmp_path / KEYS_FILE}: its group may read it, and sign like the gateway"]
