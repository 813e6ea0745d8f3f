"""The generated page: complete, and up to date."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config.descriptions import keys_below
from gateway.config.model import SiteConfig
from gateway.config.reference import PAGE, main, page

ROOT = Path(__file__).resolve().parent.parent.parent


def test_every_key_has_its_chapter() -> None:
    """In the order of the journey."""
    chapters = [line[5:-1] for line in page().splitlines() if line.startswith("### `")]
    assert chapters == list(SiteConfig.model_fields)


def test_tables_are_whole() -> None:
    """No description breaks a row."""
    rows = [line for line in page().splitlines() if line.startswith("| `")]
    assert len(rows) > 100
    assert [row for row in rows if row.replace("\\|", "").count("|") not in {3, 4, 5}] == []


def test_a_routes_copy_of_a_setting_is_told_once() -> None:
    """Under `defaults` or under its own key, in full."""
    text = page()
    assert text.count("Until the TCP connection stands") == 1
    for key in keys_below(SiteConfig):
        assert f"### `{key.path.removesuffix('[]').removesuffix('.NAME')}`" in text


def test_the_page_in_the_repository_is_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    """`make docs` writes it."""
    assert main(["--check", str(ROOT / PAGE)]) == 0, capsys.readouterr().err


def test_check_says_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And writing mends it."""
    path = tmp_path / "folder/page.md"
    assert main(["--check", str(path)]) == 1
    assert "make docs" in capsys.readouterr().err
    assert main([str(path)]) == 0
    assert main(["--check", str(path)]) == 0
