"""`${env:…}` and `${file:…}`: what they stand for, what is refused, and that no secret is ever shown."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.config.references import (
    MAX_SECRET_BYTES,
    ReferenceFault,
    References,
    Secret,
    hides,
    is_secret_name,
    scrubbed,
)


def resolve(text: str, folder: Path = Path(), **environ: str) -> str | None:
    resolved = References(environ, folder).resolve(text)
    return None if resolved is None else resolved.text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", None), ("${host}", None), ("${request_id}-${header:X}", None), ("$env", None), ("${ENV}", None),
        ("${env:A}", "one"), ("x${env:A}y${env:B}z", "xoneytwoz"), ("${env:A:-d}", "one"), ("${env:NO:-d}", "d"),
        ("${env:EMPTY:-d}", "d"), ("${env:EMPTY}", ""), ("${env:NO:-}", ""), ("${env:NO:-a:-b}", "a:-b"),
        ("$${env:A}", "${env:A}"), ("$$${env:A}", "$${env:A}"), ("$${file:/x} ${env:A}", "${file:/x} one"),
        ("${host}/${env:A}", "${host}/one"), ("$${host}", None), ("${env:A}}", "one}"),
    ],
)  # fmt: skip
def test_environment(text: str, expected: str | None) -> None:
    """Only `env:` and `file:` are ours; everything else passes untouched."""
    assert resolve(text, A="one", B="two", EMPTY="") == expected


def test_whole_and_secrets() -> None:
    """A scalar that is one reference is `whole`; a default is no secret, for it stands in the file."""
    references = References({"A": "one"}, Path())
    resolved = references.resolve("${env:A}")
    assert resolved is not None
    assert resolved.whole
    assert resolved.secrets == (Secret("one", "${env:A}"),)
    resolved = references.resolve("${env:B:-x}y")
    assert resolved is not None
    assert not resolved.whole
    assert resolved.secrets == (Secret("", "${env:B:-x}"),)
    assert "one" not in repr(references.resolve("${env:A}"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("${env:GONE}", "the environment variable GONE is not set"), ("${env:}", "is not a reference"),
        ("${env:a b}", "is not a reference"), ("${env:A-B}", "is not a reference"), ("${env:A", "is not closed"),
        ("x ${env:A ${host", "is not closed"), ("${env:BAD}", "is not valid UTF-8"), ("${file:}", "is not a reference"),
        ("${file:a\0b}", "is not a reference"), ("${file:gone}", "there is no file gone"),
        ("${file:.}", "is not a regular file"), ("${file:/dev/zero}", "is not a regular file"),
    ],
)  # fmt: skip
def test_refused(text: str, message: str) -> None:
    """Each with what to do about it."""
    with pytest.raises(ReferenceFault, match=message):
        resolve(text, A="one", BAD="\udcff")


def test_files(tmp_path: Path) -> None:
    """Relative to the configuration's folder, without the line end that editors add; remembered for the watcher."""
    (tmp_path / "key").write_bytes(b"s3cret\r\n")
    (tmp_path / "two").write_bytes(b"a\n\n")
    references = References({}, tmp_path)
    assert [references.resolve(f"${{file:{name}}}") for name in ("key", "two")] == [
        ("s3cret", (Secret("s3cret", "${file:key}"),), True),
        ("a\n", (Secret("a\n", "${file:two}"),), True),
    ]
    assert references.read == [tmp_path / "key", tmp_path / "two"]


def test_files_that_cannot_be_secrets(tmp_path: Path) -> None:
    """A pipe would block, a binary is no text, a log is too long."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    (tmp_path / "long").write_bytes(b"x" * (MAX_SECRET_BYTES + 1))
    for name, message in (("pipe", "regular file"), ("binary", "valid UTF-8"), ("long", "larger than 1 MiB")):
        with pytest.raises(ReferenceFault, match=message):
            resolve(f"${{file:{name}}}", tmp_path)


@pytest.mark.parametrize(
    "name", ["password", "client_secret", "api_key", "X-Api-Key", "Authorization", "keys", "TOKEN"]
)
def test_secret_names(name: str) -> None:
    """Keys and field names by which people call secrets."""
    assert is_secret_name(name)


@pytest.mark.parametrize("name", ["monkey", "keepalive_time", "secretary", "tokenize", "author", "host", ""])
def test_other_names(name: str) -> None:
    """A word inside a longer one is not meant."""
    assert not is_secret_name(name)


def test_a_bare_key_is_shown_in_messages() -> None:
    """It names a file, or what to hash by; the admin API hides it all the same."""
    assert [hides(name) for name in ("key", "keys", "api_key", "password")] == [False, False, True, True]


@pytest.mark.parametrize(
    ("message", "value", "expected"),
    [
        ("'hunter2' is no size", "hunter2", "'${env:S}' is no size"),
        ("'http://u:hunter2@h' has a user", "hunter2", "'http://u:${env:S}@h' has a user"),
        ("no size", "hunter2", "no size"),
        ("'unter2 is cut", "hunter2", None),
        ("HUNTER2 is loud", "hunter2", None),
        ("'a\\nbcd' has a line end", "a\nbcd", "'${env:S}' has a line end"),
        ("5 is not a port", "5", "${env:S} is not a port"),
        ("write 15s", "5", "write 15s"),
        ("anything", "", "anything"),
    ],
)
def test_scrubbed(message: str, value: str, expected: str | None) -> None:
    """The value becomes its reference; where part of it would still show, there is no message."""
    assert scrubbed(message, (Secret(value, "${env:S}"),)) == expected


def test_scrubbed_takes_the_longest_first() -> None:
    """A secret inside another does not leave the other's rest behind."""
    secrets = (Secret("abc", "${env:A}"), Secret("abc-def", "${env:B}"))
    assert scrubbed("'abc-def' and 'abc'", secrets) == "'${env:B}' and '${env:A}'"
    assert scrubbed("part-of-word", (Secret("of-wo", "${env:A}"),), partly=False) == "part-of-word"
