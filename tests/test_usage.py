"""The command line as it is typed: what help shows can be typed, and what is mistyped is understood."""

from __future__ import annotations

import re
import shlex

import pytest

from gateway import usage
from gateway.usage import WrongUsage, make_parser, read_words

COMMANDS = tuple(make_parser()[1])
EXAMPLE = re.compile(r"^  gateway (.*?)(?:  .*| [>&] ?.*)?$", re.MULTILINE)


@pytest.mark.parametrize("command", COMMANDS)
def test_what_help_shows_can_be_typed(command: str) -> None:
    """Each example is read as the command it shows, and there is one at least."""
    examples = EXAMPLE.findall(make_parser()[1][command].description or "")
    read = [read_words(shlex.split(example)) for example in examples]
    assert command in {options.command for options in read}


def test_the_first_page_shows_what_can_be_typed() -> None:
    """And names every command and every exit code."""
    examples = EXAMPLE.findall(usage.ABOUT)
    assert [read_words(shlex.split(example)).command for example in examples] == [
        "run",
        "check",
        "diff",
        "explain",
        "run",
    ]
    shown = make_parser()[0].format_help()
    assert all(re.search(rf"^ +{command}  ", shown, re.MULTILINE) for command in COMMANDS)
    assert all(f" {code} " in usage.AFTERWORD for code in range(6))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("chek", "There is no command chek: did you mean check? `gateway --help` lists them."),
        ("reverse-engineer", "There is no command reverse-engineer. `gateway --help` lists them."),
        ("run --tls-lsten :443", "`gateway run` does not take --tls-lsten: did you mean --tls-listen?"),
        ("run --too=x", "`gateway run` does not take --too=x: did you mean --to?"),
        ("run site.yaml", "`gateway run` does not take site.yaml: a configuration is named with -c site.yaml."),
        ("check a.yaml b.yaml", "`gateway check` does not take b.yaml: a configuration is named with -c b.yaml."),
        ("schema config more", "`gateway schema` does not take more. `gateway schema --help` says what it takes."),
        ("check --verbose", "`gateway check` does not take --verbose. `gateway check --help` says what it takes."),
    ],
)
def test_what_is_mistyped_is_understood(words: str, said: str) -> None:
    """What is wrong, what was probably meant, and where to look."""
    with pytest.raises(WrongUsage) as wrong:
        read_words(words.split())
    assert str(wrong.value).startswith(said)


def test_flags_are_not_cut_short() -> None:
    """A script that writes --tls would break on the day another flag begins so."""
    with pytest.raises(WrongUsage):
        read_words(["run", "--to", "http://a", "--tls", ":443"])


@pytest.mark.parametrize(("words", "shown"), [("help", "commands:"), ("help run", "--tls-listen")])
def test_help_is_a_word_too(words: str, shown: str, capsys: pytest.CaptureFixture[str]) -> None:
    """As people type it."""
    with pytest.raises(SystemExit) as done:
        read_words(words.split())
    assert done.value.code == 0
    assert shown in capsys.readouterr().out


def test_options() -> None:
    """Defaults, repeated flags, and the two ways to name a file."""
    run = read_words(["run", "--to", "http://a", "--listen", ":1", "--listen", ":2"])
    assert (run.to, run.listen, run.tls_listen, run.config, run.admin) == ("http://a", [":1", ":2"], [], None, None)
    assert read_words(["check", "a.yaml"]).file == read_words(["check", "-c", "a.yaml"]).config == "a.yaml"
    assert read_words(["check", "--strict"]).strict
