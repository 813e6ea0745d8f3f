"""Whether, and for how long, an origin lets a connection live on (RFC 9112 §9.3).

`http1` asks once per response. What the origin says can only shorten what the pool would do.
"""

from __future__ import annotations

from gateway.deadlines import NEVER
from gateway.http.fields import list_tokens
from gateway.http.message import Response


def keeps_alive(response: Response) -> bool:
    """RFC 9112 §9.3: `close` ends it, HTTP/1.1 persists, HTTP/1.0 only with `keep-alive`."""
    index = response.index
    connection = index.get(b"connection")
    if connection is None:
        return response.minor == 1
    if connection == b"keep-alive" and len(index) == len(response.fields):  # as nearly all that say anything
        return True
    options = [option for name, value in response.fields if name == b"connection" for option in list_tokens(value)]
    if b"close" in options:
        return False
    return response.minor == 1 or b"keep-alive" in options


def idle_hint(field: bytes | None) -> float:
    """Seconds of idleness the origin announces (`Keep-Alive: timeout=5`), one second less for the way; else NEVER.

    A request that meets the origin's own idle close on the way is lost, and a POST may not be sent again.
    """
    for parameter in list_tokens(field) if field is not None else ():
        name, _, value = parameter.partition(b"=")
        if name.strip() == b"timeout" and value.strip().isdigit() and len(value) < 10:
            seconds = float(value)
            return seconds - 1.0 if seconds > 1.0 else seconds / 2
    return NEVER
