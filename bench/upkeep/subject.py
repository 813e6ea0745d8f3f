"""Subject: the gateway that is measured, with its configuration file, its processes, and what they hold.

Its processes are found under its own id, so that nothing else is ever signalled. Nothing here waits on the event loop:
what has to be waited for is asked again and again by `until`.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from bench.processes import START_SECONDS, StartFailed, free_port

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 30.0
_PROC = Path("/proc")
_LISTENS = "0A"  # the state of a socket in /proc/net/tcp
_SAMPLE = re.compile(r"^(gateway_[a-z_]+)(?:\{[^}]*\})? (\S+)", re.MULTILINE)

T = TypeVar("T")


class Held(NamedTuple):
    """What a process has: memory of its own (anonymous, resident bytes), and descriptors but for those of connections,
    which come and go."""

    memory: int
    descriptors: int


class Subject:
    """A gateway of `workers` workers in `folder`, in front of an origin of pages and one of WebSockets.

    tree     where the code is; a copy can be spoilt
    program  what the interpreter runs instead of the gateway itself
    cores    which it may use, as taskset reads them; "" for all
    """

    def __init__(
        self,
        folder: Path,
        pages: int,
        sockets: int,
        *,
        tree: Path = ROOT,
        program: Sequence[str] = ("-m", "gateway"),
        cores: str = "",
        **more: Any,
    ) -> None:
        self.folder = folder
        self.sockets = sockets
        self.port, self.admin = free_port(), free_port()
        self.tree = tree
        self._program = program
        self._cores = cores
        self.config: dict[str, Any] = {
            "listeners": [{"bind": f"127.0.0.1:{self.port}"}],
            "admin": {"bind": f"127.0.0.1:{self.admin}"},
            "workers": 2,
            "upstreams": {
                "pages": {"endpoints": [f"http://127.0.0.1:{pages}"]},
                "sockets": {"endpoints": [f"http://127.0.0.1:{sockets}"]},
            },
            "routes": [
                {"name": "socket", "match": {"path": "/socket"}, "upstream": "sockets"},
                {"name": "pages", "match": {"path": "/*"}, "upstream": "pages"},
            ],
            **more,
        }
        self.write(self.config)
        self._child: subprocess.Popen[bytes] | None = None

    def write(self, config: dict[str, Any] | str) -> None:
        """The configuration file, replaced as a whole; JSON is YAML too."""
        text = config if isinstance(config, str) else json.dumps(config)
        fresh = self.folder / ".config.yaml"
        fresh.write_text(text)
        fresh.replace(self.folder / "config.yaml")

    # -- the process --------------------------------------------------------------------------------------------------

    def __enter__(self) -> Subject:
        before = ["taskset", "-c", self._cores] if self._cores else []
        with (self.folder / "access.log").open("ab") as log, (self.folder / "said").open("ab") as said:
            self._child = subprocess.Popen(
                [*before, sys.executable, *self._program, "run", "-c", str(self.folder / "config.yaml")],
                cwd=self.folder, env=os.environ | {"PYTHONPATH": str(self.tree)}, stdin=subprocess.DEVNULL,
                stdout=log, stderr=said,
            )  # fmt: skip
        end = time.monotonic() + START_SECONDS
        while " route" not in self.said:
            if self._child.poll() is not None or time.monotonic() > end:
                self._child.kill()
                self._child.wait()
                raise StartFailed(f"the gateway did not start:\n{self.said}")
            time.sleep(0.02)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._child is not None
        self.signal(signal.SIGINT)
        try:
            self._child.wait(5.0)
        except subprocess.TimeoutExpired:
            for pid in [*self.children(), self.pid]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._child.wait()

    @property
    def pid(self) -> int:
        assert self._child is not None
        return self._child.pid

    @property
    def code(self) -> int | None:
        """Of its exit, None while it lives."""
        assert self._child is not None
        return self._child.poll()

    @property
    def said(self) -> str:
        """Its own log."""
        return (self.folder / "said").read_text()

    @property
    def lines(self) -> int:
        """Of the access log."""
        return (self.folder / "access.log").read_bytes().count(b"\n")

    def signal(self, number: int) -> None:
        assert self._child is not None
        self._child.send_signal(number)

    # -- its processes ------------------------------------------------------------------------------------------------

    def children(self) -> dict[int, str]:
        """Name (gateway-0, gateway-control) by process id, of those that live."""
        found = {}
        with contextlib.suppress(OSError):
            for word in (_PROC / f"{self.pid}/task/{self.pid}/children").read_text().split():
                with contextlib.suppress(OSError):
                    if _state(int(word)) != "Z":
                        found[int(word)] = (_PROC / word / "comm").read_text().strip()
        return found

    def child(self, name: str) -> int:
        """The process of that name that was started last; 0 if there is none."""
        return max((pid for pid, one in self.children().items() if one == name), default=0)

    def held(self) -> dict[str, Held]:
        """By name, the supervisor's own included."""
        connections = _connections().keys()
        return {name: _held(pid, connections) for pid, name in {**self.children(), self.pid: "supervisor"}.items()}

    # -- what it tells ------------------------------------------------------------------------------------------------

    def ask(self, path: str) -> Any:
        """An admin page, JSON or text; None if there is no answer."""
        client = http.client.HTTPConnection("127.0.0.1", self.admin, timeout=5)
        try:
            client.request("GET", path)
            body = client.getresponse().read()
        except (OSError, http.client.HTTPException):
            return None
        finally:
            client.close()
        return json.loads(body) if body.startswith(b"{") else body.decode()

    def counted(self, name: str) -> int:
        """The sum of a metric over all its labels."""
        text = self.ask("/metrics") or ""
        return round(sum(float(value) for found, value in _SAMPLE.findall(text) if found == name))

    def generations(self) -> set[int]:
        """What control and workers serve."""
        status = self.ask("/status")
        if status is None:
            return set()
        return {status["generation"], *(worker["generation"] for worker in status["workers"])}


async def until(condition: Callable[[], T], seconds: float = PATIENCE, every: float = 0.02) -> T:
    """The first true value of `condition`, which is asked on a thread. Raises TimeoutError."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(seconds):
        while not (value := await loop.run_in_executor(None, condition)):  # noqa: ASYNC110 - nobody announces it
            await asyncio.sleep(every)
    return value


def accepted_by(pid: int) -> set[int]:
    """Ports of 127.0.0.1 from which the connections come that a process has accepted."""
    held = set(_descriptors(pid))
    return {port for link, port in _connections().items() if link in held}


def _connections() -> dict[str, int]:
    """All TCP connections of this machine: the far port, by what a descriptor's link says."""
    found = {}
    for line in (_PROC / "net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[3] != _LISTENS:
            found[f"socket:[{fields[9]}]"] = int(fields[2].rpartition(":")[2], 16)
    return found


def _descriptors(pid: int) -> list[str]:
    links = []
    for link in (_PROC / f"{pid}/fd").iterdir():
        with contextlib.suppress(OSError):  # gone meanwhile
            links.append(str(link.readlink()))
    return links


def _state(pid: int) -> str:
    return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[0]


def _held(pid: int, connections: Collection[str]) -> Held:
    status = (_PROC / str(pid) / "status").read_text()
    found = re.search(r"RssAnon:\s+(\d+) kB", status)
    others = [link for link in _descriptors(pid) if link not in connections]
    return Held(int(found[1]) * 1024 if found else 0, len(others))
