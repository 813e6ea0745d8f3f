"""The two questions of an orchestrator: is the gateway alive, and should traffic be sent to it?

Answered on the admin and the probe listener. The rule: "alive" says only that the event loop runs, so that nobody
restarts a gateway because its upstream is down; "ready" says why when the answer is no.
"""

from __future__ import annotations

from typing import Any

from gateway.admin.state import AdminState


def liveness() -> tuple[int, dict[str, Any]]:
    """Status and body of /healthz: whoever can answer is alive."""
    return 200, {"status": "alive"}


def readiness(state: AdminState) -> tuple[int, dict[str, Any]]:
    """Status and body of /readyz: 503 with the reasons while draining or not serving yet."""
    ready, reasons = state.ready()
    if ready:
        return 200, {"status": "ready"}
    return 503, {"status": "not ready", "reasons": list(reasons)}
