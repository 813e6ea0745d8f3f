"""The metrics about the gateway as a whole."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gateway.admin.state import AdminState, Reload
from gateway.admin.vitals import register_vitals
from gateway.metrics import Metrics
from gateway.server.certificates import CertificateEntry

SINCE = datetime(2026, 1, 1, tzinfo=UTC)
UNTIL = datetime(2027, 1, 1, tzinfo=UTC)


def entry(*names: str) -> CertificateEntry:
    return CertificateEntry(names, "CN=ca", SINCE, UNTIL, Path("certs/a.pem"), "ab", False, "ecdsa")


def state_of(metrics: Metrics, **more: Any) -> AdminState:
    facts: dict[str, Any] = {
        "version": "1.2.3",
        "ready": lambda: (False, ["draining"]),
        "generation": lambda: 7,
        "last_reload": lambda: Reload(1795210613.0, ok=False, text="config.yaml:1:1: no"),
        "status": dict,
        "config": dict,
        "families": list,
        "upstreams": list,
    }
    return AdminState(metrics=metrics, **(facts | more))


def test_vitals_are_read_when_scraped() -> None:
    """Generation, the failed reload and its time, readiness, and the build."""
    metrics = Metrics()
    register_vitals(state_of(metrics))
    assert metrics.value("gateway_config_generation") == 7
    assert metrics.value("gateway_config_last_reload_success") == 0
    assert metrics.value("gateway_config_last_reload_timestamp_seconds") == 1795210613
    assert metrics.value("gateway_ready") == 0
    (build,) = [family for family in metrics.families() if family.name == "gateway_build_info"]
    assert build.samples[0].value == 1
    assert dict(build.samples[0].labels)["version"] == "1.2.3"


def test_certificates_come_and_go() -> None:
    """Each served certificate has the time of its end, under its first name; reloads are seen."""
    metrics = Metrics()
    served = [entry("shop.example", "www.shop.example"), entry()]
    register_vitals(state_of(metrics, certificates=lambda: served))

    def found() -> list[tuple[str, Any]]:
        (family,) = [each for each in metrics.families() if "expiry" in each.name]
        return [(sample.labels[0][1], sample.value) for sample in family.samples]

    assert found() == [("shop.example", UNTIL.timestamp()), ("", UNTIL.timestamp())]
    served.pop()
    assert found() == [("shop.example", UNTIL.timestamp())]


def test_a_certificate_of_two_listeners_is_one_series() -> None:
    """No label set comes twice; where the listeners differ, the end that comes first counts."""
    metrics = Metrics()
    served = [entry("a.test"), entry("b.test"), entry("a.test")._replace(not_after=SINCE)]
    register_vitals(state_of(metrics, certificates=lambda: served))
    (family,) = [each for each in metrics.families() if "expiry" in each.name]
    found = [(sample.labels[0][1], sample.value) for sample in family.samples]
    assert found == [("a.test", SINCE.timestamp()), ("b.test", UNTIL.timestamp())]


def test_certificates_that_cannot_be_served_are_counted() -> None:
    """One problem of two listeners is one."""
    metrics = Metrics()
    problems = ["a.pem: no", "a.pem: no", "b.pem: no"]
    register_vitals(state_of(metrics, certificate_problems=lambda: problems))
    assert metrics.value("gateway_certificate_problems") == 2
    problems.clear()
    assert metrics.value("gateway_certificate_problems") == 0


def test_registering_again_replaces() -> None:
    """The newest state is the one that is read."""
    metrics = Metrics()
    register_vitals(state_of(metrics))
    register_vitals(state_of(metrics, generation=lambda: 8))
    assert metrics.value("gateway_config_generation") == 8
