"""What docs/guides shows can be typed as it stands: configurations, command lines, links, files that it names."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from gateway import cli
from gateway.development import make_development_certificates
from tests.kit.commands import gateway_words, typed, understood

ROOT = Path(__file__).resolve().parents[2]
GUIDES = sorted((ROOT / "docs/guides").glob("*.md"))
BLOCKS = [
    pytest.param(block, id=f"{page.stem}-{number}")
    for page in GUIDES
    for number, block in enumerate(re.findall(r"^```yaml\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE), 1)
]
LINES = [
    pytest.param(words, id=f"{page.stem}-{number}")
    for page in [*GUIDES, ROOT / "deploy/README.md", ROOT / "examples/README.md", ROOT / "certs/README.md"]
    for number, words in enumerate((words for line in typed(page.read_text()) for words in gateway_words(line)), 1)
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Writes config.yaml into a folder with certificates, and begins to work there."""
    make_development_certificates(tmp_path / "certs")
    monkeypatch.chdir(tmp_path)

    def write(block: str) -> Path:
        path = tmp_path / "config.yaml"
        path.write_text(block)
        return path

    return write


@pytest.mark.parametrize("block", BLOCKS)
def test_a_configuration_is_right(
    block: str, folder: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """Every block of YAML in a guide is a whole configuration, without a mistake and without a warning."""
    assert {"upstreams", "routes"} <= yaml.safe_load(block).keys()
    assert cli.main(["check", "--strict", "-c", str(folder(block))]) == cli.CLEAN, capsys.readouterr().err


@pytest.mark.parametrize("words", LINES)
def test_a_command_line_is_understood(words: list[str]) -> None:
    """Every `gateway …` of a guide has a command and options that exist."""
    understood(words)


def test_every_guide_has_commands() -> None:
    """The pages were read: each has a command line, and most of them call the gateway."""
    assert len(GUIDES) > 9
    for page in GUIDES:
        assert page.name == "README.md" or list(typed(page.read_text())), page.name
    assert len(LINES) > 30


@pytest.mark.parametrize("page", [pytest.param(page, id=page.stem) for page in GUIDES])
def test_links_lead_somewhere(page: Path) -> None:
    """Relative links of a guide, and the files of the repository that it names, exist."""
    text = page.read_text()
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (page.parent / target).exists(), target
    for named in re.findall(r"`((?:deploy|examples|docs|tools|certs)/[\w./-]*)`", text):
        if not named.startswith("certs/"):
            assert (ROOT / named).exists(), named


def test_every_guide_is_in_the_index() -> None:
    """The page of guides names each of them."""
    index = (ROOT / "docs/guides/README.md").read_text()
    assert [page.name for page in GUIDES if page.name != "README.md" and f"]({page.name})" not in index] == []
