"""Timeouts: the shape in which a route's upstream timeouts reach this floor.

The routing table's settings have it; the wires know no routes. All are seconds.
"""

from __future__ import annotations

from typing import Protocol


class Timeouts(Protocol):
    """connect: until a new connection stands; head: until the response begins; read: between two reads, or writes."""

    @property
    def connect(self) -> float: ...
    @property
    def head(self) -> float: ...
    @property
    def read(self) -> float: ...
