"""What the package offers to the rest of the house."""

from __future__ import annotations

import subprocess
import sys

from gateway import config


def test_everything_offered_is_there() -> None:
    """Names of `__all__`, and the schema as a function."""
    assert all(hasattr(config, name) for name in config.__all__)
    assert config.schema("rules")["$id"].endswith(":rules")


def test_loading_costs_no_more_than_it_must() -> None:
    """Neither the schema's nor the reference page's machinery is imported on the way to the first answer."""
    code = (
        "import sys, gateway.config; print(*sorted(name for name in sys.modules if name.startswith('gateway.config')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"gateway.config.json_schema", "gateway.config.reference"} & set(done.stdout.split())
