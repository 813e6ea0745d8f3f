"""The ClientHello: what a TLS client says before anything is encrypted (RFC 8446 §4.1.2, RFC 5246 §7.4.1.2).

The TLS layer parses it from the first bytes of a connection, before OpenSSL sees them: the server name picks the
certificate, the rest becomes the JA4 fingerprint of the connection. Every length is checked against what is there, and
nothing of the bytes is kept once the fingerprint is made.
"""

from __future__ import annotations

import hashlib
import struct
from typing import Final

NEED_MORE: Final = None

MAX_HELLO = 16 * 1024  # bytes of the message: against clients that make us keep what they will never finish
MAX_RECORDS = 64  # it may be cut into: against one record for each byte, which would be walked again at each read
MAX_BYTES = MAX_HELLO + MAX_RECORDS * 5  # on the wire, record headers and all

_HANDSHAKE = 22
_CLIENT_HELLO = 1
_SERVER_NAME, _SIGNATURE_ALGORITHMS, _ALPN, _SUPPORTED_VERSIONS = 0, 13, 16, 43

# Values that mean nothing and are sent to keep servers tolerant (RFC 8701 §2).
GREASE = frozenset(value << 8 | value for value in range(0x0A, 0x100, 0x10))

_NAME_BYTES = b"abcdefghijklmnopqrstuvwxyz0123456789-._"
_ALPHANUMERIC = frozenset(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
_VERSION_WORDS = {0x0304: "13", 0x0303: "12", 0x0302: "11", 0x0301: "10", 0x0300: "s3", 0x0002: "s2"}
_EXTENSION = struct.Struct(">HH").unpack_from
_NO_HASH = "000000000000"


class BadClientHello(ValueError):
    """Bytes that are no ClientHello. `alert` is the TLS alert that says why (RFC 8446 §6)."""

    def __init__(self, why: str, alert: int = 50) -> None:
        super().__init__(why)
        self.alert = alert


class ClientHello:
    """One parsed ClientHello; numbers are as on the wire, GREASE included.

    version               legacy_version: 0x0303 for TLS 1.2 and 1.3
    versions              of the supported_versions extension, () without one
    server_name           lower-case, without a trailing dot; "" when absent
    alpn                  protocols offered, in order of preference
    ciphers               in order of preference
    extensions            types, in order
    signature_algorithms  in order of preference
    """

    __slots__ = ("alpn", "ciphers", "extensions", "server_name", "signature_algorithms", "version", "versions")

    def __init__(self, version: int, ciphers: tuple[int, ...]) -> None:
        self.version = version
        self.ciphers = ciphers
        self.versions: tuple[int, ...] = ()
        self.server_name = ""
        self.alpn: tuple[bytes, ...] = ()
        self.extensions: list[int] = []
        self.signature_algorithms: tuple[int, ...] = ()

    def ja4(self) -> str:
        """The JA4 fingerprint of TLS over TCP, by FoxIO's specification ("JA4: TLS Client Fingerprinting")."""
        ciphers = sorted(value for value in self.ciphers if value not in GREASE)
        extensions = [value for value in self.extensions if value not in GREASE]
        hashed = sorted(value for value in extensions if value not in {_SERVER_NAME, _ALPN})
        second = _hexes(hashed)
        algorithms = [value for value in self.signature_algorithms if value not in GREASE]
        if algorithms:
            second += b"_" + _hexes(algorithms)
        return "t{}{}{:02d}{:02d}{}_{}_{}".format(
            self._version_word(),
            "d" if _SERVER_NAME in extensions else "i",
            min(len(ciphers), 99),
            min(len(extensions), 99),
            _alpn_word(self.alpn),
            _hash(_hexes(ciphers)) if ciphers else _NO_HASH,
            _hash(second) if hashed else _NO_HASH,
        )

    def _version_word(self) -> str:
        known = [value for value in self.versions if value not in GREASE]
        return _VERSION_WORDS.get(max(known) if known else self.version, "00")


def parse_client_hello(data: bytes) -> ClientHello | None:
    """The ClientHello at the start of `data` (TLS records), or NEED_MORE (None) while it is not all there.

    Raises BadClientHello for anything else, and for one that is larger than MAX_HELLO or cut into over MAX_RECORDS.
    """
    message = _join_records(data)
    if message is None:
        if len(data) >= MAX_BYTES:
            raise BadClientHello("the ClientHello is too large")
        return NEED_MORE
    try:
        return _parse_message(message)
    except (IndexError, struct.error):
        raise BadClientHello("the ClientHello ends early") from None


def _join_records(data: bytes) -> bytes | None:
    """The handshake message, without its four bytes of header, from the records it is cut into. None: not all there."""
    parts: list[bytes] = []
    at, have, size = 0, 0, len(data)
    for _ in range(MAX_RECORDS):
        if size < at + 5:
            _check_start(data, at)
            return None
        _check_start(data, at)
        end = at + 5 + (data[at + 3] << 8 | data[at + 4])
        if end == at + 5 or end > at + 5 + MAX_HELLO:
            raise BadClientHello("a record of the ClientHello is empty or too large", 22)
        parts.append(data[at + 5 : end])
        have += len(parts[-1])
        if have >= 4:
            if len(parts) > 1:
                parts = [b"".join(parts)]
            message = parts[0]
            if message[0] != _CLIENT_HELLO:
                raise BadClientHello("the first message is not a ClientHello", 10)
            length = message[1] << 16 | message[2] << 8 | message[3]
            if length > MAX_HELLO:
                raise BadClientHello("the ClientHello is too large")
            if have >= length + 4:
                return message[4 : length + 4]
        if end > size:
            return None
        at = end
    raise BadClientHello("the ClientHello is cut into too many records")


def _check_start(data: bytes, at: int) -> None:
    head = data[at : at + 2]
    if head[:1] not in {b"", b"\x16"} or head[1:] not in {b"", b"\x03"}:
        raise BadClientHello("not a TLS handshake record", 10)


def _parse_message(body: bytes) -> ClientHello:
    version = body[0] << 8 | body[1]
    at = 35 + body[34]  # after version, random and session id
    length = body[at] << 8 | body[at + 1]
    at += 2
    if length % 2 or not length:
        raise BadClientHello("the cipher suites have an odd length")
    hello = ClientHello(version, struct.unpack_from(f">{length >> 1}H", body, at))
    at += length
    at += 1 + body[at]  # compression methods
    if at > len(body):
        raise BadClientHello("the ClientHello ends early")
    if at == len(body):  # extensions are optional before TLS 1.3
        return hello
    if at + 2 + (body[at] << 8 | body[at + 1]) != len(body):
        raise BadClientHello("the extensions do not fill the ClientHello")
    at += 2
    types = hello.extensions
    while at < len(body):
        kind, length = _EXTENSION(body, at)
        at += 4
        end = at + length
        if end > len(body):
            raise BadClientHello("an extension is longer than the ClientHello")
        types.append(kind)
        if kind == _SERVER_NAME:
            hello.server_name = _server_name(body[at:end])
        elif kind == _ALPN:
            hello.alpn = _protocols(body[at:end])
        elif kind == _SIGNATURE_ALGORITHMS:
            hello.signature_algorithms = _numbers(body[at:end], 2)
        elif kind == _SUPPORTED_VERSIONS:
            hello.versions = _numbers(body[at:end], 1)
        at = end
    if len(set(types)) != len(types):
        raise BadClientHello("an extension comes twice", 47)
    return hello


def _numbers(part: bytes, head: int) -> tuple[int, ...]:
    """16-bit numbers after a length of `head` bytes that must fit exactly."""
    length = len(part) - head
    if length < 2 or length % 2 or int.from_bytes(part[:head], "big") != length:
        raise BadClientHello("a list in an extension has a wrong length")
    return struct.unpack_from(f">{length >> 1}H", part, head)


def _server_name(part: bytes) -> str:
    """The one host name of the server_name extension (RFC 6066 §3)."""
    length = len(part) - 5
    if (
        length < 1
        or part[2] != 0
        or (part[0] << 8 | part[1]) != length + 3
        or (part[3] << 8 | part[4]) != length
        or length > 255
    ):
        raise BadClientHello("the server name extension is malformed")
    name = part[5:].lower()
    if name.translate(None, _NAME_BYTES):
        # An IPv6 literal, a NUL, a space: no certificate has such a name, and logs and rules must not meet it.
        raise BadClientHello("the server name has characters no host name has", 112)
    return name.decode("ascii").removesuffix(".")


def _protocols(part: bytes) -> tuple[bytes, ...]:
    """The names of the ALPN extension (RFC 7301 §3.1)."""
    if len(part) < 2 or (part[0] << 8 | part[1]) != len(part) - 2:
        raise BadClientHello("the ALPN extension is malformed")
    names: list[bytes] = []
    at = 2
    while at < len(part):
        end = at + 1 + part[at]
        if end == at + 1 or end > len(part):
            raise BadClientHello("the ALPN extension is malformed")
        names.append(part[at + 1 : end])
        at = end
    if not names:
        raise BadClientHello("the ALPN extension is empty")
    return tuple(names)


def _alpn_word(protocols: tuple[bytes, ...]) -> str:
    """First and last character of the first protocol; of its hexadecimal form if one of them is not alphanumeric."""
    if not protocols:
        return "00"
    first = protocols[0]
    if first[0] in _ALPHANUMERIC and first[-1] in _ALPHANUMERIC:
        return chr(first[0]) + chr(first[-1])
    return first[:1].hex()[0] + first[-1:].hex()[1]


def _hexes(numbers: list[int]) -> bytes:
    """b"1301,1302": four digits each."""
    return struct.pack(f">{len(numbers)}H", *numbers).hex(",", 2).encode()


def _hash(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()[:12]
