"""Lines of text: every value survives every format, and none of them escapes from its place."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.log_lines import Value, combined_line, json_line, logfmt_line, make_redactor, quoted, text

ANY = st.one_of(
    st.binary(max_size=60),
    st.sampled_from([b"\n", b"\r\n", b'" x="', b"\x1b[2J", b"\x7f", b"\xc2\x9b", "\u2028\u202e".encode(), b"\xff\xfe"]),
)
COMBINED = re.compile(r'(\S+) - - \[[^]]+\] "([^"]*)" (\d+) (\d+) "([^"]*)" "([^"]*)"')
# name=value, the value bare or a JSON string
LOGFMT = re.compile(r'([^\s="]+)=((?:"(?:[^"\\]|\\.)*")|[^\s"=]*)(?: |$)')


def readable(line: bytes) -> str:
    """The one line that it must be, without anything a terminal could act upon."""
    assert line.endswith(b"\n")
    shown = line[:-1].decode()
    assert shown.isprintable()
    assert len(shown.splitlines()) == 1
    return shown


@given(st.dictionaries(st.sampled_from("abcdef"), ANY, min_size=1))
def test_json_gives_back_what_went_in(values: dict[str, bytes]) -> None:
    """One printable line which a JSON parser turns into the same texts."""
    texts = {name: text(value, 1000) for name, value in values.items()}
    assert json.loads(readable(json_line(texts))) == texts  # type: ignore[arg-type]


@given(st.dictionaries(st.sampled_from("abcdef"), ANY, min_size=1), st.text(max_size=10))
def test_logfmt_gives_back_what_went_in(values: dict[str, bytes], key: str) -> None:
    """Names and values are found again, whatever spaces, quotes and equals signs the values hold."""
    texts = {name: text(value, 1000) for name, value in values.items()}
    line = readable(logfmt_line({**texts, "n": 5, "headers": {key: texts[min(texts)]}}))
    found = LOGFMT.findall(line)
    assert "".join(f"{name}={value} " for name, value in found).rstrip(" ") == line.rstrip(" ")
    parsed = {name: json.loads(value) if value.startswith('"') else value for name, value in found}
    assert {name: parsed[name] for name in texts} == texts
    assert parsed["n"] == "5"
    assert len(parsed) == len(texts) + 2


@given(ANY, ANY, ANY, ANY, ANY)
def test_combined_keeps_its_fields_apart(client: bytes, method: bytes, path: bytes, query: bytes, agent: bytes) -> None:
    """A log analyser's expression matches the whole line, and the quotes are only ours."""
    values: dict[str, Value] = {
        "client": text(client, 1000), "time": "20/Nov/2026:21:36:53 +0000", "method": text(method, 1000),
        "path": text(path, 1000), "query": text(query, 1000), "protocol": "HTTP/1.1", "status": 200,
        "bytes_out": 5, "referer": text(query, 1000), "user_agent": text(agent, 1000),
    }  # fmt: skip
    assert COMBINED.fullmatch(readable(combined_line(values)))


def test_combined_reads_as_everywhere() -> None:
    """The line of Apache's and nginx' documentation; what is missing is a dash."""
    values: dict[str, Value] = {
        "client": "192.0.2.7", "time": "20/Nov/2026:21:36:53 +0000", "method": "GET", "path": "/a", "query": "b=1",
        "protocol": "HTTP/1.1", "status": 200, "bytes_out": 12, "referer": "", "user_agent": 'curl "x" é\x9b',
    }  # fmt: skip
    start = b'192.0.2.7 - - [20/Nov/2026:21:36:53 +0000] "GET /a?b=1 HTTP/1.1" 200 12 "-" '
    assert combined_line(values) == start + '"curl \\x22x\\x22 é\\xC2\\x9B"\n'.encode()


@given(ANY, st.integers(1, 50))
def test_a_value_is_cut(value: bytes, most: int) -> None:
    """Long values end in dots, whole ones are untouched, and the text can be encoded."""
    shown = text(value, most)
    shown.encode()
    if len(value) > most:
        assert shown == value[:most].decode("utf-8", "backslashreplace") + "..."
    else:
        assert shown == value.decode("utf-8", "backslashreplace")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("plain", '"plain"'),
        ("é", '"é"'),
        ('a"b\\', '"a\\"b\\\\"'),
        ("\x7f", '"\\u007f"'),
        ("\u2028", '"\\u2028"'),
        ("\U000e0001", '"\\udb40\\udc01"'),
    ],
)
def test_quoted_strings_are_json_and_printable(value: str, shown: str) -> None:
    """Letters of any script stay readable; what could steer a terminal or hide does not get through."""
    assert quoted(value) == shown
    assert json.loads(quoted(value)) == value


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        (b"", b""),
        (b"a=1&b=2", b"a=1&b=2"),
        (b"token=abc", b"token=[redacted]"),
        (b"a=1&TOKEN=abc&b=2", b"a=1&TOKEN=[redacted]&b=2"),
        (b"token", b"token=[redacted]"),
        (b"token=a=b", b"token=[redacted]"),
        (b"%74oke%6E=abc&x=%20", b"%74oke%6E=[redacted]&x=%20"),
        (b"a=1;token=abc;b=2", b"a=1;token=[redacted];b=2"),
        (b"token[]=abc", b"token[]=[redacted]"),
        (b"user[Token]=abc", b"user[Token]=[redacted]"),
        (b"user%5Btoken%5D=abc", b"user%5Btoken%5D=[redacted]"),
        (b"tokens=1&q=token", b"tokens=1&q=token"),
        (b"+token=abc", b"+token=[redacted]"),
    ],
)
def test_secrets_of_a_query_are_not_shown(query: bytes, shown: bytes) -> None:
    """Keys are found as an application would read them; everything else stays byte for byte."""
    redact = make_redactor(["Token", "password"])
    assert redact is not None
    assert redact(query) == shown


def test_no_names_no_redactor() -> None:
    """Nothing to hide costs nothing."""
    assert make_redactor([]) is None
