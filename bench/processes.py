"""Child processes of a run: started on a core of their own, awaited until they listen, ended by their own id.

Origins, peers and the gateway are all started here. A process that was not started here is never signalled.
"""

from __future__ import annotations

import contextlib
import os
import random
import resource
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

WANTED_DESCRIPTORS = 32_768  # a proxy keeps two in hand for each connection
START_SECONDS = 15.0  # a peer that does not listen by then will not
STOP_SECONDS = 1.5  # of grace; nothing here is worth a long farewell
_BELOW_EPHEMERAL = range(10_000, 32_000)  # the kernel gives none of these to an outgoing connection


class StartFailed(Exception):
    """A process ended or did not listen in time; the text holds the end of what it wrote."""


class Cores(NamedTuple):
    """Which core the proxy has to itself, and which the load and the origin share."""

    proxy: int
    others: int


def choose_cores() -> Cores:
    """The first two cores this process may use; one core serves for both on a very small machine."""
    usable = sorted(os.sched_getaffinity(0))
    return Cores(usable[0], usable[1] if len(usable) > 1 else usable[0])


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on now, and that no connection of the load can take meanwhile."""
    while True:
        port = random.choice(_BELOW_EPHEMERAL)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.2)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def raise_descriptors() -> int:
    """The descriptors each process of the run may have, after asking for all it may ask for; children inherit it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = max(hard, WANTED_DESCRIPTORS)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, wanted))
    except (ValueError, PermissionError):  # only root may go beyond the hard limit
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        return hard
    return wanted


class Started:
    """One child process: its `pid`, and its output in a file of the stage."""

    __slots__ = ("_output", "_process", "name", "pid")

    def __init__(
        self, name: str, command: list[str], *, core: int, output: Path, environment: dict[str, str] | None = None
    ) -> None:
        self.name = name
        self._output = output
        with output.open("ab") as sink:
            self._process = subprocess.Popen(
                ["taskset", "-c", str(core), *command],
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                env=os.environ | (environment or {}),
                cwd=output.parent,
                start_new_session=True,  # an interrupt from the keyboard reaches us, and we end it in order
            )
        self.pid = self._process.pid

    def wait_for(self, *ports: int) -> None:
        """Returns once every port listens. Raises StartFailed with the end of the output."""
        until = time.monotonic() + START_SECONDS
        for port in ports:
            while not listens(port):
                if self._process.poll() is not None:
                    raise StartFailed(f"{self.name} ended at once:\n{self.tail()}")
                if time.monotonic() > until:
                    raise StartFailed(f"{self.name} does not listen on port {port}:\n{self.tail()}")
                time.sleep(0.02)

    def tail(self) -> str:
        """The last lines it wrote."""
        return "\n".join(self._output.read_text(errors="replace").splitlines()[-12:])

    def stop(self) -> None:
        """Asks it to end, then makes it end. Idempotent."""
        if self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._kill_group()

    def kill(self) -> None:
        """Ends it without asking: for measurements that start it many times."""
        if self._process.poll() is None:
            self._kill_group()

    def _kill_group(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)  # the session is its own: start_new_session
        self._process.wait(STOP_SECONDS)

    def __enter__(self) -> Started:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def say(text: str) -> None:
    """Progress, on standard error: standard output is for the table."""
    print(text, file=sys.stderr, flush=True)
