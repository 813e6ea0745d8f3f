"""What each write does: from the words of a path and a validated body to an action, and back to a Change.

Called by `writes.py` when it is known who asks and that the body is sound. The rule: nothing is decided here; whether
it can be done is the action's to say (ActionRefused).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.admin.actions import ActionRefused, Actions, Change, Maintenance, Mistake
from gateway.admin.bodies import LogLevelBody, MaintenanceBody, WeightBody
from gateway.admin.state import AdminState


def _actions(state: AdminState) -> Actions:
    if state.actions is None:
        raise ActionRefused(501, "this gateway can only be read")
    return state.actions


async def reload(state: AdminState, path: Mapping[str, str], body: Any) -> Change:
    before = state.generation()
    outcome = await _actions(state).reload("asked for by the admin API")
    if outcome.ok:
        return Change({"generation": before}, {"generation": state.generation(), "note": outcome.text})
    mistakes = [Mistake(line) for line in outcome.text.splitlines()]
    raise ActionRefused(422, "the configuration is refused: what was served before is served still", mistakes)


async def drain(state: AdminState, path: Mapping[str, str], body: Any) -> Change:
    return await _actions(state).drain(path["upstream"], path["endpoint"])


async def undrain(state: AdminState, path: Mapping[str, str], body: Any) -> Change:
    return await _actions(state).undrain(path["upstream"], path["endpoint"])


async def weight(state: AdminState, path: Mapping[str, str], body: WeightBody) -> Change:
    return await _actions(state).weight(path["upstream"], path["endpoint"], body.weight)


async def log_level(state: AdminState, path: Mapping[str, str], body: LogLevelBody) -> Change:
    return await _actions(state).log_level(body.level, body.seconds)


async def maintenance_on(state: AdminState, path: Mapping[str, str], body: MaintenanceBody) -> Change:
    wanted = Maintenance(body.message, body.retry_after) if body.on else None
    return await _actions(state).maintenance(wanted, path.get("route", ""))


async def maintenance_off(state: AdminState, path: Mapping[str, str], body: Any) -> Change:
    return await _actions(state).maintenance(None, path.get("route", ""))
