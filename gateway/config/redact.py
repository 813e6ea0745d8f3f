"""`redacted`: a configuration as it may be shown: JSON values, without any secret.

For the admin API and for logs, after loading.
The rule: what came from a reference is never shown, nor what stands under a key named like a secret, nor a password
inside a URL; hiding too much is a nuisance, showing too much is an incident.
"""

from __future__ import annotations

import re
from typing import Any

from gateway.config.model import SiteConfig
from gateway.config.references import HIDDEN, is_secret_name

__all__ = ["redacted"]

SHORTEST = 4  # letters of a secret that is also looked for inside other values: shorter ones would be found everywhere

_USER = re.compile(r"(://)[^/@\s]+@")


def redacted(config: SiteConfig) -> dict[str, Any]:
    """Every key with its value in force, defaults included; durations in seconds, sizes in bytes, secrets `***`."""
    shown = config.model_dump(mode="json", by_alias=True, fallback=str, warnings=False)
    secrets = [secret.value for secret in config.references.secrets if len(secret.value) >= SHORTEST]
    hidden = {key: _hidden(value, key, secrets) for key, value in shown.items()}
    for path in config.references.paths:
        _hide(hidden, path)
    return hidden


def _hidden(value: Any, name: str, secrets: list[str]) -> Any:
    if isinstance(value, dict):
        return {key: _hidden(child, str(key), secrets) for key, child in value.items()}
    if isinstance(value, list):
        return [_hidden(child, name, secrets) for child in value]
    if isinstance(value, str):
        if value and (is_secret_name(name) or any(secret in value for secret in secrets)):
            return HIDDEN
        return _USER.sub(rf"\1{HIDDEN}@", value)
    if is_secret_name(name) and value is not None and not isinstance(value, bool):
        return HIDDEN
    return value


def _hide(shown: Any, path: tuple[str | int, ...]) -> None:
    """Hides the value at a path; where validation gave it another shape, the nearest value above it."""
    for at, step in enumerate(path):
        inside = (isinstance(shown, dict) and step in shown) or (
            isinstance(shown, list) and isinstance(step, int) and step < len(shown)
        )
        if not inside:
            return
        if at == len(path) - 1 or not isinstance(shown[step], (dict, list)):
            shown[step] = HIDDEN
            return
        shown = shown[step]
