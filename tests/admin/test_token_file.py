"""The token that a gateway makes for itself."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.admin import token_file
from gateway.admin.token_file import NAME, TokenUnusable, read, read_or_make


def test_it_is_made_once(tmp_path: Path) -> None:
    """256 bits in a file of mode 0600, and the same at every later start; nothing else is left behind."""
    token = read_or_make(tmp_path)
    assert len(token) == 64
    assert read_or_make(tmp_path) == read(tmp_path / NAME) == token
    assert [path.name for path in tmp_path.iterdir()] == [NAME]
    assert (tmp_path / NAME).stat().st_mode & 0o777 == 0o600


def test_no_umask_opens_it(tmp_path: Path) -> None:
    """Whatever the process was started with."""
    before = os.umask(0)
    try:
        read_or_make(tmp_path)
    finally:
        os.umask(before)
    assert (tmp_path / NAME).stat().st_mode & 0o777 == 0o600


def test_an_unfinished_one_is_begun_again(tmp_path: Path) -> None:
    """A start that was killed in between leaves a file under another name: the next one makes its own."""
    (tmp_path / f".{NAME}.{os.getpid()}").write_text("0123")
    assert len(read_or_make(tmp_path)) == 64
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


def test_what_is_no_token_is_refused(tmp_path: Path) -> None:
    """An empty file, one for all to read, a link, a pipe, a folder: each with what to do about it."""
    path = tmp_path / NAME
    cases = {
        "holds no token": lambda: path.write_text("short\n"),
        "everybody": lambda: (path.write_text("0" * 64), path.chmod(0o644)),
        "Too many levels": lambda: path.symlink_to("/etc/hostname"),
        "not a file": lambda: os.mkfifo(path, 0o600),
        "Permission denied|not a file": lambda: path.mkdir(mode=0o700),
    }
    for why, make in cases.items():
        make()
        if path.is_file() and not path.is_symlink() and "everybody" not in why:
            path.chmod(0o600)
        with pytest.raises(TokenUnusable, match=why):
            read_or_make(tmp_path)
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()


def test_one_of_somebody_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a folder where others may write, a file could be waiting whose content they know."""
    read_or_make(tmp_path)
    (tmp_path / NAME).chmod(0o600)
    if os.geteuid() == 0:
        os.chown(tmp_path / NAME, 65534, 65534)
    else:
        monkeypatch.setattr(token_file.os, "geteuid", lambda: 65533)
    with pytest.raises(TokenUnusable, match="belongs to somebody else"):
        read_or_make(tmp_path)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    """Said in the system's words."""
    with pytest.raises(TokenUnusable, match="No such file"):
        read_or_make(tmp_path / "nowhere")
