"""What each write asks for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.admin import orders
from gateway.admin.actions import ActionRefused, Maintenance
from gateway.admin.bodies import LogLevelBody, MaintenanceBody, WeightBody
from tests.kit.admin import FakeGateway

WORDS = {"upstream": "app", "endpoint": "10.0.0.5:3000"}


async def test_endpoints() -> None:
    """Drained, given back, weighed: under the names of the path, and what was so before is told."""
    gateway = FakeGateway()
    assert await orders.drain(gateway.state, WORDS, None) == ({"drained": False}, {"drained": True})
    assert await orders.drain(gateway.state, WORDS, None) == ({"drained": True}, {"drained": True})
    assert await orders.undrain(gateway.state, WORDS, None) == ({"drained": True}, {"drained": False})
    await orders.weight(gateway.state, WORDS, WeightBody(weight=7))
    assert gateway.asked[-1] == ("weight", "app", "10.0.0.5:3000", 7)
    with pytest.raises(ActionRefused, match="no endpoint"):
        await orders.drain(gateway.state, WORDS | {"upstream": "apq"}, None)


async def test_reload_tells_generations_or_every_mistake() -> None:
    """The number before and after; 422 with one mistake a line."""
    gateway = FakeGateway()
    change = await orders.reload(gateway.state, {}, None)
    assert (change.before, change.after["generation"]) == ({"generation": 3}, 4)
    gateway.faulty = "config.yaml:1:1: no\nconfig.yaml:2:1: nor this"
    with pytest.raises(ActionRefused) as caught:
        await orders.reload(gateway.state, {}, None)
    assert caught.value.status == 422
    assert [one.detail for one in caught.value.mistakes] == gateway.faulty.splitlines()


async def test_log_level_and_maintenance() -> None:
    """Values as validated; `on: false` and DELETE are the same; a route by its name, "" for all."""
    gateway = FakeGateway()
    await orders.log_level(gateway.state, {}, LogLevelBody.model_validate({"level": "debug", "for": "1m"}))
    body = MaintenanceBody.model_validate({"message": "soon", "retry_after": "1m"})
    await orders.maintenance_on(gateway.state, {}, body)
    await orders.maintenance_on(gateway.state, {"route": "all"}, MaintenanceBody(on=False))
    await orders.maintenance_off(gateway.state, {"route": "all"}, None)
    assert gateway.asked == [
        ("log_level", "debug", 60.0),
        ("maintenance", Maintenance("soon", 60.0), ""),
        ("maintenance", None, "all"),
        ("maintenance", None, "all"),
    ]


async def test_where_nothing_can_be_done() -> None:
    """501: the process was given no actions."""
    state = replace(FakeGateway().state, actions=None)
    with pytest.raises(ActionRefused) as caught:
        await orders.drain(state, WORDS, None)
    assert caught.value.status == 501
