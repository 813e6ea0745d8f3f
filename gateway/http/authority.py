"""The host of a request: what the Host field and the target say, as one name (RFC 9112 §3.2).

`head.py` asks it for each head that it has not seen before; the name decides the route. There is one spelling of a
host here: what two readers could take for two different hosts is refused.
"""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv6Address

from gateway.http.message import Malformed

# Host names as DNS and browsers know them, labels never empty. Of what RFC 3986 adds, escapes, commas, quotes and their
# like only ever served attacks. A port may be empty.
_NAME = rb"[A-Za-z0-9_~!$&+=-]+(?:\.[A-Za-z0-9_~!$&+=-]+)*\.?"
_AUTHORITY = re.compile(rb"(%b|\[[0-9A-Fa-f:.]{2,45}\])(?::([0-9]{0,5}))?" % _NAME)
_DEFAULT_PORT = {b"http": b":80", b"https": b":443"}


def is_tunnel_target(target: bytes) -> bool:
    """Whether `target` is the host:port of a CONNECT."""
    found = _AUTHORITY.fullmatch(target)
    return found is not None and bool(found[2])


def read_host(host: bytes | None, target: bytes | None, minor: int) -> tuple[bytes, bytes]:
    """(authority, host) of a request: the Host to pass on, and the name to route by. Raises Malformed.

    `host`    value of the one Host field; None is for HTTP/1.0 only, where both results may be b""
    `target`  scheme and authority of an absolute target (b"http://a.example:80"), which must name the same; else None
    """
    if host is None and minor == 1:
        raise Malformed("no Host field")
    if target is not None:
        scheme, _, named = target.lower().partition(b"://")
        default = _DEFAULT_PORT[scheme]
        if host is None:
            host = named
        elif _without(default, named) != _without(default, host.lower()):
            raise Malformed("Host and request target disagree")
    elif host is None:
        return b"", b""
    found = _AUTHORITY.fullmatch(host)
    if found is None or (found[2] and not 0 < int(found[2]) < 65536) or (host[0] == 91 and not _is_ipv6(found[1])):
        raise Malformed("an invalid Host field")
    name = found[1].lower()
    return host.removesuffix(b":"), name.removesuffix(b".")  # "example.com." is example.com


def _without(port: bytes, authority: bytes) -> bytes:
    """RFC 9110 §4.2.3: the default port, an empty one and none are the same."""
    return authority.removesuffix(b":").removesuffix(port)


def _is_ipv6(literal: bytes) -> bool:
    """Whether what stands in brackets is an address."""
    try:
        IPv6Address(literal[1:-1].decode())
    except AddressValueError:
        return False
    return True
