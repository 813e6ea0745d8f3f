"""A gateway whose worker and control process are a few lines each, under the real supervisor.

Run as `python -m tests.kit.tiny_gateway FOLDER`, it reads FOLDER/config.yaml and, at each of its steps, what
FOLDER/behaviour.json wants: shares that "fail" or "crash", a "template" that cannot be made, workers that "hang" when
drained and control processes that do at all, the name of the "image". The rule: nothing here is clever. A worker answers one request per connection with what it knows of itself; the control process passes on what it is asked.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gateway.config import Loaded, load
from gateway.state.channel import Channel, ChannelClosed
from gateway.supervision.roles import ControlRole, Roles, WorkerRole
from gateway.supervisor import Options, run


class Tiny:
    """What the processes do."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def behaviour(self, name: str, default: Any) -> Any:
        path = self.folder / "behaviour.json"
        return json.loads(path.read_text()).get(name, default) if path.exists() else default

    def template(self, loaded: Loaded) -> str:
        if self.behaviour("template", ""):
            raise ValueError(self.behaviour("template", ""))
        return str(self.behaviour("image", "1"))

    def worker(self, role: WorkerRole) -> int:
        if role.share in self.behaviour("fail", []):
            role.supervisor.send({"tell": "failed", "text": f"share {role.share} fails"})
            return 1
        if role.share in self.behaviour("crash", []):
            os.kill(os.getpid(), signal.SIGKILL)
        role.segment.lane(role.lane)[100] += 1
        return _Serving(role, self.behaviour).serve()

    def control(self, role: ControlRole) -> int:
        say(
            who="control",
            pid=os.getpid(),
            got="start",
            crew=sorted(entry.lane for entry in role.crew),
            image=role.template,
        )
        asked, supervisor = [*role.sockets.values()], role.supervisor
        poll = select.poll()
        for one in (*asked, supervisor):
            poll.register(one, select.POLLIN)
        while True:
            for fd, _event in poll.poll():
                if fd == supervisor.fileno():
                    if not _heard(supervisor) and not self.behaviour("hang", False):
                        return 0
                else:
                    _pass_on(next(one for one in asked if one.fileno() == fd), supervisor)


def _pass_on(listening: socket.socket, supervisor: Channel) -> None:
    """{"ask": …}: sent to the supervisor, its answer given back with the addresses of the descriptors."""
    connection, _address = listening.accept()
    with connection:
        body = json.loads(connection.recv(100_000) or b"{}")
        supervisor.send(body)
        if "id" in body:
            select.select([supervisor], [], [])
            message = supervisor.receive()[0]
            fds = [socket.socket(fileno=fd) for fd in message.fds]
            addresses = [one.getsockname() for one in fds]
            for one in fds:
                one.close()
            connection.sendall(json.dumps([message.body, addresses]).encode())


def _heard(channel: Channel) -> bool:
    """Tells the test what the control process was told; whether it goes on."""
    try:
        messages = channel.receive()
    except ChannelClosed:
        say(who="control", pid=os.getpid(), got="end")
        return False
    for message in messages:
        say(who="control", pid=os.getpid(), got=message.body["tell"], body=message.body)
        if message.body["tell"] == "quit":
            return False
    return True


class _Serving:
    """One worker."""

    def __init__(self, role: WorkerRole, behaviour: Callable[[str, Any], Any]) -> None:
        self._role = role
        self._behaviour = behaviour
        self._own = [one for opened in role.sockets.values() for one in opened]
        self._adopted: dict[int, list[socket.socket]] = {}
        self._draining = False

    def serve(self) -> int:
        role = self._role
        role.supervisor.send({"tell": "ready", "generation": role.generation})
        while True:
            sockets = [*self._own, *(one for some in self._adopted.values() for one in some)]
            for ready in select.select([role.supervisor, *sockets], [], [])[0]:
                if ready is not role.supervisor and ready.fileno() >= 0:  # it may have let go of it just now
                    self._accept(ready)
                elif ready is role.supervisor and not self._told():
                    return 4
            if not self._draining:
                continue
            for one in sockets:
                while self._accept(one):
                    pass
                one.close()
            self._own, self._adopted = [], {}
            if not self._behaviour("hang", False):
                with contextlib.suppress(ChannelClosed):
                    role.supervisor.send({"tell": "drained", "clean": True})
                return 0

    def _told(self) -> bool:
        try:
            messages = self._role.supervisor.receive()
        except ChannelClosed:
            say(who="worker", pid=os.getpid(), got="end")
            self._draining = True
            return True
        for message in messages:
            body = message.body
            say(who="worker", pid=os.getpid(), share=self._role.share, got=body["tell"], body=body)
            match body["tell"]:
                case "quit":
                    self._role.supervisor.send({"tell": "drained", "clean": False})
                    return False
                case "drain":
                    self._draining = True
                case "adopt":
                    self._adopted[body["of"]] = [socket.socket(fileno=fd) for fd in message.fds]
                case "unadopt":
                    for one in self._adopted.pop(body["of"]):
                        one.close()
        return True

    def _accept(self, listening: socket.socket) -> bool:
        try:
            connection, _address = listening.accept()
        except BlockingIOError:
            return False
        role = self._role
        with connection:
            connection.settimeout(10)
            asked = connection.recv(10_000)
            if b"/descriptors" in asked:
                answer: Any = _descriptors()
            else:
                answer = {"pid": os.getpid(), "share": role.share, "lane": role.lane, "generation": role.generation,
                          "image": role.template, "parent": os.getppid()}  # fmt: skip
            body = json.dumps(answer).encode()
            connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        return True


def _descriptors() -> list[str]:
    """What is open in this process: addresses of listening sockets, kinds of everything else."""
    found = []
    for path in Path("/proc/self/fd").iterdir():
        try:
            found.append(str(path.readlink()).partition(":")[0])
        except OSError:
            continue
    return sorted(found)


def say(**what: Any) -> None:
    os.write(1, json.dumps(what).encode() + b"\n")


def main(folder: Path) -> int:
    tiny = Tiny(folder)
    loaded = load(folder / "config.yaml")
    workers = loaded.config.workers
    options = Options(
        1 if workers == "auto" else workers, None, lambda: say(who="supervisor", got="started", pid=os.getpid())
    )
    try:
        return run(loaded, Roles(tiny.worker, tiny.control, tiny.template), options)
    except OSError as error:
        print(f"cannot listen: {error.filename}: {error.strerror}", file=sys.stderr)
        return 3


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
