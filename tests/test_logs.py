"""The gateway's own log: one line an event, in both forms, without secrets and without control characters."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from gateway.logs import set_up


@pytest.fixture
def lines() -> Iterator[list[bytes]]:
    """What was written; the global set-up of both logging libraries is restored afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield []
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


def parsed(lines: list[bytes]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines]


def test_json_lines(lines: list[bytes]) -> None:
    """Time, level and event first, then what was said beside it; every value is JSON or text."""
    set_up("info", "json", write=lines.append)
    structlog.get_logger("gateway").warning("reloaded", generation=3, path=__file__, ok=True, odd=object)
    (event,) = parsed(lines)
    assert list(event)[:3] == ["time", "level", "event"]
    assert event["time"].endswith("Z")
    assert (event["level"], event["event"], event["generation"], event["ok"]) == ("warning", "reloaded", 3, True)
    assert event["odd"] == "<class 'object'>"


def test_levels(lines: list[bytes]) -> None:
    """Events below the level are not written, nor is the chatter of libraries."""
    set_up("warning", "json", write=lines.append)
    log = structlog.get_logger()
    log.debug("no")
    log.info("no")
    log.warning("yes")
    logging.getLogger("aiohttp.server").info("no")
    assert [event["event"] for event in parsed(lines)] == ["yes"]


def test_libraries_log_in_the_same_form(lines: list[bytes]) -> None:
    """asyncio's and aiohttp's warnings and exceptions are lines like ours, and say who spoke."""
    set_up("debug", "json", write=lines.append)
    try:
        raise ValueError("bad\nthing")
    except ValueError:
        logging.getLogger("asyncio").exception("a callback failed: %s", "x")
    (event,) = parsed(lines)
    assert (event["logger"], event["level"], event["event"]) == ("asyncio", "error", "a callback failed: x")
    assert "ValueError: bad\nthing" in event["exception"]


@pytest.mark.parametrize("form", ["json", "text"])
def test_no_secret_is_written(lines: list[bytes], form: Any) -> None:
    """Neither what is named like one, nor a known one inside something else, tracebacks included."""
    set_up("info", form, write=lines.append, secrets=lambda: ["hunter22", "x"])
    log = structlog.get_logger()
    log.info("connecting to redis://:hunter22@cache", password="abcdef", url=b"redis://hunter22@cache", token="")
    try:
        local = "local-value"
        raise RuntimeError("hunter22 refused")
    except RuntimeError:
        log.exception("failed", length=len(local))
    written = b"".join(lines)
    assert len(lines) == 2
    for secret in (b"hunter22", b"abcdef", b"local-value\n"):
        assert secret not in written
    assert b"RuntimeError: *** refused" in written


@pytest.mark.parametrize("form", ["json", "text"])
def test_no_line_can_be_forged(lines: list[bytes], form: Any) -> None:
    """Control characters and line ends in an event or a value are escaped."""
    set_up("info", form, write=lines.append)
    structlog.get_logger().info("a\r\nb\x1b[2J", path="\u2028\x9b\x7f\ud800", raw=b"\xff\n")
    (line,) = lines
    assert line[-1:] == b"\n"
    assert line[:-1].decode().isprintable()


def test_text_for_people(lines: list[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    """Clock, level, event and pairs; an exception stands indented below."""
    set_up("info", "text", write=lines.append)
    log = structlog.get_logger()
    log.error("cannot reload", file="config.yaml")
    assert lines[0][8:].decode() == " error    cannot reload  file=config.yaml\n"
    log.error("failed", exc_info=ValueError("no"))
    assert "\n    ValueError: no\n" in lines[1].decode()
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.delenv("NO_COLOR", raising=False)
    set_up("info", "auto", write=lines.append)
    log.warning("yellow")
    assert b"\x1b[33mwarning \x1b[0m yellow" in lines[2]


def test_auto_is_json_without_a_terminal(lines: list[bytes], capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """In a container standard error is a pipe: machines read it. Without `write` lines go there directly."""
    set_up()
    structlog.get_logger().info("here")
    assert json.loads(capfdbinary.readouterr().err)["event"] == "here"


def test_a_dead_standard_error_is_survived(lines: list[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is left to tell, and nothing stops."""
    set_up("info", "json")

    class Gone:
        """A stream whose reader went away."""

        @property
        def buffer(self) -> Gone:
            return self

        def write(self, line: bytes) -> None:
            raise BrokenPipeError

    monkeypatch.setattr("sys.stderr", Gone())
    structlog.get_logger().info("unheard")
    assert lines == []
