"""The roster: which endpoints of an upstream may be asked now, and with what weight.

`choose` is asked again whenever something has changed (upstream.py); what it decides holds for every balancer. The
rule: what the operator has drained gets nothing; what checks and ejections say is believed only as long as it leaves
enough endpoints, for a wrong check must not take a whole service away.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from gateway.deadlines import NEVER
from gateway.upstream.ejection import EjectionConfig, Watch, may_eject, term
from gateway.upstream.settings import UpstreamConfig
from gateway.upstream.standing import Health, Shared

if TYPE_CHECKING:
    from gateway.upstream.upstream import Endpoint

FINE = 100  # weights are multiplied by it while some are less than whole
LEAST = 0.1  # share of its weight with which a returned endpoint begins


class Roster(NamedTuple):
    """Who may be asked, with weights; `panic`: although checks or ejections speak against some of them; until when
    this holds if nothing changes (seconds of the clock)."""

    weights: dict[Endpoint, int]
    panic: bool
    until: float


def choose(endpoints: Sequence[Endpoint], config: UpstreamConfig, now: float) -> Roster:
    """Reads all standings, and notes in each Watch whether its endpoint is ejected."""
    wanted = {endpoint: endpoint.standing.weight(endpoint.configured) for endpoint in endpoints}
    wanted = {endpoint: weight for endpoint, weight in wanted.items() if weight and not endpoint.standing.drained}
    well, until = {}, NEVER
    for endpoint, weight in wanted.items():
        out = endpoint.standing.ejected_until if config.ejection != "off" else 0.0
        if out > now:
            until = min(until, out)
        _note(endpoint.watch, out > now, config.ejection)
        if out <= now and not _is_down(endpoint, config):
            well[endpoint] = weight
    panic = len(well) < config.panic * len(wanted)
    chosen = well
    if panic:  # all but those whom this worker has itself found dead
        asked = {one: weight for one, weight in wanted.items() if one in well or not one.watch.is_gone(now)}
        chosen = asked or wanted
    if config.slow_start:
        chosen, ramp = _eased(chosen, config, now)
        until = min(until, ramp)
    return Roster(chosen, panic, until)


def _is_down(endpoint: Endpoint, config: UpstreamConfig) -> bool:
    return config.health is not None and endpoint.standing.health is Health.DOWN


def _note(watch: Watch, ejected: bool, config: EjectionConfig | str) -> None:
    """One that returns is on probation: its next failure is one too many."""
    if watch.ejected and not ejected and isinstance(config, EjectionConfig):
        watch.row = config.consecutive - 1
    watch.ejected = ejected


def _eased(weights: dict[Endpoint, int], config: UpstreamConfig, now: float) -> tuple[dict[Endpoint, int], float]:
    """Weights in which those that are new or have returned have less, and when to look again."""
    shares = {endpoint: _share(endpoint, config, now) for endpoint in weights}
    if all(share == 1 for share in shares.values()):
        return weights, NEVER
    eased = {endpoint: max(1, int(weight * shares[endpoint] * FINE)) for endpoint, weight in weights.items()}
    return eased, now + config.slow_start / 10


def _share(endpoint: Endpoint, config: UpstreamConfig, now: float) -> float:
    standing = endpoint.standing
    returned = standing.returned_at
    if config.ejection != "off" and standing.ejected_until <= now:
        returned = max(returned, standing.ejected_until)
    return min(1.0, max(LEAST, (now - returned) / config.slow_start)) if returned else 1.0


def eject(
    endpoint: Endpoint, endpoints: Sequence[Endpoint], config: UpstreamConfig, shared: Shared, now: float
) -> float:
    """Leaves `endpoint` out, if that leaves enough of the others: for so many seconds, 0.0 if not."""
    rules = config.ejection
    standing = endpoint.standing
    if len(endpoints) < 2 or not isinstance(rules, EjectionConfig):
        return 0.0
    with shared.locked():
        others = [one for one in endpoints if one is not endpoint and one.standing.weight(one.configured)]
        out = [one for one in others if one.standing.ejected_until > now]
        fit = [one for one in others if one not in out and not one.standing.drained and not _is_down(one, config)]
        if standing.ejected_until > now:
            return 0.0
        gone = endpoint.watch.is_gone(now)
        if not fit or not (gone or may_eject(rules, ejected=len(out), endpoints=len(endpoints))):
            return 0.0
        until, count = term(rules, standing.ejected_until, standing.ejections, now)
        standing.write_ejection(until, count)
        shared.changes[0] += 1
    return until - now


def pardon(endpoints: Sequence[Endpoint], shared: Shared, now: float) -> None:
    """Ends all ejections: none of the others can be reached either."""
    with shared.locked():
        for endpoint in endpoints:
            if endpoint.standing.ejected_until > now:
                endpoint.standing.write_ejection(now, endpoint.standing.ejections)
        shared.changes[0] += 1
