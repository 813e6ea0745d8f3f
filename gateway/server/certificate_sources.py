"""Sources: the files that `tls.certificates` names, found, read and joined into pairs.

server/certificates.py makes one for each listener and asks it again when something has changed. The rule: what is
served goes on being served unless somebody clearly meant to end it, and whatever else became of its files is a fault.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.server.certificate_files import CertificateFault, FileReader, Parsed, is_named_like_one, scan
from gateway.server.certificate_pairs import Pair, join_pairs, key_names

if TYPE_CHECKING:
    from gateway.server.certificates import CertificateConfig, TlsConfig


@dataclass(slots=True)
class Found:
    """What the files hold.

    pairs   by the path of the certificate
    faults  what cannot be served, or read
    files   every file that was there
    """

    pairs: dict[Path, Pair] = field(default_factory=dict)
    faults: list[CertificateFault] = field(default_factory=list)
    files: set[Path] = field(default_factory=set)


class Sources:
    """The files of one listener's certificates. Relative paths start at `folder`."""

    __slots__ = ("_config", "_folder", "_reader")

    def __init__(self, config: TlsConfig, folder: Path) -> None:
        self._config = config
        self._folder = folder
        self._reader = FileReader()

    def watched(self) -> tuple[Path, ...]:
        """Folders of which every file counts, and single files, there or not: a change of one calls for `read`."""
        paths: list[Path] = []
        for source in self._sources():
            path = self._named(source)
            paths.append(path)
            if not isinstance(source, str):
                paths.append(self._folder / source.key)
            elif _is_file(path):
                paths += key_names(path)
        asked = self._config.client_certificates
        if asked is not None:
            paths.append(self._folder / asked.ca)
        return tuple(dict.fromkeys(paths))

    def read(self) -> Found:
        """Every pair that the files hold, and every fault. Files that are as they were are not opened."""
        found = Found()
        for source in self._sources():
            try:
                paths, faults = self._paths(source)
            except CertificateFault as fault:
                found.faults.append(fault)
                continue
            pairs, more = self._read_group(source, paths, found.files)
            found.pairs.update((pair.path, pair) for pair in pairs)
            found.faults += faults + more
            if not (pairs or faults or more) and not isinstance(self._config.certificates, str):
                found.faults.append(CertificateFault(self._named(source), "holds no certificate with a key"))
        self._reader.forget_all_but(found.files)
        return found

    def nothing(self) -> str:
        """The sentence for when there is nothing to serve."""
        where = ", ".join(str(self._folder / one) for one in self._sources() if isinstance(one, str))
        return (
            f"{where}: no certificate with its key; put NAME.pem and NAME.key there, or make development certificates "
            f"with `gateway certs --make {where}`"
        )

    def _sources(self) -> list[str | CertificateConfig]:
        given = self._config.certificates
        return [given] if isinstance(given, str) else list(given)

    def _named(self, source: str | CertificateConfig) -> Path:
        return self._folder / (source if isinstance(source, str) else source.certificate)

    def _paths(self, source: str | CertificateConfig) -> tuple[list[Path], list[CertificateFault]]:
        """The files of one source, and what is wrong with its folders. Raises CertificateFault."""
        path = self._named(source)
        if not isinstance(source, str):
            return [path, self._folder / source.key], []
        return ([path, *key_names(path)], []) if _is_file(path) else scan(path)

    def _read_group(
        self, source: str | CertificateConfig, paths: Iterable[Path], there: set[Path]
    ) -> tuple[list[Pair], list[CertificateFault]]:
        """Pairs and faults of the files of one source; those that exist are added to `there`."""
        files: dict[Path, Parsed] = {}
        unread: dict[Path, CertificateFault] = {}
        named = self._named(source)
        password = self._config.password if isinstance(source, str) else source.password or self._config.password
        for path in dict.fromkeys(paths):
            if isinstance(source, str) and path != named and not os.path.lexists(path):
                continue  # one of the names that a key may have
            try:
                files[path] = self._reader.read(path, password)
                there.add(path)
            except CertificateFault as fault:
                unread[path] = fault
        if unread and not isinstance(source, str):
            return [], list(unread.values())  # one of its two files is missing, and that is all there is to say
        joined = list(join_pairs(files, unread))
        pairs = [one for one in joined if isinstance(one, Pair)]
        if any(pair.path == named for pair in pairs):
            return pairs, []  # other files that might have held its key may be as they like
        return pairs, [*unread.values(), *(one for one in joined if isinstance(one, CertificateFault))]


def _is_file(path: Path) -> bool:
    """Whether it is a file, or named like one and not there."""
    # Path's methods would raise where a folder on the way is closed to us.
    return os.path.isfile(path) or (is_named_like_one(path.name) and not os.path.isdir(path))  # noqa: PTH112, PTH113


def keep_served(served: Mapping[Path, Pair], found: Found) -> None:
    """Adds to `found` each pair of `served` that should still be there, and the fault that says what became of it.

    A copy under way, a full disk, a chain without its leaf, a key of another certificate: none of them ends a service.
    Deleting both files of a certificate does; so does another file with the very same certificate.
    """
    again = {pair.fingerprint for pair in found.pairs.values()}
    keys = {pair.key_path for pair in found.pairs.values()}
    faulty = {fault.path for fault in found.faults}
    for path, pair in served.items():
        if path in found.pairs or pair.fingerprint in again:
            continue
        if faulty.isdisjoint((path, pair.key_path, *path.parents)):
            if path in found.files:
                what = "holds no certificate with its key any more; copy the file again, or delete it with its key"
            elif pair.key_path in found.files and pair.key_path not in keys:
                what = f"is gone; copy it again, or delete its key too ({pair.key_path.name}) to end its service"
            else:
                continue
            found.faults.append(CertificateFault(path, what))
        found.pairs[path] = pair
