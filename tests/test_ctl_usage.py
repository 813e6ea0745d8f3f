"""What may be typed after `gateway ctl`."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.ctl_usage import CTL
from gateway.usage import read_words

ROOT = Path(__file__).resolve().parent.parent


def test_the_examples_can_be_typed() -> None:
    """Each line of the help is understood."""
    lines = [line for line in CTL.splitlines() if line.startswith("  gateway ctl")]
    assert len(lines) > 8
    for line in lines:
        words = shlex.split(line.split("   ")[0])
        assert read_words(words[1:]).command == "ctl"


def test_orders_have_their_words() -> None:
    """Names, numbers, options; the address options are the same everywhere."""
    options = read_words(["ctl", "weight", "app", "10.0.0.5:3000", "7", "--admin", "unix:/a", "--json"])
    assert (options.order, options.upstream, options.endpoint, options.weight) == ("weight", "app", "10.0.0.5:3000", 7)
    assert (options.admin, options.json, options.config) == ("unix:/a", True, None)
    options = read_words(["ctl", "maintenance", "on", "--route", "all", "--retry-after", "5m"])
    assert (options.switch, options.route, options.retry_after, options.message) == ("on", "all", "5m", "")
    assert read_words(["ctl", "log-level", "debug"]).length == "10m"
    assert read_words(["reload", "--admin", ":9"]).admin == ":9"


@pytest.mark.parametrize(
    "words",
    [
        ["ctl"],
        ["ctl", "pour"],
        ["ctl", "drain", "app"],
        ["ctl", "weight", "app", "a:1", "heavy"],
        ["ctl", "log-level", "loud"],
        ["ctl", "maintenance", "maybe"],
    ],
)
def test_what_cannot_be_understood(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Code 2, and how it is used."""
    with pytest.raises(SystemExit) as left:
        read_words(words)
    assert left.value.code == 2
    assert "usage: gateway ctl" in capsys.readouterr().err


def test_typing_it_imports_no_server() -> None:
    """`gateway ctl` waits for neither aiohttp nor an event loop."""
    code = "import sys; from gateway.cli import main; main(['ctl', 'status', '--admin', '127.0.0.1:9']); print(*sys.modules)"
    run = [sys.executable, "-c", code]
    loaded = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert not {"aiohttp", "uvloop"} & set(loaded.split())
