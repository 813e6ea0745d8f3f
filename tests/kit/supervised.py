"""A handle on tiny_gateway.py: starts it, waits for what its processes say, asks them, and keeps asking under load."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import yaml

from tests.kit.process import PATIENCE, ROOT, Lines, free_port, until


class Supervised:
    """A gateway under the real supervisor, in `folder`; `code` is the exit code that ending it must give.

    events  lines of standard output: what its processes were told
    said    lines of standard error: what the supervisor logs
    """

    def __init__(self, folder: Path, workers: int = 2, **config: Any) -> None:
        self.folder = folder
        self.code = 0
        self.child: subprocess.Popen[str] = None  # type: ignore[assignment]  # until it is started
        self.port, self.admin = free_port(), free_port()
        self.config: dict[str, Any] = {
            "listeners": [{"bind": f"127.0.0.1:{self.port}"}],
            "admin": {"bind": f"127.0.0.1:{self.admin}"},
            "workers": workers,
            "routes": [],
            **config,
        }
        self.configure()
        self._told = self._traceback = False

    def configure(self, **changes: Any) -> None:
        self.config |= changes
        (self.folder / "config.yaml").write_text(yaml.safe_dump(self.config))

    def behave(self, **wanted: Any) -> None:
        """What its processes do from their next step on."""
        (self.folder / "behaviour.json").write_text(json.dumps(wanted))

    def start(self, *before: str, environ: Mapping[str, str] | None = None, **more: Any) -> Supervised:
        """Starts it, without waiting. `before`: words before the command."""
        self.child = subprocess.Popen(
            [*before, sys.executable, "-m", "tests.kit.tiny_gateway", str(self.folder)],
            cwd=ROOT, env={**os.environ, **(environ or {})}, text=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more,
        )  # fmt: skip
        assert self.child.stdout is not None
        assert self.child.stderr is not None
        self.events, self.said = Lines(self.child.stdout), Lines(self.child.stderr)
        return self

    def begun(self) -> Supervised:
        """For a `with` statement, where `start` was called already."""
        return self

    def __enter__(self) -> Supervised:
        if self.child is None:
            self.start()
        try:
            self.event(got="started")
        except BaseException as error:
            self.kill()
            error.add_note(self.said.text)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if kind is not None:
            self.kill()
            return
        if not self._told:
            self.signal(signal.SIGTERM)
        self.ended(self.code)

    # -- waiting ------------------------------------------------------------------------------------------------------

    def event(self, since: int = 0, **wanted: Any) -> dict[str, Any]:
        """The first event from line `since` on that has these values; waits for it."""

        def choose(line: str) -> dict[str, Any] | None:
            found = json.loads(line)
            return found if all(found.get(name) == value for name, value in wanted.items()) else None

        return self.events.first(choose, since)

    def logged(self, words: str, since: int = 0) -> str:
        """The first line of the log with these words in it; waits for it."""
        return self.said.first(lambda line: line if words in line else None, since)

    def ended(self, code: int = 0) -> str:
        """Waits for the end; what it logged."""
        try:
            self.child.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"it does not end:\n{self.said.text}\n{self.events.text}") from None
        self.events.join()
        self.said.join()
        assert self.child.returncode == code, f"{self.child.returncode}:\n{self.said.text}\n{self.events.text}"
        assert self._traceback or "Traceback" not in self.said.text, self.said.text
        return self.said.text

    def allow_traceback(self) -> None:
        """The test makes the new code raise."""
        self._traceback = True

    def kill(self) -> None:
        """The end of a test that failed. The children end with the supervisor."""
        self._told = True
        self.child.kill()
        self.child.wait()
        self.events.join()
        self.said.join()

    # -- asking -------------------------------------------------------------------------------------------------------

    @property
    def pid(self) -> int:
        return self.child.pid

    def signal(self, number: int) -> None:
        self._told = self._told or number in {signal.SIGTERM, signal.SIGINT, signal.SIGQUIT}
        self.child.send_signal(number)

    def ask(self, path: str = "/", port: int | None = None) -> Any:
        """What the worker that takes the connection says. Raises OSError, ValueError."""
        return ask(port or self.port, path)

    def workers(self, count: int = 2) -> dict[int, int]:
        """Process ids by share, of as many as answer; asks until `count` have."""
        found: dict[int, int] = {}

        def all_found() -> bool:
            answer = self.ask()
            found[answer["share"]] = answer["pid"]
            return len(found) == count

        until(all_found)
        return dict(sorted(found.items()))

    def tell_supervisor(self, **body: Any) -> Any:
        """Sends a message as the control process; its answer and the addresses of its descriptors, if it was a
        question."""
        with socket.create_connection(("127.0.0.1", self.admin), PATIENCE) as connection:
            connection.sendall(json.dumps(body).encode())
            connection.shutdown(socket.SHUT_WR)
            answer = b"".join(iter(lambda: connection.recv(100_000), b""))
        return json.loads(answer) if answer else None


def ask(port: int, path: str = "/") -> Any:
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        answer = b"".join(iter(lambda: connection.recv(10_000), b""))
    return json.loads(answer.partition(b"\r\n\r\n")[2])


class Load:
    """Clients that ask again and again, each on a new connection, until the end of the context."""

    def __init__(self, port: int, clients: int = 8) -> None:
        self.answered = 0
        self.failed: list[str] = []
        self.slowest = 0.0  # seconds
        self._port = port
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(clients)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(PATIENCE)

    def more(self, count: int = 50) -> None:
        """Waits until as many more were answered."""
        wanted = self.answered + count
        until(lambda: self.answered >= wanted)

    def _run(self) -> None:
        while not self._over.wait(0.002):
            began = time.monotonic()
            try:
                ask(self._port)
                failure = ""
            except (OSError, ValueError) as error:
                failure = repr(error)
            with self._lock:
                self.slowest = max(self.slowest, time.monotonic() - began)
                if failure:
                    self.failed.append(failure)
                else:
                    self.answered += 1
