"""One exchange as one line of text: JSON, logfmt, or the combined format of web servers.

The access log gives names and values, most of them chosen by a client that wants to be misread. The rule: a value never
ends its line, its field or its quotes, and never reaches a terminal as a control sequence, whatever bytes it holds.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import TypeAlias
from urllib.parse import unquote_to_bytes

import orjson

Value: TypeAlias = str | int | float | dict[str, str]

# What stands for itself between the quotes of every format.
PLAIN = bytes(code for code in range(0x20, 0x7F) if code not in b'"\\')
# Lower case, and every separator of a query the same.
_WORDS = bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ=;[]+", b"abcdefghijklmnopqrstuvwxyz&&&&&")
# What needs no quotes in logfmt.
_BARE = PLAIN.translate(None, b" =")
REDACTED = b"[redacted]"

_DELETE = b"\x7f"  # the one ASCII control character that JSON does not escape


def text(value: bytes | str, most: int) -> str:
    """At most `most` bytes of a value as text that can be encoded again; what is no UTF-8 shows as \\xNN."""
    raw = value if isinstance(value, bytes) else value.encode("utf-8", "backslashreplace")
    if len(raw) > most:
        raw = raw[:most] + b"..."
    return raw.decode("utf-8", "backslashreplace")


def quoted(value: str) -> str:
    """A JSON string of printable characters only: no line separators, no C1 controls, no changes of direction."""
    line = orjson.dumps(value)
    if line.isascii() and _DELETE not in line:
        return line.decode()
    return _escape(line.decode())


def json_line(values: dict[str, Value]) -> bytes:
    """`{"name":value,…}` and a newline."""
    line = orjson.dumps(values, option=orjson.OPT_APPEND_NEWLINE)
    if line.isascii() and _DELETE not in line:
        return line
    return _escape(line[:-1].decode()).encode() + b"\n"


def _escape(line: str) -> str:
    # Outside strings JSON is printable ASCII, so whatever is not printable stands in one and may be escaped there.
    return "".join([one if one.isprintable() else json.dumps(one)[1:-1] for one in line])


def logfmt_line(values: dict[str, Value]) -> bytes:
    """`name=value name="va lue"` and a newline; a nested mapping is written as name.key=value."""
    parts: list[str] = []
    for name, value in values.items():
        if isinstance(value, dict):
            parts += [f"{_word(f'{name}.{key}')}={_logfmt(each)}" for key, each in value.items()]
        else:
            parts.append(f"{name}={_logfmt(value)}")
    return " ".join(parts).encode() + b"\n"


def _word(name: str) -> str:
    return "".join([one if one.isalnum() or one in "._-" else "_" for one in name])


def _logfmt(value: str | int | float) -> str:
    if not isinstance(value, str):
        return str(value)
    if value and value.isascii() and not value.encode().translate(None, _BARE):
        return value
    return quoted(value)


def combined_line(values: dict[str, Value]) -> bytes:
    """`client - - [time] "GET /path HTTP/1.1" 200 1024 "referer" "user agent"`, as Apache and nginx write it.

    `values` has time (already in that format), client, method, path, query, protocol, status, bytes_out, referer and
    user_agent; what cannot stand between the quotes is written as \\xNN, as nginx does.
    """
    query = values["query"]
    target = f"{values['path']}?{query}" if query else str(values["path"])
    start = f"{values['method']} {target} {values['protocol']}" if values["method"] else "-"
    return (
        f"{_hexed(str(values['client'])).replace(' ', '_') or '-'} - - [{values['time']}] "
        f'"{_hexed(start)}" {values["status"]} {values["bytes_out"]} '
        f'"{_hexed(str(values["referer"])) or "-"}" "{_hexed(str(values["user_agent"])) or "-"}"\n'
    ).encode()


def _hexed(value: str) -> str:
    if value.isascii() and not value.encode().translate(None, PLAIN):
        return value
    return "".join([one if one.isprintable() and one not in '"\\' else _hex(one) for one in value])


def _hex(one: str) -> str:
    return "".join([f"\\x{byte:02X}" for byte in one.encode()])


def make_redactor(names: Iterable[str]) -> Callable[[bytes], bytes] | None:
    """A function that replaces the values of those query keys in b"a=1&token=abc"; None if there are no names.

    Keys are compared as an application would read them: decoded, in any case, with "&" or ";" between the pairs.
    """
    secret = frozenset(name.lower().encode() for name in names)
    if not secret:
        return None

    def redact(query: bytes) -> bytes:
        # Most queries have none of them: all words between the separators are looked up at once.
        if b"%" not in query and secret.isdisjoint(query.translate(_WORDS).split(b"&")):
            return query
        return b";".join([_redact_pairs(part, secret) for part in query.split(b";")])

    return redact


def _redact_pairs(query: bytes, secret: frozenset[bytes]) -> bytes:
    pairs = query.split(b"&")
    found = False
    for at, pair in enumerate(pairs):
        key = pair.partition(b"=")[0]
        name = unquote_to_bytes(key.replace(b"+", b" ")).strip().lower()
        # PHP and others read a[token] and token[] as nested keys: any part of the name is enough.
        if name in secret or (b"[" in name and not secret.isdisjoint(name.replace(b"]", b"").split(b"["))):
            pairs[at] = key + b"=" + REDACTED
            found = True
    return b"&".join(pairs) if found else query
