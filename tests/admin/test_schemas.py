"""The schemas of the answers; that they fit what is answered is shown in test_pages.py and in property/test_admin.py."""

from __future__ import annotations

from gateway.admin import schemas
from tests.kit.json_schema import mistakes

CHANGED = {"before": {"drained": False}, "after": {"drained": True}}


def test_what_is_required_is_asked_for() -> None:
    """Without it an answer does not fit; with more than is known, it does."""
    assert mistakes(CHANGED, schemas.CHANGE) == []
    assert mistakes(CHANGED | {"more": 1}, schemas.CHANGE) == []
    assert mistakes({"before": {}}, schemas.CHANGE)


def test_problems() -> None:
    """A bare one, and one that lists mistakes."""
    value = {"type": "about:blank", "title": "Not Found", "status": 404}
    assert mistakes(value, schemas.PROBLEM) == []
    assert mistakes(value | {"errors": [{"detail": "no"}]}, schemas.PROBLEM) == []
    assert mistakes(value | {"errors": [{"pointer": "#"}]}, schemas.PROBLEM)
