"""Who may be answered, and who may change something: Host, Origin, token or client certificate, and failed attempts.

Asked by `app.py` about every request and by `writes.py` about every write. The rule: no web page gets a browser to read
or to change anything here, and what it takes to change something is checked on loopback too.
"""

from __future__ import annotations

import hmac
import ipaddress
import math
from collections.abc import Callable, Iterable
from hashlib import sha256
from typing import NamedTuple

from gateway.admin.actions import ActionRefused

BURST = 5  # attempts that may fail in a row, by peer: against guessing
REFILL = 2.0  # seconds until one more may; the longest that anybody is made to wait
MOST_PEERS = 256  # that are remembered, against a peer with many addresses (IPv6 counts by /64)
FINGERPRINT = 8  # hex digits of a token's digest in the audit log: tells two tokens apart, and helps nobody to guess


NOBODY = (
    "this gateway may be read and not changed: give it admin.token, or a state_dir, in which it makes a token by "
    "itself, or admin.tls.client_ca"
)


class Asked(NamedTuple):
    """What a request says of who sent it.

    peer           its address, "unix" on a Unix socket
    subject        of its client certificate, "" without
    host, origin, site, authorization  values of Host, Origin, Sec-Fetch-Site and Authorization, "" where absent
    """

    peer: str
    subject: str
    host: str
    origin: str
    site: str
    authorization: str


class Access:
    """The rules of one listener. `clock` gives seconds."""

    __slots__ = ("_attempts", "_by_certificate", "_digest", "_hosts")

    def __init__(
        self, hosts: Iterable[str], token: str, clock: Callable[[], float], *, by_certificate: bool = False
    ) -> None:
        self._hosts = frozenset(name.lower().rstrip(".") for name in ("localhost", *hosts))
        self._digest = sha256(token.encode()).digest() if token else b""
        self._by_certificate = by_certificate
        self._attempts = Attempts(clock)

    def may_read(self, host: str) -> bool:
        """Whether a Host field names us."""
        return is_allowed_host(host, self._hosts)

    def who(self, asked: Asked) -> str:
        """Who may change something: "certificate CN=ops" or "token 1a2b3c4d". Raises ActionRefused.

        A refusal is `Unheard` if the log need not hear of it: it has heard enough of that peer.
        """
        if is_from_elsewhere(asked):
            # Counted apart: a page in the operator's browser shares his address, and must not lock him out.
            heard = self._attempts.wait("a web page") == 0.0
            self._attempts.failed("a web page")
            raise (ActionRefused if heard else Unheard)(403, "a web page of another origin cannot change anything here")
        if self._by_certificate and asked.subject:
            return f"certificate {asked.subject}"
        peer = _neighbourhood(asked.peer)
        wait = self._attempts.wait(peer)
        if wait:
            fields = {"Retry-After": str(math.ceil(wait))}
            raise Unheard(429, "too many attempts failed: wait a little", fields=fields)
        try:
            return self._by_token(asked.authorization)
        except ActionRefused:
            self._attempts.failed(peer)
            raise

    def _by_token(self, authorization: str) -> str:
        if not self._digest:
            raise ActionRefused(403, NOBODY)
        challenge = {"WWW-Authenticate": 'Bearer realm="gateway"'}
        scheme, _, offered = authorization.partition(" ")
        if scheme.lower() != "bearer":
            raise ActionRefused(401, "to change anything send Authorization: Bearer TOKEN", fields=challenge)
        # Digests have one length, so that the time tells nothing of the token's.
        digest = sha256(offered.strip().encode("utf-8", "surrogateescape")).digest()
        if not hmac.compare_digest(digest, self._digest):
            raise ActionRefused(401, "that is not the token", fields=challenge)
        return f"token {digest.hex()[:FINGERPRINT]}"


class Unheard(ActionRefused):
    """A refusal of which the audit log has heard often enough."""


class Attempts:
    """How often peers failed of late: a leaky bucket each, of BURST, emptied by one every REFILL seconds."""

    __slots__ = ("_clock", "_failures")

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._failures: dict[str, tuple[float, float]] = {}  # peer -> (level, when it was that)

    def wait(self, peer: str) -> float:
        """Seconds until `peer` may try again, 0.0 for now."""
        return max(0.0, (self._level(peer) - BURST + 1) * REFILL)

    def failed(self, peer: str) -> None:
        """One more."""
        level = min(self._level(peer), BURST - 1) + 1.0
        self._failures.pop(peer, None)
        if len(self._failures) >= MOST_PEERS:
            del self._failures[next(iter(self._failures))]  # the one that failed longest ago
        self._failures[peer] = (level, self._clock())

    def _level(self, peer: str) -> float:
        level, at = self._failures.get(peer, (0.0, 0.0))
        return max(0.0, level - (self._clock() - at) / REFILL)

    def __len__(self) -> int:
        return len(self._failures)


def is_allowed_host(host: str, allowed: frozenset[str]) -> bool:
    """Whether a Host field names us: an address (nobody can point a name of theirs at that), or a name we know.

    No Host at all is a program, not a browser (RFC 9112 §3.2 makes HTTP/1.1 clients send one; 1.0 need not).
    """
    if not host:
        return True
    name = host.rpartition("]")[0].removeprefix("[") if host.startswith("[") else host.partition(":")[0]
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name.lower().rstrip(".") in allowed
    return True


def is_from_elsewhere(asked: Asked) -> bool:
    """Whether a browser says that a page of another origin sends this: every one of today says so on a write
    (https://www.w3.org/TR/fetch-metadata/, and Origin, RFC 6454 §7, before them)."""
    if asked.site not in {"", "same-origin", "none"}:
        return True
    return bool(asked.origin) and asked.origin.partition("://")[2].lower() != asked.host.lower()


def _neighbourhood(peer: str) -> str:
    """The addresses that one client has at hand: an IPv6 /64, or the one of IPv4."""
    if ":" not in peer:
        return peer
    address = ipaddress.IPv6Address(peer)
    # On a socket for both families they look like one network.
    return str(address.ipv4_mapped or ipaddress.IPv6Network((int(address), 64), strict=False))
