"""Certificates made on the spot, and a TLS client of OpenSSL's that talks to a TlsLayer without sockets.

`issue` makes a certificate, `put` writes one as a pair of files, `Served` is a connection to a TlsLayer over a
FakeTransport, and `TlsClient` the other end of it, over MemoryBIOs of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import AuthorityInformationAccessOID, NameOID

from gateway.deadlines import Sweep
from gateway.exchange import Connection
from gateway.metrics import Metrics
from gateway.server.certificates import CertificateStore, TlsConfig
from gateway.server.tls import HandshakeGate, TlsLayer
from tests.kit.transport import FakeClock, FakeLoop, FakeTransport


class Issued(NamedTuple):
    """A certificate and its key."""

    certificate: x509.Certificate
    key: Any

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def fingerprint(self) -> str:
        return self.certificate.fingerprint(SHA256()).hex()

    @property
    def key_pem(self) -> bytes:
        return bytes(self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))

    def locked(self, password: bytes) -> bytes:
        """The key as PEM, encrypted."""
        return bytes(self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(password)))


@cache
def rsa_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    """One key for all tests: making one takes long."""
    return rsa.generate_private_key(65537, bits)


def issue(
    *names: str,
    by: Issued | None = None,
    key: Any = None,
    common: str = "",
    days: tuple[float, float] = (-1, 90),
    ca: bool = False,
    aia: bool = False,
    organization: str = "",
) -> Issued:
    """A certificate for `names` (hosts, wildcards, addresses), valid `days` from now, self-signed without `by`."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    parts = [x509.NameAttribute(NameOID.COMMON_NAME, common or (names[0] if names else "nobody"))]
    if organization:
        parts.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization))
    subject = x509.Name(parts)
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by.certificate.subject if by else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days=days[0]))
        .not_valid_after(now + timedelta(days=days[1]))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if by:  # Python 3.13 insists on it
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(by.key.public_key())
        builder = builder.add_extension(issuer, critical=False)
    if ca:
        builder = builder.add_extension(_SIGNS, critical=True)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), critical=False)
    if aia:
        place = x509.UniformResourceIdentifier("http://ca.test/issuer.crt")
        links = [x509.AccessDescription(AuthorityInformationAccessOID.CA_ISSUERS, place)]
        builder = builder.add_extension(x509.AuthorityInformationAccess(links), critical=False)
    return Issued(builder.sign(by.key if by else key, SHA256()), key)


_SIGNS = x509.KeyUsage(
    digital_signature=True, content_commitment=False, key_encipherment=False, data_encipherment=False,
    key_agreement=False, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
)  # fmt: skip


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def put(folder: Path, name: str, issued: Issued, *chain: Issued) -> Path:
    """NAME.pem with the chain and NAME.key in `folder`; the path of the first."""
    path = folder / f"{name}.pem"
    path.write_bytes(b"".join(one.pem for one in (issued, *chain)))
    (folder / f"{name}.key").write_bytes(issued.key_pem)
    return path


def store_of(folder: Path, warnings: list[str] | None = None, **settings: Any) -> CertificateStore:
    """A store that serves `folder`; warnings are collected, or fail the test."""
    config = TlsConfig.model_validate({"certificates": str(folder), **settings})
    return CertificateStore(config, folder, _never if warnings is None else warnings.append)


def _never(text: str) -> None:
    raise AssertionError(f"a warning that was not expected: {text}")


def client_of(trusted: bytes = b"", **settings: Any) -> ssl.SSLContext:
    """A client's context; it trusts `trusted` (PEM), or anybody. `settings` are attributes of the context."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if trusted:
        made.load_verify_locations(cadata=trusted.decode())
    else:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    for name, value in settings.items():
        setattr(made, name, value)
    return made


class Recorder(asyncio.Protocol):
    """The protocol behind TLS: records what it is told, and does what `on_data` says."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.transport: Any = None
        self.received: list[bytes] = []
        self.events: list[str] = []
        self.keep_open = False  # what eof_received answers
        self.on_data: Callable[[bytes], None] | None = None

    @property
    def heard(self) -> bytes:
        return b"".join(self.received)

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.events.append("made")

    def data_received(self, data: bytes) -> None:
        self.received.append(data)
        if self.on_data is not None:
            self.on_data(data)

    def eof_received(self) -> bool:
        self.events.append("eof")
        return self.keep_open

    def pause_writing(self) -> None:
        self.events.append("pause")

    def resume_writing(self) -> None:
        self.events.append("resume")

    def connection_lost(self, error: Exception | None) -> None:
        self.events.append("lost")


class TlsClient:
    """OpenSSL's client: `step(bytes of the gateway) -> bytes for the gateway`, then `encrypt` and `decrypt`."""

    def __init__(self, settings: ssl.SSLContext, server_name: str | None = "localhost", session: Any = None) -> None:
        self.incoming = ssl.MemoryBIO()
        self.outgoing = ssl.MemoryBIO()
        self.ssl = settings.wrap_bio(self.incoming, self.outgoing, server_hostname=server_name, session=session)
        self.done = False

    def step(self, wire: bytes = b"") -> bytes:
        """Go on with the handshake; raises ssl.SSLError as OpenSSL does."""
        self.incoming.write(wire)
        try:
            self.ssl.do_handshake()
            self.done = True
        except ssl.SSLWantReadError:
            pass
        return self.outgoing.read()

    def encrypt(self, plain: bytes) -> bytes:
        self.ssl.write(plain)
        return self.outgoing.read()

    def decrypt(self, wire: bytes) -> bytes:
        """What the gateway wrote; ends at its close_notify."""
        self.incoming.write(wire)
        plain: list[bytes] = []
        while True:
            try:
                piece = self.ssl.read(1 << 16)
            except (ssl.SSLWantReadError, ssl.SSLZeroReturnError):
                break
            if not piece:
                break
            plain.append(piece)
        return b"".join(plain)

    def goodbye(self) -> bytes:
        """close_notify."""
        with contextlib.suppress(ssl.SSLError):
            self.ssl.unwrap()
        return self.outgoing.read()

    def is_told_goodbye(self) -> bool:
        """Whether the gateway's close_notify has come."""
        try:
            return self.ssl.read(1) == b""
        except ssl.SSLZeroReturnError:
            return True
        except ssl.SSLWantReadError:
            return False


class Served:
    """One connection to a TlsLayer: `transport` is the socket, `inner` the protocol behind TLS once it is there."""

    def __init__(self, store: CertificateStore, gate: HandshakeGate | None = None, sweep: Sweep | None = None) -> None:
        self.clock = FakeClock()
        self.sweep = sweep or Sweep()
        self.metrics = Metrics()
        self.gate = gate or HandshakeGate(self.metrics)
        self.connection = Connection("192.0.2.1", 4000, "127.0.0.1:443", "web", 0.0)
        self.lost: list[Connection] = []
        self.connection.on_lost = self.lost.append
        self.inners: list[Recorder] = []
        self.layer = TlsLayer(store, self.connection, self._make, self.sweep, self.clock, self.gate)
        self.loop = FakeLoop(self.clock)
        self.transport = FakeTransport(self.layer, self.loop)
        self.layer.connection_made(self.transport)

    def _make(self, connection: Connection) -> Recorder:
        assert connection.tls is not None
        self.inners.append(Recorder(connection))
        return self.inners[-1]

    @property
    def inner(self) -> Recorder:
        return self.inners[-1]

    def shake(self, client: TlsClient) -> TlsClient:
        """The whole handshake; session tickets are left for the client's first `decrypt`."""
        self.transport.feed(client.step())
        return self.shake_on(client)

    def shake_on(self, client: TlsClient) -> TlsClient:
        """The handshake from its second flight on."""
        while not client.done:
            wire = client.step(self.transport.take())
            if wire:
                self.transport.feed(wire)
        return client

    def results(self) -> dict[str, float]:
        """How handshakes ended, without those that never happened."""
        return self._counts("gateway_tls_handshakes_total")

    def breaks(self) -> dict[str, float]:
        """How open connections broke."""
        return self._counts("gateway_tls_errors_total")

    def _counts(self, name: str) -> dict[str, float]:
        family = next(family for family in self.metrics.families() if family.name == name)
        return {sample.labels[0][1]: sample.value for sample in family.samples if sample.value}  # type: ignore[misc]
