"""How long soaks take: SOAK_SECONDS (60) is the unit; all of them together need about eight of it, each is bounded.

SOAK_SEED repeats a run: what is drawn by lot is drawn from it, and a failure says which it was.
"""

from __future__ import annotations

import os
import random

import pytest

DEFAULT = 60.0


@pytest.fixture(scope="session")
def seconds() -> float:
    """The unit, in seconds."""
    return float(os.environ.get("SOAK_SECONDS", DEFAULT))


@pytest.fixture
def share(seconds: float) -> float:
    """Of what is counted instead of timed: 1.0 by default."""
    return seconds / DEFAULT


@pytest.fixture
def lot() -> random.Random:
    """Where chance comes from."""
    seed = int(os.environ.get("SOAK_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)
    print(f"SOAK_SEED={seed}")  # pytest shows it if the test fails
    return random.Random(seed)
