"""What README.md shows can be typed as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway import cli
from gateway.development import make_development_certificates

README = Path(__file__).resolve().parents[2] / "README.md"


def test_the_sample_configuration_is_right(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`gateway check` and `explain` say of the sample what the page says they do."""
    page = README.read_text()
    sample = re.search(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert sample is not None
    config = tmp_path / "config.yaml"
    config.write_text(sample[1])
    make_development_certificates(tmp_path / "certs")

    assert cli.main(["check", "-c", str(config)]) == cli.CLEAN
    assert capsys.readouterr().out.removeprefix(f"{tmp_path}/") in page
    assert cli.main(["explain", "GET", "https://shop.example.com/api/../upload", "-c", str(config)]) == cli.CLEAN
    shown = capsys.readouterr().out.splitlines()
    assert len(shown) > 3
    assert [line for line in shown[:2] + shown[-1:] if line not in page] == []


def test_links_lead_somewhere() -> None:
    """Every relative link of the front page and of the index of documents exists."""
    for page in (README, README.parent / "docs/README.md"):
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
