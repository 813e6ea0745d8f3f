"""The generated pages: in step with the code, and complete."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import get_args

import pytest

from gateway.admin import reference
from gateway.admin.api_page import api_page
from gateway.admin.reference import FIELDS, FOLDER, access_log_page, main, metrics_page
from gateway.filters.access_log import FieldName

ROOT = Path(__file__).resolve().parents[2]
found = cache(reference.declared)


@pytest.fixture(autouse=True)
def _walked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The code does not change while it is tested, and walking it takes long."""
    monkeypatch.setattr(reference, "declared", found)


def test_the_pages_are_up_to_date() -> None:
    """`make docs` was run."""
    assert (ROOT / FOLDER / "metrics.md").read_text() == metrics_page(), "run `make docs`"
    assert (ROOT / FOLDER / "access-log.md").read_text() == access_log_page(), "run `make docs`"
    assert (ROOT / FOLDER / "admin.md").read_text() == api_page(), "run `make docs`"


def test_every_field_is_explained() -> None:
    """No field without its sentence, no sentence without its field, in the order of a line."""
    assert list(FIELDS) == list(get_args(FieldName))


def test_metrics_of_every_floor_are_found() -> None:
    """Filters, wires and the log writer register theirs in different ways; all stand on the page."""
    page = metrics_page()
    for name in ("gateway_requests_total", "gateway_tls_handshakes_total", "gateway_access_log_dropped_total"):
        assert f"| `{name}` | counter |" in page


def test_check_tells_a_stale_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--check writes nothing, names the page, and fails; without it the pages are written."""
    assert main(["--check", str(tmp_path)]) == 1
    assert list(tmp_path.iterdir()) == []
    assert main([str(tmp_path)]) == 0
    assert main(["--check", str(tmp_path)]) == 0
    (tmp_path / "metrics.md").write_text("old")
    assert main(["--check", str(tmp_path)]) == 1
    assert "metrics.md is out of date: run `make docs`" in capsys.readouterr().err
