"""HeadBuffer: input of a connection that cannot be used yet: part of a head, or what came before its turn.

`Http1` asks it for the next whole head. It looks at each byte once however slowly they come, and never holds more than
the largest head allowed (part of a head) or what the wire lets in before it pauses (pipelined input).
"""

from __future__ import annotations

from gateway.errors import Cause, ClientFault

END = b"\r\n\r\n"
_EMPTY_LINE = (b"\r", b"\r\n")


class HeadBuffer:
    """`begun`: loop time of the first byte of the head that is held in part, 0.0 when there is none."""

    __slots__ = ("_held", "begun")

    def __init__(self) -> None:
        self._held: bytes | bytearray = b""
        self.begun = 0.0

    def __len__(self) -> int:
        return len(self._held)

    def hold(self, data: bytes) -> None:
        """Keeps `data` for later."""
        self._held = self._held + data if self._held else data

    def take(self) -> bytes:
        """All that is held; nothing is held afterwards."""
        held, self._held = bytes(self._held), b""
        return held

    def join(self, data: bytes, max_head: int) -> bytes:
        """What is held and `data`, b"" while they do not make a whole head (and are not too large to become one)."""
        held = self._held
        if not self.begun:  # no part of a head: an empty line, or what came before its turn
            return self.take() + data
        if not isinstance(held, bytearray):
            held = self._held = bytearray(held)
        seen = len(held)
        held += data
        if held.find(END, max(0, seen - 3)) >= 0 or len(held) > max_head:
            return self.take()
        return b""

    def split(self, data: bytes, now: float, max_head: int) -> tuple[bytes, bytes] | None:
        """The first head of `data` and what follows it; None, and held, if it is not whole. Raises ClientFault."""
        at = 2 if data.startswith(b"\r\n") else 0  # RFC 9112 §2.2: one empty line before a request is forgiven
        end = data.find(END, at) + 4
        if end < 4:
            if len(data) > max_head:
                raise _too_large(data, at, max_head)
            if data not in _EMPTY_LINE:
                self.begun = self.begun or now
            self._held = data
            return None
        if end - at > max_head:
            raise _too_large(data, at, max_head)
        if at == 0 and end == len(data):
            return data, b""
        return data[at:end], data[end:]


def _too_large(data: bytes, at: int, max_head: int) -> ClientFault:
    """A request line without an end is a target too long (RFC 9110 §15.5.15)."""
    line_ends = data.find(b"\r\n", at, at + max_head) >= 0
    return ClientFault(Cause.HEAD_TOO_LARGE if line_ends else Cause.URI_TOO_LONG)
