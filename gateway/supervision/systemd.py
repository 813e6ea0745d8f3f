"""What systemd and the supervisor tell each other: state by NOTIFY_SOCKET, sockets by LISTEN_FDS.

Both are a few environment variables (sd_notify(3), sd_listen_fds(3)) and need no library. The rule: without systemd
nothing happens, and with it nothing waits: a notification that cannot be sent is dropped.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import MutableMapping

FIRST_FD = 3  # SD_LISTEN_FDS_START
_LISTEN_VARIABLES = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID")


class Notifier:
    """Tells systemd how it goes. `interval`: seconds between two calls of `alive`, None if nobody watches."""

    __slots__ = ("_address", "interval")

    def __init__(self, environment: MutableMapping[str, str]) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        watched = environment.get("WATCHDOG_USEC", "")
        ours = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        # Half of the limit, as sd_watchdog_enabled(3) advises.
        self.interval = int(watched) / 2e6 if watched.isdigit() and int(watched) > 0 and ours else None

    def ready(self, status: str) -> None:
        self._send("READY=1", f"STATUS={status}")

    def reloading(self, status: str) -> None:
        """Followed by `ready` when it is over: Type=notify-reload waits for that."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}",
                   f"STATUS={status}")  # fmt: skip

    def stopping(self, status: str) -> None:
        self._send("STOPPING=1", f"STATUS={status}")

    def status(self, status: str) -> None:
        self._send(f"STATUS={status}")

    def alive(self) -> None:
        """The supervisor's loop turns."""
        self._send("WATCHDOG=1")

    def _send(self, *lines: str) -> None:
        if not self._address:
            return
        message = "\n".join(line.replace("\n", " ") for line in lines).encode()
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.setblocking(False)
                sender.sendto(message, self._address)
        except OSError:
            return


def given_sockets(environment: MutableMapping[str, str]) -> list[socket.socket]:
    """The listening sockets of a socket unit. Takes the variables out: children, and another image of this process,
    which has the same id, must not believe that they were meant."""
    told = {name: environment.pop(name, "") for name in _LISTEN_VARIABLES}
    if told["LISTEN_PID"] != str(os.getpid()) or not told["LISTEN_FDS"].isdigit():
        return []
    found = []
    for fd in range(FIRST_FD, FIRST_FD + int(told["LISTEN_FDS"])):
        os.set_inheritable(fd, False)
        try:
            one = socket.socket(fileno=fd)
        except OSError:
            continue  # no socket: a FIFO or a file, which no listener of ours can be
        if one.type == socket.SOCK_STREAM and one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            one.setblocking(False)
            found.append(one)
        else:
            one.close()
    return found
