"""HeadBuffer: input of a connection that cannot be used yet: part of a head, or what came before its turn.

`Http1` asks it for the next whole head; what can never become one is refused without waiting for its end. However
slowly the bytes come, it reads a line of them once, and never holds more than the largest head allowed (part of a
head) or what the wire lets in before it pauses (pipelined input).
"""

from __future__ import annotations

from gateway.errors import Cause, ClientFault, cause_of
from gateway.http.head import LONGEST_METHOD
from gateway.http.message import Malformed
from gateway.http.partial import judge_head

END = b"\r\n\r\n"
EMPTY_LINES = 4  # before a request are forgiven (RFC 9112 §2.2); more of them are a client that never asks


class HeadBuffer:
    """`begun`: loop time of the first byte of the head that is held in part, 0.0 when there is none."""

    __slots__ = ("_held", "_judged", "begun")

    def __init__(self) -> None:
        self._held: bytes | bytearray = b""
        self._judged = 0  # bytes of a part of a head that are whole lines, and well-formed
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
        """What is held and `data`, b"" while they do not make a whole head (but still can)."""
        held = self._held
        if not self.begun:  # no part of a head: an empty line, or what came before its turn
            return self.take() + data
        if not isinstance(held, bytearray):
            held = self._held = bytearray(held)
        seen = len(held)
        held += data
        if held.find(END, max(0, seen - 3)) >= 0 or len(held) > max_head:
            return self.take()
        try:
            self._judged = judge_head(held, self._judged, seen)
        except Malformed:
            return self.take()  # for `split` to say so
        return b""

    def split(self, data: bytes, now: float, max_head: int) -> tuple[bytes, bytes] | None:
        """The first head of `data` and what follows it; None, and held, if it is not whole. Raises ClientFault."""
        at = 0
        while data.startswith(b"\r\n", at):
            at += 2
            if at > 2 * EMPTY_LINES:
                raise ClientFault(Cause.MALFORMED_REQUEST, "more empty lines than requests")
        end = data.find(END, at) + 4
        if end < 4:
            if len(data) - at > max_head:
                raise _too_large(data, at, max_head)
            self._keep(data, at, now)
            return None
        if end - at > max_head:
            raise _too_large(data, at, max_head)
        if at == 0 and end == len(data):
            return data, b""
        return data[at:end], data[end:]

    def _keep(self, data: bytes, at: int, now: float) -> None:
        """Holds part of a head, which begins `at`; or, where there is none yet, the empty lines, which count."""
        if data[at:] in (b"", b"\r"):
            self._held = data
            return
        self._held = data[at:]
        try:
            self._judged = judge_head(self._held, 0, 0)
        except Malformed as malformed:
            raise ClientFault(cause_of(malformed.status), malformed.why) from None
        self.begun = self.begun or now


def _too_large(data: bytes, at: int, max_head: int) -> ClientFault:
    """A request line without an end is a target too long (RFC 9110 §15.5.15), if there is a target."""
    if data.find(b"\r\n", at, at + max_head) >= 0:
        return ClientFault(Cause.HEAD_TOO_LARGE)
    is_request = data.find(b" ", at, at + LONGEST_METHOD + 1) > 0
    return ClientFault(Cause.URI_TOO_LONG if is_request else Cause.MALFORMED_REQUEST)
