"""Certificates: what operators say about TLS, and the store that picks a context by server name.

The store is made at load time, one for each listener with `tls`; the TLS layer asks it once per connection. Reloading
(certificate_sources.py reads) keeps the SSLContext of every certificate that did not change, and with it the keys of
its session tickets; a broken certificate never replaces one that works.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from gateway.schema import Count, Duration, Field, Model
from gateway.server.tls_contexts import check_client_ca, make_context

if TYPE_CHECKING:
    from gateway.server.certificate_pairs import Pair
    from gateway.server.certificate_sources import Found

_VERSIONS = {"TLSv1.2": ssl.TLSVersion.TLSv1_2, "TLSv1.3": ssl.TLSVersion.TLSv1_3}


class CertificateConfig(Model):
    """One certificate, named by its files."""

    certificate: str
    """PEM file with the certificate and its chain."""
    key: str
    """PEM file with its private key."""
    password: str = Field(default="", repr=False)
    """Password of the key, as a reference: `${file:/run/secrets/key-password}`."""


class ClientCertificates(Model):
    """Certificates of clients (mutual TLS)."""

    ca: str
    """PEM file with the CAs whose certificates are accepted."""
    mode: Literal["off", "request", "require"] = "require"
    """`require` refuses clients without a certificate, `request` lets them in; an untrusted one is refused by both."""


class TlsConfig(Model):
    """HTTPS on a listener. TLS 1.2 and 1.3 with forward secrecy; there is nothing weaker to switch on."""

    certificates: str | list[str | CertificateConfig] = "certs/"
    """A folder (with its subfolders) whose every certificate is served by its names, or a list of folders, files and
    `{certificate, key}` pairs. Files are read again when they change; to end the service of one in a folder, delete its
    key as well."""
    default: str = ""
    """Host name whose certificate is for clients that ask for none, or for an unknown one; else the first by path,
    a real one before a development one."""
    strict_sni: bool = False
    """Refuse clients that ask for no name, or for one without a certificate, instead of showing the default."""
    password: str = Field(default="", repr=False)
    """Password of encrypted keys, as a reference: `${file:/run/secrets/key-password}`."""
    minimum_version: Literal["TLSv1.2", "TLSv1.3"] = "TLSv1.2"
    """Oldest version of the protocol that is accepted."""
    client_certificates: ClientCertificates | None = None
    """Ask clients for certificates of their own."""
    handshake_timeout: Duration = Field(default="10s")
    """For a whole handshake: against clients that connect and say little."""
    max_handshakes: Count = 4096
    """Handshakes under way at once in a worker, 70 KiB each; the next ones wait their turn."""


class CertificateError(ValueError):
    """No certificate can be served, or a listed one cannot. `problems` has a sentence for each file."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class CertificateEntry(NamedTuple):
    """A certificate that is served, for `gateway certs`, metrics and the admin pages."""

    names: tuple[str, ...]
    issuer: str  # RFC 4514
    not_before: datetime  # UTC
    not_after: datetime
    path: Path
    fingerprint: str  # SHA-256 of the DER form, lower-case hexadecimal
    is_development: bool
    kind: str  # of its key: ecdsa, rsa, eddsa
    problem: str = ""  # what is wrong with its files by now: it will not be there after a restart


class ReloadReport(NamedTuple):
    """What a reload changed, as paths; `problems` are sentences, and what they are about is served as before."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    problems: tuple[str, ...]


class _Choice(NamedTuple):
    """Contexts by name, immutable: a reload makes another and swaps it in."""

    exact: dict[str, ssl.SSLContext]
    wildcard: dict[str, ssl.SSLContext]  # "example.com" for "*.example.com"
    default: ssl.SSLContext

    def names(self) -> set[str]:
        return {*self.exact, *(f"*.{name}" for name in self.wildcard)}


class CertificateStore:
    """The certificates of one listener: `context_for(server_name)`.

    folder  relative paths of the configuration start there
    warn    (text): what the operator should know: expired, chain in disorder, an issuer missing; may be replaced
    wall    seconds since the epoch

    Raises CertificateError when there is nothing to serve or a listed certificate is broken; one broken certificate
    among others in a folder is a warning, so that it does not take the others down.
    """

    __slots__ = (
        "_choice", "_client_ca", "_config", "_contexts", "_faults", "_folder", "_notes", "_pairs", "_sources", "_wall",
        "asks_certificate", "handshake_timeout", "max_handshakes", "problems", "warn",
    )  # fmt: skip

    def __init__(
        self, config: TlsConfig, folder: Path, warn: Callable[[str], None], wall: Callable[[], float] = time.time
    ) -> None:
        from gateway.server.certificate_sources import Sources  # noqa: PLC0415  # only who serves TLS pays for it

        self._config = config
        self._folder = folder
        self.warn = warn
        self._wall = wall
        self._sources = Sources(config, folder)
        self._pairs: dict[Path, Pair] = {}
        self._notes: set[str] = set()  # what was said of them
        self._contexts: dict[tuple[bytes, ...], ssl.SSLContext] = {}
        self.handshake_timeout = config.handshake_timeout
        self.max_handshakes = config.max_handshakes
        asked = config.client_certificates
        self.asks_certificate = asked is not None and asked.mode != "off"
        self._client_ca = self._read_client_ca()
        found = self._read()
        self._faults = tuple(found.faults)
        self.problems = tuple(map(str, found.faults))  # what is wrong with the files now
        listed = not isinstance(config.certificates, str)
        if not found.pairs or (listed and self.problems):
            raise CertificateError(list(self.problems) or [self._sources.nothing()])
        for problem in self.problems:
            warn(f"{problem} (not served)")
        self._serve(found.pairs)

    # -- per connection -----------------------------------------------------------------------------------------------

    def context_for(self, server_name: str) -> ssl.SSLContext | None:
        """The context for a lower-case name, "" for none asked. None only with strict_sni: refuse the client.

        An exact name before a wildcard, which covers one label (RFC 6125 §6.4.3), before the default.
        """
        choice = self._choice
        found = choice.exact.get(server_name)
        if found is None:
            found = choice.wildcard.get(server_name.partition(".")[2])
            if found is None and not self._config.strict_sni:
                return choice.default
        return found

    # -- what is served -----------------------------------------------------------------------------------------------

    def entries(self) -> list[CertificateEntry]:
        """Every certificate that is served, by path."""
        wrong = {fault.path: str(fault) for fault in self._faults}
        return [
            CertificateEntry(
                pair.names, pair.issuer, pair.not_before, pair.not_after, pair.path, pair.fingerprint,
                pair.is_development, pair.kind,
                next((wrong[path] for path in (pair.path, pair.key_path, *pair.path.parents) if path in wrong), ""),
            )
            for _, pair in sorted(self._pairs.items())
        ]  # fmt: skip

    def watched(self) -> tuple[Path, ...]:
        """Folders, and single files that may not be there: a change in or of one of them calls for `reload`."""
        return self._sources.watched()

    def reload(self) -> ReloadReport:
        """Read what changed and serve it; what is broken now is served as it was. Never raises for a bad file.

        May run on another thread than the loop's: what connections look at is swapped in one assignment.
        """
        from gateway.server.certificate_sources import keep_served  # noqa: PLC0415  # see __init__

        before, names = dict(self._pairs), self._choice.names()
        problems: list[str] = []
        try:
            self._client_ca = self._read_client_ca()
        except CertificateError as error:
            problems += error.problems
        found = self._read()
        keep_served(before, found)
        if found.pairs:
            self._serve(found.pairs)
        elif not found.faults:  # the last one was taken away
            problems.append(self._sources.nothing())
        self._faults = tuple(found.faults)
        self.problems = (*problems, *map(str, found.faults))
        lost = sorted(names - self._choice.names())
        if lost:
            self.warn(f"no certificate any more for {', '.join(lost)}: its files were deleted, or name other hosts")
        old, new = ({pair.digest: pair for pair in some.values()} for some in (before, self._pairs))
        return ReloadReport(
            tuple(sorted(str(new[digest].path) for digest in new.keys() - old.keys())),
            tuple(sorted(str(old[digest].path) for digest in old.keys() - new.keys())),
            self.problems,
        )

    # -- reading ------------------------------------------------------------------------------------------------------

    def _read(self) -> Found:
        """What the files hold and OpenSSL takes: it has rules of its own, about hashes in signatures for example."""
        from gateway.server.certificate_files import CertificateFault  # noqa: PLC0415  # see __init__

        found = self._sources.read()
        known = {pair.digest for pair in self._pairs.values()}
        for path, pair in list(found.pairs.items()):
            try:
                if pair.digest not in known:
                    self._make((pair,))
            except (ssl.SSLError, OSError) as error:
                reason = getattr(error, "reason", None) or error.strerror
                found.faults.append(CertificateFault(path, f"OpenSSL refuses it ({reason}); renew it with a P-256 key"))
                del found.pairs[path]
        return found

    def _read_client_ca(self) -> str:
        """PEM of the CAs for clients, "" when none are asked for. Raises CertificateError."""
        asked = self._config.client_certificates
        if asked is None or asked.mode == "off":
            return ""
        path = self._folder / asked.ca
        try:
            pem = path.read_text(encoding="ascii", errors="replace")
            check_client_ca(pem)
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
            raise CertificateError(
                [f"{path}: cannot be used as client_certificates.ca ({reason}); name a PEM file of CA certificates"]
            ) from None
        return pem

    # -- contexts -----------------------------------------------------------------------------------------------------

    def _serve(self, pairs: dict[Path, Pair]) -> None:
        """Choose for each name, swap the choice in, and say what is to be said of what clients will see."""
        from gateway.server.certificate_pairs import time_notes  # noqa: PLC0415  # see __init__

        now = datetime.fromtimestamp(self._wall(), UTC)
        groups = _best_by_name(pairs.values(), now)
        chosen = {name: self._make(group) for name, group in groups.items()}
        seen = {pair.path: pair for group in groups.values() for pair in group}
        self._choice = _Choice(
            exact={name: context for name, context in chosen.items() if not name.startswith("*.")},
            wildcard={name[2:]: context for name, context in chosen.items() if name.startswith("*.")},
            default=self._default(seen, chosen),
        )
        notes = [note for pair in seen.values() for note in (*pair.notes, *time_notes(pair, now))]
        for note in notes:
            if note not in self._notes:
                self.warn(note)
        self._notes = set(notes)
        self._pairs = seen
        served = {id(context) for context in chosen.values()}
        self._contexts = {key: context for key, context in self._contexts.items() if id(context) in served}

    def _default(self, pairs: dict[Path, Pair], chosen: dict[str, ssl.SSLContext]) -> ssl.SSLContext:
        wanted = self._config.default.lower()
        if wanted:
            found = chosen.get(wanted) or chosen.get(f"*.{wanted.partition('.')[2]}")
            if found is not None:
                return found
            self.warn(f"tls.default: no certificate names {wanted}; the first by path is the default")
        first = min(pairs.values(), key=lambda pair: (pair.is_development, pair.path))
        return chosen[first.names[0]]

    def _make(self, group: tuple[Pair, ...]) -> ssl.SSLContext:
        """The context for `group`: the same one as long as nothing of it changed, so that its tickets stay good."""
        key = (self._client_ca.encode(), *(pair.digest for pair in group))
        found = self._contexts.get(key)
        if found is None:
            asked = self._config.client_certificates
            verify = ssl.CERT_OPTIONAL if asked is not None and asked.mode == "request" else ssl.CERT_REQUIRED
            minimum = _VERSIONS[self._config.minimum_version]
            found = make_context(((pair.chain, pair.key) for pair in group), minimum, self._client_ca, verify)
            self._contexts[key] = found
        return found


def _best_by_name(pairs: Iterable[Pair], now: datetime) -> dict[str, tuple[Pair, ...]]:
    """For each name the certificates to serve: one for each kind of key, for a client may know one kind only.

    Valid before expired, real before development, then the one that lasts longest; a client prefers ECDSA whatever its
    dates, so a worse one never stands beside a better one of another kind.
    """

    def rank(pair: Pair) -> tuple[bool, bool]:
        return pair.not_before <= now < pair.not_after, not pair.is_development

    by_name: dict[str, dict[str, Pair]] = {}
    for pair in sorted(pairs, key=lambda pair: (rank(pair), pair.not_after, pair.path)):
        for name in pair.names:
            kinds = by_name.setdefault(name, {})
            if any(rank(other) < rank(pair) for other in kinds.values()):
                kinds.clear()
            kinds[pair.kind] = pair
    return {name: tuple(pair for _, pair in sorted(kinds.items())) for name, kinds in by_name.items()}
