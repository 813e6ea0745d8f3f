"""The files behind a store: which are read, which are watched, and what it takes to end a certificate's service."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.server import certificate_files
from gateway.server.certificates import CertificateError, CertificateStore, TlsConfig
from tests.kit.tls import Issued, issue, put, store_of

AUTHORITY = issue(common="Test CA", ca=True)
OLD, NEW, OTHER = issue("a.test", by=AUTHORITY), issue("a.test", by=AUTHORITY), issue("b.test")


def listing(folder: Path, *entries: Any, warn: Callable[[str], Any] = pytest.fail) -> CertificateStore:
    """A store of what is listed; relative paths start at `folder`."""
    return CertificateStore(TlsConfig.model_validate({"certificates": list(entries)}), folder, warn)


def is_served(store: CertificateStore, issued: Issued) -> bool:
    return any(entry.fingerprint == issued.fingerprint for entry in store.entries())


# -- what is read -----------------------------------------------------------------------------------------------------


def test_files_may_be_listed(tmp_path: Path) -> None:
    """A folder, a file whose key lies beside it, a file that holds both, and a pair with a password."""
    (tmp_path / "folder").mkdir()
    put(tmp_path / "folder", "one", issue("one.test"))
    put(tmp_path, "two", issue("two.test"))
    three, four = issue("three.test"), issue("four.test")
    (tmp_path / "three.pem").write_bytes(three.key_pem + three.pem)
    (tmp_path / "four.crt").write_bytes(four.pem)
    (tmp_path / "secret.bin").write_bytes(four.locked(b"open sesame"))
    pair = {"certificate": "four.crt", "key": "secret.bin", "password": "open sesame"}
    store = listing(tmp_path, "folder", "two.pem", "three.pem", pair)
    assert [name for entry in store.entries() for name in entry.names] == [
        "one.test", "four.test", "three.test", "two.test",
    ]  # fmt: skip
    assert "open sesame" not in repr(TlsConfig.model_validate({"certificates": [pair]}))


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("missing.pem", "there is no such file"),
        ("missing/", "there is no such folder"),
        ("empty/", "holds no certificate with a key"),
        ({"certificate": "a.pem", "key": "b.key"}, "no key for this certificate"),
        ({"certificate": "a.pem", "key": "missing.key"}, "there is no such file"),
        ({"certificate": "b.key", "key": "b.key"}, "holds no certificate"),
    ],
)
def test_a_listed_certificate_must_be_good(tmp_path: Path, entry: Any, said: str) -> None:
    """What an operator names and what cannot be served stops the start, with one sentence."""
    put(tmp_path, "good", OTHER)
    put(tmp_path, "a", OLD)
    (tmp_path / "b.key").write_bytes(OTHER.key_pem)
    (tmp_path / "empty").mkdir()
    with pytest.raises(CertificateError, match=said) as caught:
        listing(tmp_path, "good.pem", entry)
    assert len(caught.value.problems) == 1


def test_strangers_beside_a_listed_file_do_not_matter(tmp_path: Path) -> None:
    """A file that has its key is complete, whatever else lies there under a name that a key might have."""
    (tmp_path / "two.pem").write_bytes(OLD.pem + OLD.key_pem)
    (tmp_path / "privkey.pem").write_bytes(OTHER.locked(b"secret"))
    (tmp_path / "tls.key").mkdir()
    assert is_served(listing(tmp_path, "two.pem"), OLD)


def test_one_broken_certificate_does_not_take_the_others_down(tmp_path: Path) -> None:
    """In a folder it is a warning and a problem; only where nothing is left it is an error."""
    put(tmp_path, "good", OLD)
    bad = put(tmp_path, "bad", OTHER)
    bad.with_suffix(".key").write_bytes(NEW.key_pem)
    warnings: list[str] = []
    store = store_of(tmp_path, warnings)
    assert [entry.names for entry in store.entries()] == [("a.test",)]
    assert len(warnings) == 1
    assert "bad.key is the key of another certificate" in warnings[0]
    assert store.problems == (warnings[0].removesuffix(" (not served)"),)
    (tmp_path / "good.key").unlink()
    with pytest.raises(CertificateError) as caught:
        store_of(tmp_path)
    assert len(caught.value.problems) == 2


def test_a_key_that_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    """And not a second one that there is none."""
    put(tmp_path, "good", OTHER)
    path = put(tmp_path, "a", OLD)
    path.with_suffix(".key").unlink()
    path.with_suffix(".key").symlink_to(tmp_path / "nowhere")
    warnings: list[str] = []
    store_of(tmp_path, warnings)
    assert warnings == [f"{tmp_path / 'a.key'}: there is no such file (not served)"]


# -- what is watched --------------------------------------------------------------------------------------------------


def test_only_what_is_read_is_watched(tmp_path: Path) -> None:
    """A folder as a whole; of a listed file itself and where its key may come to lie, never the folder it lies in."""
    (tmp_path / "folder").mkdir()
    put(tmp_path / "folder", "one", OLD)
    put(tmp_path, "two", OTHER)
    (tmp_path / "ca.pem").write_bytes(AUTHORITY.pem)
    config = {
        "certificates": ["folder", "two.pem", {"certificate": "two.pem", "key": "two.key"}],
        "client_certificates": {"ca": "ca.pem"},
    }
    watched = CertificateStore(TlsConfig.model_validate(config), tmp_path, pytest.fail).watched()
    assert len(set(watched)) == len(watched)
    assert {str(path.relative_to(tmp_path)) for path in watched} == {
        "folder", "two.pem", "two.key", "two-key.pem", "two.pem.key", "privkey.pem", "tls.key", "ca.pem",
    }  # fmt: skip


# -- what a reload makes of it ----------------------------------------------------------------------------------------


def test_reload_reads_changed_files_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is as it was is not opened; one whose rights were changed is, and nothing is kept of those gone."""
    put(tmp_path, "a", OLD)
    other = put(tmp_path, "b", OTHER)
    store = store_of(tmp_path, [])
    opened: list[str] = []
    parse = certificate_files.parse_file

    def counted(path: Path, content: bytes, password: str) -> Any:
        opened.append(path.name)
        return parse(path, content, password)

    monkeypatch.setattr(certificate_files, "parse_file", counted)
    assert store.reload() == ((), (), ())
    assert opened == []
    (tmp_path / "a.key").chmod(0o640)
    assert store.reload() == ((), (), ())
    assert opened == ["a.key"]
    other.unlink()
    other.with_suffix(".key").unlink()
    store.reload()
    assert {path.name for path, _ in store._sources._reader._seen} == {"a.pem", "a.key"}


def _is_closed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests may run as root, who may read everything."""
    read = Path.read_bytes

    def refused(self: Path) -> bytes:
        if self == path:
            raise PermissionError(13, "Permission denied")
        return read(self)

    monkeypatch.setattr(Path, "read_bytes", refused)
    path.touch()


BROKEN: dict[str, Callable[[Path], object]] = {
    "damaged": lambda path: path.write_bytes(OLD.pem[:100] + b"!!!" + OLD.pem[103:]),
    "another key's": lambda path: path.write_bytes(NEW.pem),
    "another certificate's": lambda path: path.with_suffix(".key").write_bytes(NEW.key_pem),
    "an authority's": lambda path: path.write_bytes(AUTHORITY.pem),
    "a chain without its leaf": lambda path: path.write_bytes(AUTHORITY.pem + issue(common="CA 2", ca=True).pem),
    "half written": lambda path: path.write_bytes(NEW.pem[:200]),
    "empty": lambda path: path.write_bytes(b""),
    "zeros": lambda path: path.write_bytes(bytes(700)),
    "a note": lambda path: path.write_bytes(b"just a note"),
    "a key": lambda path: path.write_bytes(OLD.key_pem),
    "a log": lambda path: path.write_bytes(bytes(2 << 20)),
    "a link to nothing": lambda path: (path.unlink(), path.symlink_to("nowhere")),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
    "gone, and its key is not": lambda path: path.unlink(),
    "without its key": lambda path: path.with_suffix(".key").unlink(),
    "with an empty key": lambda path: path.with_suffix(".key").write_bytes(b""),
    "with a locked key": lambda path: path.with_suffix(".key").write_bytes(OLD.locked(b"secret")),
    "all gone": lambda path: shutil.rmtree(path.parent),
}


@pytest.mark.parametrize("listed", [False, True], ids=["folder", "listed"])
@pytest.mark.parametrize("how", [*BROKEN, "closed"])
def test_what_is_served_is_served_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, *, listed: bool
) -> None:
    """Whatever becomes of its files, the certificate that worked is shown, and each reload tells until they are good."""
    folder = tmp_path / "certs"
    folder.mkdir()
    path = put(folder, "a", OLD)
    (tmp_path / "b.pem").write_bytes(OTHER.pem + OTHER.key_pem)
    store = listing(tmp_path, "b.pem", {"certificate": "certs/a.pem", "key": "certs/a.key"} if listed else "certs")
    before = store.context_for("a.test")
    BROKEN[how](path) if how != "closed" else _is_closed(path, monkeypatch)
    for _ in range(2):
        report = store.reload()
        assert len(report.problems) == 1 + (listed and how == "all gone"), report
        assert report.problems == store.problems
        assert report.problems[0].startswith(str(folder))
        assert (report.added, report.removed) == ((), ())
        assert store.context_for("a.test") is before
        assert is_served(store, OLD)
        by_name = {entry.names[0]: entry.problem for entry in store.entries()}
        assert by_name == {"a.test": report.problems[0], "b.test": ""}
    monkeypatch.undo()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    put(folder, "a", NEW)
    assert store.reload() == ((str(path),), (str(path),), ())
    assert store.problems == ()
    assert is_served(store, NEW)
    assert not is_served(store, OLD)


@pytest.mark.parametrize("first", ["key", "certificate"])
def test_one_file_after_the_other(tmp_path: Path, first: str) -> None:
    """A renewal that is seen halfway changes nothing, and is complete as soon as the other file is there."""
    path = put(tmp_path, "a", OLD)
    store = store_of(tmp_path)
    writes = [lambda: path.with_suffix(".key").write_bytes(NEW.key_pem), lambda: path.write_bytes(NEW.pem)]
    one, other = writes if first == "key" else reversed(writes)
    one()
    assert len(store.reload().problems) == 1
    assert is_served(store, OLD)
    other()
    assert store.reload().problems == ()
    assert is_served(store, NEW)


def test_deleting_both_files_ends_the_service(tmp_path: Path) -> None:
    """Nobody does that by mistake; the names that nobody can be shown any more are told."""
    put(tmp_path, "a", OLD)
    path = put(tmp_path, "b", OTHER)
    warnings: list[str] = []
    store = store_of(tmp_path, warnings)
    path.unlink()
    path.with_suffix(".key").unlink()
    assert store.reload() == ((), (str(path),), ())
    assert warnings == ["no certificate any more for b.test: its files were deleted, or name other hosts"]
    assert store.context_for("b.test") is store.context_for("a.test")


@pytest.mark.parametrize("how", BROKEN)
def test_the_only_certificate_is_served_on(tmp_path: Path, how: str) -> None:
    """With the same sentence as if there were others."""
    folder = tmp_path / "certs"
    folder.mkdir()
    path = put(folder, "a", OLD)
    store = store_of(folder)
    BROKEN[how](path)
    (problem,) = store.reload().problems
    assert problem.startswith(str(folder))
    assert "no certificate with its key; put" not in problem
    assert [entry.problem for entry in store.entries()] == [problem]


def test_the_last_certificate_is_never_taken_away(tmp_path: Path) -> None:
    """Where both of its files are deleted, the command that makes another is named, and it is served on."""
    path = put(tmp_path, "a", OLD)
    store = store_of(tmp_path)
    path.unlink()
    path.with_suffix(".key").unlink()
    (problem,) = store.reload().problems
    assert "gateway certs --make" in problem
    assert is_served(store, OLD)


def test_a_file_may_be_renamed(tmp_path: Path) -> None:
    """The same certificate under another name is no change but of the name; a renewed one takes the key along."""
    path = put(tmp_path, "a", OLD)
    store = store_of(tmp_path)
    before = store.context_for("a.test")
    path.rename(tmp_path / "c.pem")
    assert store.reload() == ((), (), ())
    assert store.context_for("a.test") is before
    (tmp_path / "c.pem").unlink()
    renewed = issue("a.test", by=AUTHORITY, key=OLD.key)
    (tmp_path / "d.pem").write_bytes(renewed.pem)
    assert store.reload().problems == ()
    assert [entry.path.name for entry in store.entries()] == ["d.pem"]


def test_a_folder_that_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes down neither its neighbours at the start nor what is served from it; a volume's lost+found is nobody's."""
    put(tmp_path, "b", OTHER)
    inner = tmp_path / "inner"
    inner.mkdir()
    put(inner, "a", OLD)
    (tmp_path / "lost+found").mkdir()
    closed = {"lost+found"}
    scandir = os.scandir

    def scan(path: Any) -> Any:
        if Path(path).name in closed:
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", scan)
    store = store_of(tmp_path)
    closed.add("inner")
    assert store.reload().problems == (f"{inner}: cannot be read: Permission denied",)
    assert is_served(store, OLD)
    warnings: list[str] = []
    assert not is_served(store_of(tmp_path, warnings), OLD)
    assert warnings == [f"{inner}: cannot be read: Permission denied (not served)"]


@pytest.mark.parametrize("listed", [False, True], ids=["folder", "listed"])
def test_reload_follows_swapped_links(tmp_path: Path, *, listed: bool) -> None:
    """Kubernetes swaps a link to a hidden folder; the new certificate is found by the same names."""
    for version, issued in (("..1", OLD), ("..2", NEW)):
        (tmp_path / version).mkdir()
        (tmp_path / version / "tls.crt").write_bytes(issued.pem)
        (tmp_path / version / "tls.key").write_bytes(issued.key_pem)
    (tmp_path / "..data").symlink_to("..1")
    for name in ("tls.crt", "tls.key"):
        (tmp_path / name).symlink_to(f"..data/{name}")
    store = listing(tmp_path, {"certificate": "tls.crt", "key": "tls.key"}) if listed else store_of(tmp_path)
    assert [entry.path.name for entry in store.entries()] == ["tls.crt"]
    (tmp_path / "..data").unlink()
    (tmp_path / "..data").symlink_to("..2")
    assert store.reload().problems == ()
    assert is_served(store, NEW)
