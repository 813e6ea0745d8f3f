"""YAML with positions → a validated SiteConfig; every mistake at once, as file:line:column and what to write.

The first thing that happens in a gateway's life and in every reload, long before the first request.
The rule: nothing outside this package reads a configuration file, and no secret leaves it in a message.
"""

from __future__ import annotations

from typing import Any

from gateway.config.loading import Loaded, load, quick
from gateway.config.model import SiteConfig
from gateway.config.problems import ConfigError, Place, Problem
from gateway.config.redact import redacted

__all__ = ["ConfigError", "Loaded", "Place", "Problem", "SiteConfig", "load", "quick", "redacted", "schema"]


def schema(of: str = "config") -> dict[str, Any]:
    """JSON Schema of `config` (config.yaml) or `rules` (a file in the rules folder)."""
    from gateway.config import json_schema  # noqa: PLC0415  # for `gateway schema` alone: kept off the way to serving

    return json_schema.schema(of)
