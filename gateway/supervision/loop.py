"""The supervisor's loop: signals, messages and deaths go to the parts that know what to do.

Made by gateway/supervisor.py once the sockets are open and signals are heeded; it forks, and returns the exit code when
the last child is gone. The rule: it waits in one place, for everything at once, and for nobody in particular.
"""

from __future__ import annotations

import contextlib
import os
import select
import time
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path
from signal import SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2
from typing import Any, NamedTuple

import structlog

from gateway import logs
from gateway.config.parcel import unpack
from gateway.deadlines import NEVER
from gateway.state.channel import Channel, ChannelClosed
from gateway.state.segment import Word
from gateway.supervision import upgrade
from gateway.supervision.child import Child
from gateway.supervision.crew import Crew, Surroundings
from gateway.supervision.desk import Desk
from gateway.supervision.fork import Forks
from gateway.supervision.roles import CrewEntry
from gateway.supervision.signals import Signals
from gateway.supervision.stopping import CANNOT_START, CLEAN, DRAIN_CUT_SHORT, Stage, Stopping, Times
from gateway.supervision.succession import Succession
from gateway.supervision.systemd import Notifier
from gateway.supervision.tally import Tally
from gateway.supervision.template import Forked, Template


def _nothing() -> None:
    pass


class Options(NamedTuple):
    """What the command line says beside the configuration.

    state_dir  the folder that is locked for this gateway, None for none
    started    called once all workers serve
    """

    workers: int
    state_dir: Path | None = None
    started: Callable[[], None] = _nothing


class Supervisor:
    """One image of the supervisor; `before` is what the image before it left."""

    def __init__(
        self, template: Template, options: Options, signals: Signals, before: upgrade.Handover | None = None
    ) -> None:
        now = time.monotonic()
        self._template = template
        self._options = options
        self._signals = signals
        self._log = structlog.get_logger("gateway")
        self._notifier = Notifier(os.environ)
        self._alive_at = now if self._notifier.interval is not None else NEVER
        self._forks = Forks(signals, lambda: [*template.sockets, *template.admin])
        around = Surroundings(self._forks, template.sockets, template.worker, self._joined, self._left)
        self._crew = Crew(options.workers, around, now)
        self._desk = Desk(self._forks, self._control, now)
        self._stopping = Stopping()
        self._succession = Succession(template, self._crew, self._desk)
        self._started = False
        self._code = CLEAN
        self._tally = Tally(template.segment)
        if before is not None:
            self._succession.take_over(before, self._forks, now)

    def run(self) -> int:
        """Until the last child is gone; the exit code."""
        for warning in self._template.loaded.warnings:
            self._log.warning(str(warning))
        while True:
            now = time.monotonic()
            for number in self._signals.take():
                self._signalled(number, now)
            self._reap(now)
            self._keep_up(now)
            if self._stopping.stage is Stage.CLOSING and self._desk.child is None:
                return self._code or (DRAIN_CUT_SHORT if self._crew.cut else CLEAN)
            self._wait(self._due() - time.monotonic())

    # -- the loop -----------------------------------------------------------------------------------------------------

    def _due(self) -> float:
        parts = (self._crew, self._desk, self._stopping, self._succession)
        return min(self._alive_at, *(part.due() for part in parts))

    def _wait(self, seconds: float) -> None:
        """Until a signal or a message comes, or the time is over; deals with the messages."""
        poll = select.poll()
        poll.register(self._signals, select.POLLIN)
        speakers: dict[int, Child] = {}
        for child in self._children():
            if child.channel is not None:
                writing = select.POLLOUT if child.channel.wants_write else 0
                poll.register(child.channel, select.POLLIN | writing)
                speakers[child.channel.fileno()] = child
        # Rounded up: waking a moment too early would be waking twice.
        milliseconds = None if seconds == NEVER else max(0, int(seconds * 1000) + 1)
        for fd, event in poll.poll(milliseconds):
            if fd in speakers:
                self._hear(speakers[fd], time.monotonic(), flush=bool(event & select.POLLOUT))

    def _children(self) -> list[Child]:
        control = self._desk.child
        return [*self._crew.children.values(), *([control] if control is not None else [])]

    def _hear(self, child: Child, now: float, *, flush: bool = False) -> None:
        """Reads what a child says."""
        if child.channel is None:
            return
        if flush:
            with contextlib.suppress(ChannelClosed):  # then there may be something to read all the same
                child.channel.flush()
        try:
            messages = child.channel.receive()
        except ChannelClosed:
            self._forks.close(child.channel)
            child.channel = None
            return
        for message in messages:
            try:
                if child is self._desk.child:
                    self._control_says(message.body, now)
                else:
                    self._crew.told(child, message.body, now)
            except (KeyError, TypeError, ValueError) as error:
                said = message.body.get("ask") or message.body.get("tell")  # the rest may be full of secrets
                self._log.error("a message was not understood", pid=child.pid, message=said, exc_info=error)
            finally:
                for fd in message.fds:
                    os.close(fd)

    def _reap(self, now: float) -> None:
        """Takes in every death: our children's, and as process 1 those of orphans that nobody else waits for."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            child = next((child for child in self._children() if child.pid == pid), None)
            if child is None:
                if self._succession.rehearsed(pid, status) and self._stopping.stage is Stage.SERVING:
                    self._hand_over()
                continue
            self._hear(child, now)  # its last words
            if child is self._desk.child:
                self._tally.died("control", child.lane, expected=child.draining)
                self._desk.died(status, now)
            else:
                self._crew.died(child, status, now)

    def _keep_up(self, now: float) -> None:
        """Does what is due, and what a change of one part means for the others."""
        if now >= self._alive_at and self._notifier.interval is not None:
            self._notifier.alive()
            self._alive_at = now + self._notifier.interval
        decided = self._succession.keep_up(now)
        self._crew.keep_up(now)
        self._tally.serving(len(self._crew.serving))
        if decided is False:
            self._started = True  # as before
            self._tell_ready()
        elif not self._succession.is_open and self._crew.has_settled:
            self._begin_to_serve()
        if self._crew.hopeless and not self._crew.ever_ready and self._code == CLEAN:
            self._log.error("the workers cannot start", reason=self._crew.hopeless)
            self._code = CANNOT_START
            self._stopping.give_up()
            self._cut(now)
        if self._stopping.advance(now, workers=bool(self._crew.children)):
            self._advance(now)
        self._desk.keep_up(now)

    # -- the control process ------------------------------------------------------------------------------------------

    def _control(self, end: Channel) -> Forked:
        return self._template.control(
            end, [_entry(child) for child in self._crew.children.values() if self._is_known(child)]
        )

    def _is_known(self, child: Child) -> bool:
        """To the control process: while an upgrade settles the old workers are, otherwise the new ones."""
        return not child.draining and child.predecessor == self._succession.is_open

    def _joined(self, child: Child) -> None:
        if self._is_known(child):
            body = {"tell": "worker", "lane": child.lane, "share": child.share, "pid": child.pid}
            self._desk.tell(body, [child.pair[0].fileno()])

    def _left(self, child: Child) -> None:
        expected = child.draining or self._stopping.stage not in {Stage.SERVING, Stage.NOTICE}
        self._tally.died("worker", child.lane, expected=expected)
        self._desk.tell({"tell": "gone", "lane": child.lane, "pid": child.pid})

    def _control_says(self, body: dict[str, Any], now: float) -> None:
        match body.get("ask") or body.get("tell"):
            case "sockets" if self._succession.is_open:
                answer = {"ok": False, "errors": [[name, "an upgrade is under way"] for name, _ in body["binds"]]}
                self._desk.tell({"re": body["id"], **answer})
            case "sockets":
                answer, fds = self._template.answer_sockets(body["binds"])
                self._desk.tell({"re": body["id"], **answer}, fds)
            case "commit" if not self._succession.is_open:
                self._commit(body)
            case "keep" if not self._succession.is_open:
                self._template.sockets.keep(body["binds"])
            case "renew":
                self._template.renew()
            case "hung":
                self._kill(body["pid"])
            case "reloaded":
                self._desk.wants_reload = False
                self._tell_ready()
            case "upgrade":
                reason = self._upgrade(now)
                self._desk.tell({"re": body["id"], "ok": not reason, "text": reason})
            case "stop":
                self._stop(now, quick=False)
                self._desk.tell({"re": body["id"], "ok": True})

    def _kill(self, pid: int) -> None:
        """A worker that lives and does not answer: its share of the clients would wait for ever."""
        child = self._crew.children.get(pid)
        if child is not None and not child.draining:
            self._log.error("a worker hangs and is killed", share=child.share, pid=pid)
            child.kill()

    def _commit(self, body: dict[str, Any]) -> None:
        """All workers serve another configuration, or are about to."""
        try:
            loaded = unpack(b64decode(body["parcel"]))
            logs.set_up(loaded.config.log.level, loaded.config.log.format)
            self._template.load(loaded, body["generation"])
        except Exception as error:  # noqa: BLE001 - the workers serve it; the next one will be brought up to it
            self._log.error("the next worker begins with the configuration before this one", exc_info=error)
        self._template.sockets.keep(body["binds"])
        self._crew.sockets_changed()
        self._tell_ready()

    # -- signals ------------------------------------------------------------------------------------------------------

    def _signalled(self, number: int, now: float) -> None:
        if number in {SIGTERM, SIGQUIT}:
            self._stop(now, quick=False)
        elif number == SIGINT:
            self._stop(now, quick=True)
        elif number == SIGHUP:
            self._notifier.reloading("reloading")
            self._desk.reload()
        elif number == SIGUSR1:
            for child in self._children():
                child.tell({"tell": "reopen"})
        elif number == SIGUSR2:
            reason = self._upgrade(now)
            if reason:
                self._log.error("no upgrade", reason=reason)

    def _begin_to_serve(self) -> None:
        """All that can start have."""
        if not self._started and self._stopping.stage is Stage.SERVING:
            self._started = True
            self._options.started()
            self._tell_ready()

    def _tell_ready(self) -> None:
        """As long as it does not stop."""
        if self._started and self._stopping.stage is Stage.SERVING:
            serving = len(self._crew.serving)
            self._notifier.ready(f"serving with {serving} workers, configuration {self._template.generation}")

    # -- the end ------------------------------------------------------------------------------------------------------

    def _stop(self, now: float, *, quick: bool) -> None:
        times = Times.of(self._template.loaded.config.shutdown, quick=quick)
        if not self._stopping.ask(times, now):
            return
        if self._stopping.stage is Stage.CUTTING:
            self._log.warning("told to stop once more: connections are cut")
            self._crew.cut = True
            self._cut(now)
            return
        self._template.segment.write(Word.DRAINING, 1)
        self._desk.tell({"tell": "drain"})
        self._notifier.stopping("draining")
        self._succession.stop()
        if times.notice:
            self._log.info("stopping: unready, and serving on for a moment", seconds=times.notice)

    def _advance(self, now: float) -> None:
        """The stop has come to another stage."""
        if self._stopping.stage is Stage.DRAINING:
            times = self._stopping.times
            self._crew.is_stopping = True
            self._crew.drain(self._crew.children.values(), times.drain, times.streams, now)
            self._template.sockets.close()
        elif self._stopping.stage is Stage.CLOSING:
            self._desk.is_closed = True
            self._desk.relieve(now)

    def _cut(self, now: float) -> None:
        self._crew.is_stopping = True
        self._crew.quit(now)
        self._template.sockets.close()

    # -- an upgrade ---------------------------------------------------------------------------------------------------

    def _upgrade(self, now: float) -> str:
        """Begins one; why not, if it does not."""
        if self._stopping.stage is not Stage.SERVING or not self._started:
            return "the gateway is starting or stopping"
        return self._succession.begin(now)

    def _hand_over(self) -> None:
        """The rehearsal went well. What is left in this image's memory would be lost, so it is dealt with first."""
        with self._signals.held_back():
            for child in self._children():
                self._hear(child, time.monotonic(), flush=True)
            for number in self._signals.take():
                self._signalled(number, time.monotonic())
            if self._stopping.stage is Stage.SERVING:
                self._notifier.status("upgrading")
                self._succession.hand_over()


def _entry(child: Child) -> CrewEntry:
    return CrewEntry(child.lane, child.share, child.pid, child.pair[0])
