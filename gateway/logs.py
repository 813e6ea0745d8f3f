"""The gateway's own log: starts, reloads, failures; structlog on standard error, for people or for machines.

Set up once by `app.py`, before anything is worth telling; requests go to the access log instead. The rule: no secret
and no control character is ever written, and the libraries' own loggers come out in the same form.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable, Iterable, MutableMapping
from typing import Any, Literal, TypeAlias

import structlog

from gateway.config.references import HIDDEN, hides
from gateway.log_lines import json_line, text

MOST_OF_A_VALUE = 16 * 1024  # bytes; against an exception that quotes what a client sent

_SHORTEST = 4  # letters of a secret that is looked for inside other values
_Event: TypeAlias = MutableMapping[str, Any]
_Processor: TypeAlias = Callable[[Any, str, _Event], Any]
_COLOURS = {"debug": "\x1b[2m", "info": "\x1b[32m", "warning": "\x1b[33m", "error": "\x1b[31m", "critical": "\x1b[31m"}
_PLAIN = "\x1b[0m"


def set_up(
    level: Literal["debug", "info", "warning", "error"] = "info",
    format: Literal["auto", "text", "json"] = "auto",  # noqa: A002  # the configuration key
    *,
    write: Callable[[bytes], None] | None = None,
    secrets: Callable[[], Iterable[str]] = tuple,
) -> None:
    """Configures structlog and the standard library's loggers; calling it again replaces the former.

    `write` takes finished lines (a LogWriter's, so that a full pipe cannot hold up the loop); without it they go to
    standard error directly. `secrets` gives values that must not be shown, asked for at every event.
    """
    as_json = format == "json" or (format == "auto" and not sys.stderr.isatty())
    colours = sys.stderr.isatty() and "NO_COLOR" not in os.environ  # https://no-color.org
    render = _render_json if as_json else _make_text_renderer(colours=colours)
    number = logging.getLevelNamesMapping()[level.upper()]
    sink = _Sink(write)
    shared: list[_Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        structlog.processors.format_exc_info,
        _make_hider(secrets),
    ]
    structlog.configure(
        processors=[*shared, render],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=sink.logger,
        cache_logger_on_first_use=False,
    )
    foreign = logging.StreamHandler(sink)
    foreign.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[_add_logger_name, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
        )
    )
    foreign.terminator = ""
    root = logging.getLogger()
    root.handlers[:] = [foreign]
    # What libraries say below a warning is about themselves.
    root.setLevel(max(number, logging.WARNING))


class _Sink:
    """Where lines end. One lock: the loop, threads and libraries all log."""

    __slots__ = ("_lock", "_write")

    def __init__(self, write: Callable[[bytes], None] | None) -> None:
        self._lock = threading.Lock()
        self._write = write if write is not None else _write_directly

    def logger(self, *_names: str) -> _Sink:
        return self

    def write(self, line: str) -> None:
        with self._lock:
            self._write(line.encode("utf-8", "backslashreplace"))

    def flush(self) -> None:
        """Lines are written whole."""

    def __getattr__(self, _level: str) -> Callable[[str], None]:
        # structlog calls the method named like the level; all of them are the same here.
        return self.write


def _write_directly(line: bytes) -> None:
    try:
        sys.stderr.buffer.write(line)
        sys.stderr.buffer.flush()
    except (OSError, ValueError):
        return  # standard error is gone: there is nobody left to tell


def _add_logger_name(_logger: Any, _method: str, event: _Event) -> _Event:
    record = event.get("_record")
    if record is not None:
        event["logger"] = record.name
    return event


def _make_hider(secrets: Callable[[], Iterable[str]]) -> _Processor:
    """Replaces values under names of secrets, and secrets inside other values; makes everything else text."""

    def hide(_logger: Any, _method: str, event: _Event) -> _Event:
        known = [secret for secret in secrets() if len(secret) >= _SHORTEST]
        for name, value in event.items():
            if name == "_record":
                continue
            event[name] = HIDDEN if hides(name) and value else _shown(value, known)
        return event

    return hide


def _shown(value: Any, secrets: list[str]) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    shown = value if isinstance(value, str) else value.decode("latin-1") if isinstance(value, bytes) else str(value)
    for secret in secrets:
        shown = shown.replace(secret, HIDDEN)
    return text(shown, MOST_OF_A_VALUE)


def _render_json(_logger: Any, _method: str, event: _Event) -> str:
    first = {name: event.pop(name) for name in ("time", "level", "event") if name in event}
    return json_line({**first, **event}).decode()


def _make_text_renderer(*, colours: bool) -> _Processor:
    """`21:36:53 warning  what happened  name=value`, an exception indented below."""

    def render(_logger: Any, _method: str, event: _Event) -> str:
        level = str(event.pop("level", "info"))
        clock = str(event.pop("time", ""))[11:19]
        said = _printable(str(event.pop("event", "")))
        exception = event.pop("exception", None)
        word = f"{level:<8}"
        if colours:
            word = f"{_COLOURS.get(level, '')}{word}{_PLAIN}"
        pairs = "".join(f"  {name}={_printable(str(value))}" for name, value in event.items())
        below = "".join(f"    {_printable(line)}\n" for line in str(exception).splitlines()) if exception else ""
        return f"{clock} {word} {said}{pairs}\n{below}"

    return render


def _printable(shown: str) -> str:
    return "".join([one if one.isprintable() else one.encode("unicode_escape").decode() for one in shown.expandtabs(4)])
