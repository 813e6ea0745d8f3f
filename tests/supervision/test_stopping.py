"""Stopping: stages, and what a second signal means."""

from __future__ import annotations

from gateway.config.model import ShutdownConfig
from gateway.deadlines import NEVER
from gateway.supervision.stopping import QUICK, SAME_WISH, Stage, Stopping, Times


def test_times() -> None:
    """Are the configuration's, or a second where somebody is in a hurry."""
    config = ShutdownConfig.model_validate({"pre_stop": "5s", "drain": "10s", "stream_drain": "20s"})
    assert Times.of(config, quick=False) == Times(5.0, 10.0, 20.0)
    assert Times.of(config, quick=True) == Times(0.0, QUICK, QUICK)


def test_a_stop() -> None:
    """Notice, drain, and the control process last."""
    stopping = Stopping()
    assert stopping.due() == NEVER
    assert stopping.ask(Times(5.0, 10.0, 20.0), 100.0)
    assert stopping.stage is Stage.NOTICE
    assert stopping.due() == 105.0
    assert not stopping.advance(104.9, workers=True)
    assert stopping.advance(105.0, workers=True)
    assert stopping.stage is Stage.DRAINING
    assert stopping.due() == NEVER
    assert not stopping.advance(110.0, workers=True)
    assert stopping.advance(110.0, workers=False)
    assert stopping.stage is Stage.CLOSING
    assert not stopping.advance(111.0, workers=False)


def test_asking_twice() -> None:
    """Cuts, unless it is the same wish told twice; and once it cuts, nothing more can be asked."""
    for stage, now in ((Stage.NOTICE, 100.0), (Stage.DRAINING, 106.0)):
        stopping = Stopping()
        stopping.ask(Times(5.0, 10.0, 20.0), 100.0)
        assert not stopping.ask(Times(0.0, 1.0, 1.0), 100.0 + SAME_WISH / 2)
        stopping.advance(now, workers=True)
        assert stopping.stage is stage
        assert stopping.ask(Times(0.0, 1.0, 1.0), now + SAME_WISH + 0.1)
        assert stopping.stage is Stage.CUTTING
        assert stopping.times == Times(5.0, 10.0, 20.0)
        assert not stopping.ask(Times(0.0, 1.0, 1.0), now + 5.0)
        assert stopping.advance(now + 6.0, workers=False)


def test_giving_up() -> None:
    """There is nothing to drain where nothing ever served."""
    stopping = Stopping()
    stopping.give_up()
    assert stopping.advance(0.0, workers=False)
    assert stopping.stage is Stage.CLOSING
