"""A gateway process on free ports, and commands of the gateway, as processes.

`Gateway` starts one, waits until it says that it serves, and at the end asks for its exit code and for a standard error
without a traceback. The rule: nothing waits for a time, everything for a condition; a process is ended by its own id.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, TypeVar

import yaml

from tests.kit.http_client import Client

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 30.0  # seconds that a condition may take on a busy machine before the test fails
_BELOW_EPHEMERAL = range(10_000, 32_000)  # the kernel gives none of these to an outgoing connection
_TRACES = ("Traceback (most recent call last)", "a bug in the gateway", "Exception ignored")

T = TypeVar("T")


_SHARE = len(_BELOW_EPHEMERAL) // 64  # of one test process: processes side by side have neighbouring ids
_turns = itertools.count(random.SystemRandom().randrange(_SHARE))


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on, and that nobody else is likely to take meanwhile."""
    for _ in range(_SHARE):
        port = _BELOW_EPHEMERAL[os.getpid() % 64 * _SHARE + next(_turns) % _SHARE]
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no free port")


def until(condition: Callable[[], T], seconds: float = PATIENCE) -> T:
    """The first true value of a condition that nobody announces, asked again and again. Fails after `seconds`."""
    end = time.monotonic() + seconds
    pause = threading.Event()
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, "the condition never came true"
        pause.wait(0.02)


def settled(read: Callable[[], T]) -> T:
    """What `read` gives once it has given the same for a while: for what has no end that could be waited for."""
    same, before = 0, read()
    pause = threading.Event()
    while same < 10:
        pause.wait(0.02)
        now = read()
        same, before = (same + 1 if now == before else 0), now
    return before


class Lines:
    """The lines of a pipe, read by a thread, and a way to wait for one of them."""

    def __init__(self, pipe: IO[str]) -> None:
        self._pipe = pipe
        self._lines: list[str] = []
        self._ended = False
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        for line in self._pipe:
            with self._news:
                self._lines.append(line)
                self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()

    def __iter__(self) -> Iterator[str]:
        with self._news:
            return iter(self._lines.copy())

    @property
    def text(self) -> str:
        return "".join(self)

    def count(self) -> int:
        with self._news:
            return len(self._lines)

    def first(self, choose: Callable[[str], T | None], since: int = 0, seconds: float = PATIENCE) -> T:
        """What `choose` gives for the first line from `since` on for which it gives anything; waits for it."""
        end = time.monotonic() + seconds
        at = since
        with self._news:
            while True:
                while at < len(self._lines):
                    found = choose(self._lines[at])
                    if found is not None:
                        return found
                    at += 1
                left = end - time.monotonic()
                assert not self._ended, f"it ended without the line:\n{''.join(self._lines)}"
                assert left > 0, f"no such line in {seconds}s:\n{''.join(self._lines[since:])}"
                self._news.wait(left)

    def join(self) -> None:
        self._thread.join(PATIENCE)
        self._pipe.close()


def command(*words: str, folder: Path = ROOT, environ: Mapping[str, str] | None = None) -> tuple[int, str, str]:
    """`gateway WORDS`, to its end: exit code, standard output, standard error. Fails if it left a traceback."""
    done = subprocess.run(
        [sys.executable, "-m", "gateway", *words],
        cwd=folder, env=_environment(environ), capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout, done.stderr


def _environment(more: Mapping[str, str] | None) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "default", **(more or {})}


def write_config(folder: Path, **config: Any) -> None:
    """config.yaml in `folder`; no admin listener and a short drain unless it says otherwise."""
    whole = {"admin": {"bind": None}, "shutdown": {"drain": "5s"}, **config}
    folder.joinpath("config.yaml").write_text(yaml.safe_dump(whole))


class Gateway:
    """`gateway run WORDS` in `folder`. As a context it is stopped at the end, and must stop cleanly.

    log   lines of standard output (the access log)
    said  lines of standard error
    code  the exit code that stopping it must give
    """

    def __init__(self, folder: Path, *words: str, environ: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.code = 0
        self._told = False  # to end
        self._child = subprocess.Popen(
            [sys.executable, "-m", "gateway", "run", *words],
            cwd=folder, env=_environment(environ), text=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        assert self._child.stdout is not None
        assert self._child.stderr is not None
        self.log = Lines(self._child.stdout)
        self.said = Lines(self._child.stderr)

    def started(self) -> Gateway:
        """Waits until it serves: it says so when its sockets are open and requests are answered."""
        self.said.first(lambda line: True if re.match(r"gateway \S+: \d+ route", line) else None)
        return self

    def __enter__(self) -> Gateway:
        try:
            return self.started()
        except BaseException:
            self.kill()
            raise

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if kind is not None:
            self.kill()
        else:
            if not self._told:
                self.signal(signal.SIGTERM)
            self.ended(self.code)

    # -- what it says -------------------------------------------------------------------------------------------------

    def logged(self, since: int = 0, **wanted: Any) -> dict[str, Any]:
        """The first line of the access log, from line `since` on, that has these values; waits for it."""

        def choose(line: str) -> dict[str, Any] | None:
            found = json.loads(line)
            return found if all(found.get(name) == value for name, value in wanted.items()) else None

        return self.log.first(choose, since)

    # -- the process --------------------------------------------------------------------------------------------------

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def alive(self) -> bool:
        return self._child.poll() is None

    def signal(self, number: int) -> None:
        self._told = self._told or number in {signal.SIGTERM, signal.SIGINT, signal.SIGKILL}
        self._child.send_signal(number)

    def ended(self, code: int = 0) -> str:
        """Waits for the end; its standard error. Fails on another exit code, or a traceback."""
        try:
            self._child.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"it does not end:\n{self.said.text}") from None
        self.log.join()
        self.said.join()
        text = self.said.text
        assert self._child.returncode == code, f"exit code {self._child.returncode}:\n{text}"
        found = [trace for trace in _TRACES if trace in text]
        assert not found, text
        return text

    def kill(self) -> None:
        """The end of a test that failed."""
        self._child.kill()
        self._child.wait()
        self.log.join()
        self.said.join()

    def memory(self) -> int:
        """Resident bytes now."""
        return self._status("VmRSS")

    def reset_peak(self) -> int:
        """Begins a new measurement of `peak`; resident bytes now."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")
        return self.memory()

    def peak(self) -> int:
        """The most resident bytes since `reset_peak`."""
        return self._status("VmHWM")

    def _status(self, name: str) -> int:
        found = re.search(rf"{name}:\s+(\d+) kB", Path(f"/proc/{self.pid}/status").read_text())
        assert found is not None
        return int(found[1]) * 1024


def get(port: int, target: str = "/", *fields: str, host: str = "localhost") -> Any:
    """One GET on a connection of its own."""
    with Client(("127.0.0.1", port)) as client:
        return client.ask("GET", target, *fields, host=host)
