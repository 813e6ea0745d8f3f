"""Keys that tell clients apart, and how an operator writes which one is meant."""

from __future__ import annotations

import pytest

from gateway.exchange import Connection, Exchange
from gateway.hash_key import HashOn, hash_key
from gateway.http.message import Request
from gateway.schema import Model


class Settings(Model):
    """A key as features have it."""

    by: HashOn


def exchange(
    client: str = "192.0.2.1", path: bytes = b"/", fields: list[tuple[bytes, bytes]] | None = None
) -> Exchange:
    request = Request(b"GET", path, path, None, 1)
    request.fields = fields or []
    request.index = dict(request.fields)
    return Exchange(Connection(client, 1, "l", "l", 0.0), request, 0.0)


@pytest.mark.parametrize(
    ("hash_on", "key"),
    [
        ("client", b"192.0.2.1"),
        ("path", b"/cart"),
        ("header:X-User", b"kim"),
        ("header:X-Absent", b"192.0.2.1"),
        ("cookie:session", b"abc=1"),
        ("cookie:sess", b"192.0.2.1"),
    ],
)
def test_keys(hash_on: str, key: bytes) -> None:
    """What is hashed; the client's address where the field or cookie is missing."""
    fields = [(b"x-user", b"kim"), (b"cookie", b"a=session=no; session=abc=1"), (b"cookie", b"session=late")]
    assert hash_key(hash_on)(exchange(path=b"/cart", fields=fields)) == key


@pytest.mark.parametrize("text", ["header", "header:a b", "client:x", "cookie:", "ip", ""])
def test_mistakes(text: str) -> None:
    """Each is answered with what may be written."""
    with pytest.raises(ValueError, match="write client, path, header:NAME or cookie:NAME"):
        Settings(by=text)
