"""The metrics about the gateway as a whole: build, configuration, certificates.

Registered when the admin listener starts and read when it is scraped. The rule: times are given as times (seconds since
the epoch), so that a scrape that comes late is still right.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable

from gateway.admin.state import AdminState


def register_vitals(state: AdminState) -> None:
    """Registers them; a second time replaces the first."""
    metrics = state.metrics
    metrics.gauge_function(
        "gateway_build_info",
        "Always 1; the labels say what runs.",
        lambda: 1.0,
        version=state.version,
        python=platform.python_version(),
    )
    metrics.gauge_function("gateway_ready", "1 while traffic should be sent here.", lambda: float(state.ready()[0]))
    metrics.gauge_function(
        "gateway_config_generation",
        "Number of the configuration in force; grows with every successful reload.",
        lambda: float(state.generation()),
    )
    metrics.gauge_function(
        "gateway_config_last_reload_success",
        "1 if the last attempt to load the configuration succeeded, else 0.",
        lambda: float(state.last_reload().ok),
    )
    metrics.gauge_function(
        "gateway_config_last_reload_timestamp_seconds",
        "When the configuration was last loaded, or the attempt failed.",
        lambda: state.last_reload().at,
    )

    def expiries() -> Iterable[tuple[tuple[str, ...], float]]:
        ends: dict[tuple[str, ...], float] = {}
        for entry in state.certificates():  # comes once for each listener, and a scraper refuses series that come twice
            labels = (entry.names[0] if entry.names else "", str(entry.path), entry.kind)
            end = entry.not_after.timestamp()
            ends[labels] = min(ends.get(labels, end), end)
        return ends.items()

    metrics.gauge_series(
        "gateway_certificate_expiry_timestamp_seconds",
        "When a served certificate ends; `name` is its first name.",
        ("name", "path", "kind"),
        expiries,
    )
    metrics.gauge_function(
        "gateway_certificate_problems",
        "Certificate files that could not be read or served when they were last looked at; the log names them.",
        lambda: float(len(set(state.certificate_problems()))),
    )
