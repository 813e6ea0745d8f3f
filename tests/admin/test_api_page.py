"""docs/reference/admin.md, from the table."""

from __future__ import annotations

from gateway.admin.api_page import api_page, undocumented
from gateway.admin.table import OPERATIONS


def test_every_operation_stands_there() -> None:
    """Pages by their path, writes by method and path, bodies with their keys as they are written."""
    page = api_page()
    for operation in OPERATIONS:
        name = operation.path if operation.page is not None else f"{operation.method} {operation.path}"
        assert f"| `{name}` | {operation.summary}" in page
        for key, field in operation.body.model_fields.items() if operation.body is not None else ():
            assert f"| `{field.alias or key}` | " in page
    assert "| `for` | `10m` |" in page


def test_every_status_is_explained() -> None:
    """No refusal without its sentence."""
    assert undocumented() == set()
