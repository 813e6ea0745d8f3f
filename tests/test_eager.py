"""EagerTask and Wait: a coroutine that runs in its caller's turn."""

from __future__ import annotations

import asyncio

import pytest

from gateway.eager import EagerTask, Wait


class Crashes(list):
    """Collects what leaves a task."""

    def __call__(self, error: BaseException) -> None:
        self.append(error)


def test_it_starts_at_once_and_resumes_inside_wake():
    """No event loop is needed: each step runs in the caller's stack."""
    steps: list[object] = []
    wait = Wait()

    async def work():
        steps.append("begun")
        steps.append(await wait)

    task = EagerTask(work(), Crashes())
    assert (steps, task.done) == (["begun"], False)
    wait.wake("result")
    assert (steps, task.done) == (["begun", "result"], True)


def test_a_result_that_comes_first_is_kept():
    """Waking before anyone awaits loses nothing; a second result is ignored."""
    wait = Wait()
    wait.wake(1)
    wait.wake(2)
    got: list[object] = []

    async def work():
        got.append(await wait)

    assert EagerTask(work(), Crashes()).done
    assert got == [1]


def test_a_failed_wait_raises_in_the_coroutine():
    """`fail` throws where the coroutine waits."""
    wait, got = Wait(), []

    async def work():
        try:
            await wait
        except KeyError as error:
            got.append(error)

    task = EagerTask(work(), Crashes())
    wait.fail(KeyError("x"))
    assert task.done
    assert isinstance(got[0], KeyError)


def test_cancel_raises_where_it_waits_and_unsubscribes():
    """After a cancel, a late result of the abandoned wait goes nowhere."""
    first, second, got = Wait(), Wait(), []

    async def work():
        try:
            await first
        except ValueError:
            got.append("cancelled")
        got.append(await second)

    task = EagerTask(work(), Crashes())
    task.cancel(ValueError())
    first.wake("late")
    assert got == ["cancelled"]
    second.wake("after")
    assert got == ["cancelled", "after"]
    assert task.done
    task.cancel(ValueError())  # no-op once done


def test_cancel_while_running_takes_effect_at_the_next_wait():
    """What the coroutine itself calls may cancel it."""
    got: list[object] = []
    box: list[EagerTask] = []
    gate, never = Wait(), Wait()

    async def work():
        await gate
        box[0].cancel(ValueError("now"))
        got.append("still running")
        try:
            await never
        except ValueError:
            got.append("cancelled")

    box.append(EagerTask(work(), Crashes()))
    gate.wake()
    assert got == ["still running", "cancelled"]


def test_what_leaves_the_coroutine_is_reported():
    """An exception ends the task and reaches `on_crash`, not the caller of wake."""
    crashes, wait = Crashes(), Wait()

    async def work():
        await wait
        raise RuntimeError("bug")

    task = EagerTask(work(), crashes)
    wait.wake()
    assert task.done
    assert isinstance(crashes[0], RuntimeError)


def test_it_awaits_asyncio_futures_and_cancels_them():
    """A future of the loop resumes it; cancelling the task cancels the future."""

    async def main():
        loop = asyncio.get_running_loop()
        ready, stuck, got = loop.create_future(), loop.create_future(), []

        async def work():
            got.append(await ready)
            try:
                await stuck
            except ValueError:
                got.append("cancelled")

        task = EagerTask(work(), Crashes())
        ready.set_result(5)
        await asyncio.sleep(0)  # one turn: futures call back through the loop
        task.cancel(ValueError())
        assert stuck.cancelled()
        return got, task.done

    assert asyncio.run(main()) == ([5, "cancelled"], True)


def test_awaiting_anything_else_is_an_error_in_the_coroutine():
    """asyncio.sleep(0) yields to a loop that an EagerTask does not have."""
    got: list[str] = []

    async def work():
        try:
            await asyncio.sleep(0)
        except RuntimeError as error:
            got.append(str(error))

    assert EagerTask(work(), Crashes()).done
    assert "EagerTask" in got[0]


def test_base_exceptions_are_reported_and_raised():
    """A KeyboardInterrupt is nobody's to swallow."""

    async def work():
        raise KeyboardInterrupt

    crashes = Crashes()
    with pytest.raises(KeyboardInterrupt):
        EagerTask(work(), crashes)
    assert isinstance(crashes[0], KeyboardInterrupt)
