"""EagerTask: runs one coroutine in the caller's turn, without the event loop's scheduling.

`proxy.forward` is one straight coroutine per request. An asyncio Task would start it one loop turn later and wake it
through two more (2-3 us a request, measured in docs/decisions/0003); this one starts at once and resumes inside the
callback that brings the awaited result. A coroutine run here may await `Wait` objects and asyncio futures or tasks,
and nothing that asks for the current task (no asyncio.timeout, no TaskGroup): deadlines come from the sweep.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from typing import Any


class Wait:
    """One result to come: `wake(value)` or `fail(error)` resumes whoever awaits it, in the caller's stack.

    At most one awaiter, at most one result; a result that comes first is kept for the await.
    """

    __slots__ = ("_done", "_error", "_resume", "_value")

    def __init__(self) -> None:
        self._done = False
        self._value: Any = None
        self._error: BaseException | None = None
        self._resume: Callable[[], None] | None = None

    def __await__(self) -> Generator[Wait, None, Any]:
        if not self._done:
            yield self
        if self._error is not None:
            raise self._error
        return self._value

    @property
    def done(self) -> bool:
        return self._done

    def call(self, callback: Callable[[], None]) -> None:
        """Without a coroutine: `callback` runs when the result is there, at once if it is; it asks for `result()`."""
        if self._done:
            callback()
        else:
            self._resume = callback

    def abandon(self) -> None:
        """Nobody waits any more: a late result goes nowhere."""
        self._resume = None

    def result(self) -> Any:
        """What `wake` brought, or raises what `fail` did."""
        if self._error is not None:
            raise self._error
        return self._value

    def wake(self, value: object = None) -> None:
        if not self._done:
            self._done = True
            self._value = value
            resume = self._resume
            if resume is not None:
                self._resume = None  # it knows whoever holds this Wait: no cycle may be left behind
                resume()

    def fail(self, error: BaseException) -> None:
        if not self._done:
            self._error = error
            self.wake()


class EagerTask:
    """A started coroutine. `done` is true once it returned; an exception that leaves it goes to `on_crash`."""

    __slots__ = ("_awaited", "_coroutine", "_on_crash", "_running", "_thrown", "done")

    def __init__(self, coroutine: Coroutine[Any, Any, None], on_crash: Callable[[BaseException], None]) -> None:
        self._coroutine = coroutine
        self._on_crash = on_crash
        self._awaited: Any = None
        self._running = False
        self._thrown: BaseException | None = None
        self.done = False
        self._step()

    def cancel(self, error: BaseException) -> None:
        """Raise `error` at the point where the coroutine waits; at its next wait if it is running now."""
        if self.done:
            return
        self._thrown = error
        awaited = self._awaited
        if self._running or awaited is None:
            return
        self._awaited = None
        if isinstance(awaited, Wait):
            awaited._resume = None
        else:
            awaited.remove_done_callback(self._future_done)
            awaited.cancel()
        self._step()

    def _advance(self) -> Any:
        """Runs the coroutine to its next await and returns what it awaits."""
        error, self._thrown = self._thrown, None
        return self._coroutine.send(None) if error is None else self._coroutine.throw(error)

    def _subscribe(self, awaited: Any) -> bool:
        """Arranges to be resumed by `awaited`; False if there is an error to throw in first."""
        if self._thrown is not None:  # cancelled by what it called
            return False
        if isinstance(awaited, Wait):
            awaited._resume = self._step
        elif getattr(awaited, "_asyncio_future_blocking", None):
            awaited._asyncio_future_blocking = False
            awaited.add_done_callback(self._future_done)
        else:
            self._thrown = RuntimeError(f"cannot await {awaited!r} in an EagerTask")
            return False
        self._awaited = awaited
        return True

    def _future_done(self, _future: object) -> None:
        self._step()

    def _step(self) -> None:
        self._running = True
        self._awaited = None
        try:
            while not self._subscribe(self._advance()):
                pass
        except StopIteration:
            self.done = True
        except BaseException as error:
            self.done = True
            self._on_crash(error)
            if not isinstance(error, Exception):
                raise
        finally:
            self._running = False
