"""Reload: a changed configuration becomes what every worker serves, or none of them does.

Runs in the control process. Two phases: the configuration is read, checked and built once here, every worker builds it
too and says so, and only then does the first of them serve it. The rule: a faulty configuration changes nothing and is
loud; a reload that cannot reach a worker in time is given up everywhere.
"""

from __future__ import annotations

import asyncio
import os
import time
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import structlog

from gateway.admin.state import Reload
from gateway.changeover import build_generation
from gateway.config import ConfigError, Loaded
from gateway.config.parcel import pack
from gateway.log_writer import LogRehearsal
from gateway.site import Services
from gateway.state.channel import MOST_FDS, ChannelClosed
from gateway.state.peer import Peer

if TYPE_CHECKING:
    from gateway.server.certificates import CertificateStore

PREPARE_SECONDS = 60.0  # for a worker to build a site: against one that hangs, and would hold up every later reload
COMMIT_SECONDS = 10.0
HELD_SECONDS = 1.0  # for workers to let go of an address that a reload which failed had opened
EMPTIED = "there is no route in it, and there are some in force; to serve nothing, stop the gateway"
UNCHANGED = "nothing has changed"
# Keys that a running process cannot change: sockets of the control process, the number of processes, their memory.
NEEDS_UPGRADE = ("admin", "workers", "state_dir")


class Crew(NamedTuple):
    """A worker as the control process knows it."""

    peer: Peer
    share: int
    pid: int


class Reloader:
    """One per control process. `loaded` and `generation` are in force; `last` is how the last attempt ended."""

    def __init__(
        self,
        first: tuple[Loaded, int],
        read: Callable[[], Loaded],
        supervisor: Peer,
        crew: Callable[[], Iterable[Crew]],
        committed: Callable[[Loaded, dict[str, CertificateStore]], None],
    ) -> None:
        self.loaded, self.generation = first
        self.last = Reload(time.time(), ok=True)
        self._read = read
        self._supervisor = supervisor
        self._crew = crew
        self._committed = committed
        self._lock = asyncio.Lock()
        self._asked = self._begun = 0  # reloads, and how many of those the last one to begin has answered
        self._log = structlog.get_logger("gateway.reload")

    async def reload(self, why: str) -> Reload:
        """Reads the configuration again and serves it. Never raises; one at a time, each reads afresh. Who asks while
        one waits for its turn is answered by that one: a thousand signals in a row are two reloads."""
        self._asked += 1
        turn = self._asked
        async with self._lock:
            if self._begun >= turn:
                return self.last
            self._begun = self._asked
            return await self._attempt(why)

    async def _attempt(self, why: str) -> Reload:
        began = time.monotonic()
        try:
            text = await self._reload()
        except ConfigError as error:
            outcome = self._ended(ok=False, text=str(error))
        except (ReloadError, OSError, ChannelClosed, TimeoutError) as error:
            outcome = self._ended(ok=False, text=str(error) or type(error).__name__)
        except Exception as error:  # noqa: BLE001 - whoever waits for the outcome must get one
            self._log.error("a bug in the gateway", exc_info=error)
            outcome = self._ended(ok=False, text=f"a bug in the gateway: {error!r}")
        else:
            outcome = self._ended(ok=True, text=text)
        seconds = round(time.monotonic() - began, 3)
        if outcome.ok:
            self._log.info(
                "configuration in force",
                generation=self.generation,
                why=why,
                seconds=seconds,
                note=outcome.text or None,
            )
        else:
            self._log.error(
                "configuration refused: what was served before is served still", why=why, errors=outcome.text
            )
        return outcome

    def _ended(self, *, ok: bool, text: str) -> Reload:
        self.last = Reload(time.time(), ok, text)
        return self.last

    async def _reload(self) -> str:
        loop = asyncio.get_running_loop()
        before = self.loaded
        loaded = await loop.run_in_executor(None, self._read)
        if not self._differs(loaded):
            return UNCHANGED
        if before.config.routes and not loaded.config.routes:
            # A file that was truncated, or is being written: served as it is, it would take everything down.
            raise ConfigError([loaded.problem((), EMPTIED)])
        stores = await loop.run_in_executor(None, _checked, loaded)
        number = self.generation + 1
        await self._two_phases(loaded, number, await loop.run_in_executor(None, _parcel, loaded))
        self.loaded, self.generation = loaded, number
        self._committed(loaded, stores)
        later = [key for key in NEEDS_UPGRADE if getattr(loaded.config, key) != getattr(before.config, key)]
        return f"{', '.join(later)}: the change takes effect with the next upgrade or restart" if later else ""

    def _differs(self, loaded: Loaded) -> bool:
        return loaded.config != self.loaded.config or loaded.folder != self.loaded.folder

    async def resume(self) -> None:
        """For a control process that begins: the one before it may have died over a reload, or over a change of the
        files that nobody else has seen. What it had begun is taken back, what is in the files is served."""
        self._take_back(self._crew())
        try:
            differs = self._differs(await asyncio.get_running_loop().run_in_executor(None, self._read))
        except ConfigError:
            differs = True
        if differs:
            await self.reload("the files differ from what is served")

    async def _two_phases(self, loaded: Loaded, number: int, parcel: str) -> None:
        binds = [(str(one.bind), one.backlog) for one in loaded.config.listeners]
        known = {str(one.bind) for one in self.loaded.config.listeners}
        fresh = [(name, backlog) for name, backlog in binds if name not in known]
        crew = list(self._crew())
        opened = await self._sockets(fresh)
        try:
            await self._prepare(crew, number, parcel, opened)
        except BaseException:
            self._take_back(crew)
            raise
        finally:
            _close(opened)
        # From here on it is in force: a worker that dies is followed by one that begins with it.
        served = [name for name, _backlog in binds]
        self._supervisor.tell({"tell": "commit", "generation": number, "binds": served, "parcel": parcel})
        await self._commit(crew, number)

    async def _sockets(self, wanted: Sequence[tuple[str, int]]) -> dict[str, list[int]]:
        """Listening sockets of these addresses, by share; the supervisor opens and keeps them. Raises ReloadError."""
        if len(wanted) > MOST_FDS:
            raise ReloadError(f"{len(wanted)} new listeners at once: at most {MOST_FDS}, the others with a next reload")
        opened: dict[str, list[int]] = {}
        errors: list[str] = []
        end = time.monotonic() + HELD_SECONDS
        try:
            for name, backlog in wanted:  # one at a time: a message holds so many descriptors and no more
                question = {"ask": "sockets", "binds": [[name, backlog]]}
                answer, opened[name] = await self._supervisor.ask(question, seconds=COMMIT_SECONDS)
                while not answer["ok"] and time.monotonic() < end:
                    await asyncio.sleep(HELD_SECONDS / 20)
                    answer, opened[name] = await self._supervisor.ask(question, seconds=COMMIT_SECONDS)
                if not answer["ok"]:
                    errors += [f"{bind}: {text}" for bind, text in answer["errors"]]
            if errors:
                raise ReloadError("\n".join(errors))
        except BaseException:
            _close(opened)
            self._keep_sockets()
            raise
        return opened

    def _take_back(self, crew: Iterable[Crew]) -> None:
        """Nothing that was prepared will come into force."""
        for one in crew:
            _say(one.peer, {"tell": "abort"})
        self._keep_sockets()

    def _keep_sockets(self) -> None:
        """The supervisor closes those that were opened for a configuration that did not come into force."""
        _say(self._supervisor, {"tell": "keep", "binds": sorted(str(one.bind) for one in self.loaded.config.listeners)})

    async def _prepare(self, crew: Sequence[Crew], number: int, parcel: str, opened: Mapping[str, list[int]]) -> None:
        async def ask(one: Crew) -> list[str]:
            body = {"ask": "prepare", "generation": number, "binds": list(opened), "parcel": parcel}
            fds = [shares[one.share % len(shares)] for shares in opened.values()]
            try:
                answer = (await one.peer.ask(body, fds, PREPARE_SECONDS)).body
            except ChannelClosed:
                return []  # it died; whoever follows it is told by the supervisor
            except TimeoutError:
                return [f"worker {one.pid} was not ready within {PREPARE_SECONDS:g}s"]
            return [] if answer["ok"] else answer["problems"]

        problems = [problem for found in await asyncio.gather(*map(ask, crew)) for problem in found]
        if problems:
            raise ReloadError("\n".join(dict.fromkeys(problems)))

    async def _commit(self, crew: Sequence[Crew], number: int) -> None:
        """A worker that fails here is caught up with later: it is in force for all others."""

        async def ask(one: Crew) -> None:
            try:
                answer = await one.peer.ask({"ask": "commit", "generation": number}, seconds=COMMIT_SECONDS)
            except ChannelClosed:
                return  # it died, and its successor begins with what is in force
            except TimeoutError:
                reason = "no answer"
            else:
                if answer.body.get("ok", True):
                    return
                reason = answer.body["text"]
            self._log.error("a worker did not take up the configuration", pid=one.pid, generation=number, reason=reason)

        await asyncio.gather(*map(ask, crew))

    async def catch_up(self, one: Crew, status: dict[str, Any]) -> dict[str, Any]:
        """Brings a worker that was forked, or left over, with another configuration to the one in force; its status, of
        which `status` is a former one. Raises ChannelClosed, TimeoutError and ReloadError."""
        async with self._lock:
            if status["generation"] != self.generation:
                status = await _status(one)  # a reload may have come in between
            if status["generation"] == self.generation:
                return status
            parcel = await asyncio.get_running_loop().run_in_executor(None, _parcel, self.loaded)
            listeners = [(str(bind.bind), bind.backlog) for bind in self.loaded.config.listeners]
            opened = await self._sockets([bind for bind in listeners if bind[0] not in status["listeners"]])
            try:
                await self._prepare([one], self.generation, parcel, opened)
            finally:
                _close(opened)
            await self._commit([one], self.generation)
            status = await _status(one)
        if status["generation"] != self.generation:
            raise ReloadError(f"it serves generation {status['generation']} still")
        return status


async def _status(one: Crew) -> dict[str, Any]:
    value: dict[str, Any] = (await one.peer.ask({"ask": "status"}, seconds=COMMIT_SECONDS)).body["value"]
    return value


class ReloadError(Exception):
    """The reload ends here; the message is for the operator."""


def _checked(loaded: Loaded) -> dict[str, CertificateStore]:
    """Builds it all once, so that mistakes are found here, with their places. Raises ConfigError."""
    return build_generation(loaded, Services(logs=LogRehearsal()), 0).stores


def _parcel(loaded: Loaded) -> str:
    return b64encode(pack(loaded)).decode()


def _say(peer: Peer, message: dict[str, Any]) -> None:
    try:
        peer.tell(message)
    except ChannelClosed:
        return


def _close(opened: Mapping[str, Iterable[int]]) -> None:
    for fds in opened.values():
        for fd in fds:
            os.close(fd)
