"""Channel: messages, and descriptors with them, between two processes of the gateway.

The supervisor makes the pairs before it forks; peer.py is the same on an event loop. The rule: sending never waits, a
message arrives whole or not at all, and no descriptor is left open that nobody was told of.
"""

from __future__ import annotations

import array
import errno
import os
import socket
import struct
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import orjson

MOST_IN_PACKET = 32 * 1024  # bytes of JSON; more travels in memory whose descriptor is sent
MOST_BYTES = 256 * 1024 * 1024  # of one message, against a peer gone mad
MOST_FDS = 200  # of one message; the kernel takes 253, and one may be the message itself
MOST_QUEUED = 256  # messages for a peer that does not read; each may hold descriptors
MOST_AT_ONCE = 64  # messages of one `receive`, so that a chatty peer does not hold up everything else

# A packet: what it is, how many descriptors come with it, then the JSON or nothing.
_HEAD = struct.Struct("<BB")
_INLINE, _IN_MEMORY = 1, 2
_ROOM = socket.CMSG_SPACE((MOST_FDS + 1) * 4)


class ChannelClosed(Exception):
    """The other end is gone, or what it sends is no message."""


class ChannelFull(ChannelClosed):
    """The other end has not read for so long that no more is kept for it. The message was not sent."""


class Message(NamedTuple):
    """What arrived. The descriptors are the receiver's to close."""

    body: dict[str, Any]
    fds: list[int]


class Channel:
    """One end. Not for several threads."""

    __slots__ = ("_queue", "_socket")

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)
        self._socket = end
        self._queue: deque[tuple[bytes, list[int]]] = deque()

    @classmethod
    def pair(cls) -> tuple[Channel, Channel]:
        """Both ends of a new channel. Raises OSError."""
        one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        return cls(one), cls(other)

    @classmethod
    def of(cls, fd: int) -> Channel:
        """The end behind a descriptor, which is the channel's from now on."""
        return cls(socket.socket(fileno=fd))

    def __enter__(self) -> Channel:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def fileno(self) -> int:
        return self._socket.fileno()

    @property
    def wants_write(self) -> bool:
        """Whether `flush` should be called when the descriptor can be written to."""
        return bool(self._queue)

    def send(self, body: dict[str, Any], fds: Sequence[int] = ()) -> None:
        """Sends, or queues what does not fit now; never waits. `fds` are copied, the caller keeps his.

        Raises ChannelClosed when nobody will read it, ChannelFull, and ValueError for more than MOST_FDS.
        """
        if len(fds) > MOST_FDS:
            raise ValueError(f"{len(fds)} descriptors in one message; at most {MOST_FDS}")
        if len(self._queue) >= MOST_QUEUED:
            raise ChannelFull(f"{MOST_QUEUED} messages wait for a process that does not read")
        payload = orjson.dumps(body)
        own = []
        kind = _INLINE
        if len(payload) > MOST_IN_PACKET:
            own.append(_in_memory(payload))
            kind, payload = _IN_MEMORY, b""
        packet = _HEAD.pack(kind, len(own) + len(fds)) + payload
        try:
            if self._queue or not self._write(packet, [*own, *fds]):
                self._queue.append((packet, [os.dup(fd) for fd in (*own, *fds)]))
        finally:
            _close(own)

    def flush(self) -> None:
        """Sends what is queued, as far as it fits. Raises ChannelClosed."""
        while self._queue:
            packet, fds = self._queue[0]
            if not self._write(packet, fds):
                return
            self._queue.popleft()
            _close(fds)

    def receive(self) -> list[Message]:
        """What has arrived, at most MOST_AT_ONCE messages. Raises ChannelClosed once nothing more will come."""
        messages: list[Message] = []
        while len(messages) < MOST_AT_ONCE:
            try:
                message = self._read()
            except ChannelClosed:
                if messages:
                    break
                raise
            if message is None:
                break
            messages.append(message)
        return messages

    def close(self) -> None:
        """Closes this end; what is queued is lost. Idempotent."""
        for _packet, fds in self._queue:
            _close(fds)
        self._queue.clear()
        self._socket.close()

    def _write(self, packet: bytes, fds: Sequence[int]) -> bool:
        """False if it has to wait."""
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        try:
            self._socket.sendmsg([packet], ancillary, socket.MSG_NOSIGNAL)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError as error:
            if error.errno == errno.ENOBUFS:
                return False
            raise ChannelClosed(f"the other end is gone ({error.strerror})") from None
        return True

    def _read(self) -> Message | None:
        """The next message, None if there is none yet. Raises ChannelClosed."""
        while True:
            try:
                packet, ancillary, flags, _address = self._socket.recvmsg(
                    _HEAD.size + MOST_IN_PACKET, _ROOM, socket.MSG_CMSG_CLOEXEC
                )
            except BlockingIOError:
                return None
            except ConnectionResetError:
                continue  # told once when the peer died with unread messages of ours; what it had sent is still there
            except OSError as error:
                raise ChannelClosed(f"the other end is gone ({error.strerror})") from None
            fds = _descriptors(ancillary)
            if not packet:
                raise ChannelClosed("the other end is gone")
            try:
                return _message(packet, fds, bool(flags & (socket.MSG_CTRUNC | socket.MSG_TRUNC)))
            except BaseException:
                _close(fds)
                raise


def _message(packet: bytes, fds: list[int], cut: bool) -> Message:
    """Takes the descriptor of the message's own memory out of `fds`. Raises ChannelClosed for what is no message."""
    kind, count = _HEAD.unpack_from(packet) if len(packet) >= _HEAD.size else (0, 0)
    if cut or count != len(fds) or kind not in {_INLINE, _IN_MEMORY} or (kind == _IN_MEMORY and not fds):
        raise ChannelClosed(f"a message of which {len(fds)} of {count} descriptors arrived (too many open files?)")
    if kind == _IN_MEMORY:
        memory = fds.pop(0)
        try:
            payload = _read_memory(memory)
        finally:
            os.close(memory)
    else:
        payload = packet[_HEAD.size :]
    try:
        body = orjson.loads(payload)
    except orjson.JSONDecodeError:
        body = None
    if not isinstance(body, dict):
        raise ChannelClosed("the other end sends what is no message")
    return Message(body, fds)


def _in_memory(payload: bytes) -> int:
    if len(payload) > MOST_BYTES:
        raise ValueError(f"a message of {len(payload)} bytes; at most {MOST_BYTES}")
    fd = os.memfd_create("message", os.MFD_CLOEXEC)
    try:
        view, at = memoryview(payload), 0
        while at < len(view):
            at += os.pwrite(fd, view[at:], at)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _read_memory(fd: int) -> bytes:
    size = os.fstat(fd).st_size
    if size > MOST_BYTES:
        raise ChannelClosed(f"a message of {size} bytes")
    payload = bytearray()
    while piece := os.pread(fd, size - len(payload), len(payload)):
        payload += piece
    return bytes(payload)


def _descriptors(ancillary: list[tuple[int, int, bytes]]) -> list[int]:
    fds = array.array("i")
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(content[: len(content) - len(content) % fds.itemsize])
    return list(fds)


def _close(fds: Sequence[int]) -> None:
    for fd in fds:
        with suppress(OSError):
            os.close(fd)
