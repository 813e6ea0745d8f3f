"""The way of a write over real sockets: who may, what is read, what is done, and the line about it."""

from __future__ import annotations

import asyncio
import json
import logging
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from gateway import logs
from gateway.admin import serve
from gateway.admin.access import BURST
from gateway.admin.actions import Maintenance
from gateway.admin.bodies import MOST_BYTES
from gateway.admin.token_file import NAME
from gateway.admin.writes import subject_of
from tests.kit.admin import TOKEN, FakeGateway, ask, get, running, write

ENDPOINT = "/upstreams/app/endpoints/10.0.0.5:3000"


@pytest.fixture
def audit() -> Iterator[Any]:
    """A function that gives the lines of the audit log so far."""
    with capture_logs() as lines:
        yield lambda: [line for line in lines if line["event"] == "admin write"]


async def test_every_write_is_done() -> None:
    """Each operation reaches its action with what was said, and answers what was so and what is so."""
    gateway = FakeGateway()
    unix = "/upstreams/app/endpoints/unix:%2Frun%2Fapp.sock"
    steps = [
        (write("POST", f"{ENDPOINT}/drain"), ("drain", "app", "10.0.0.5:3000")),
        (write("POST", f"{unix}/undrain"), ("undrain", "app", "unix:/run/app.sock")),
        (write("PUT", f"{ENDPOINT}/weight", {"weight": 9}), ("weight", "app", "10.0.0.5:3000", 9)),
        (write("PUT", "/log/level", {"level": "debug", "for": "10m"}), ("log_level", "debug", 600.0)),
        (write("PUT", "/maintenance", {"on": True}), ("maintenance", Maintenance("", 0.0), "")),
        (write("DELETE", "/maintenance"), ("maintenance", None, "")),
        (write("PUT", "/routes/all/maintenance", {"message": "x"}), ("maintenance", Maintenance("x", 0.0), "all")),
        (write("DELETE", "/routes/all/maintenance"), ("maintenance", None, "all")),
    ]
    async with running(gateway, token=TOKEN) as (admin, _probe):
        for request, asked in steps:
            answer = await ask(admin, request)
            assert (answer.status, set(answer.json)) == (200, {"before", "after"})
            assert gateway.asked[-1] == asked
    assert len(gateway.asked) == len(steps)


async def test_a_reload_answers_when_it_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """200 with the new generation, or 422 with every mistake; the deadline of a connection does not cut it."""
    monkeypatch.setattr(serve, "DEADLINE", 0.02)
    gateway = FakeGateway()
    gateway.hold = asyncio.Event()
    async with running(gateway, token=TOKEN) as (admin, _probe):
        asyncio.get_running_loop().call_later(0.2, gateway.hold.set)
        answer = await ask(admin, write("POST", "/reload"))
        assert (answer.status, answer.json["before"], answer.json["after"]["generation"]) == (200, {"generation": 3}, 4)
        gateway.faulty = "config.yaml:1:1: no\nconfig.yaml:2:1: nor this"
        answer = await ask(admin, write("POST", "/reload"))
    assert answer.status == 422
    assert answer.json["errors"] == [{"detail": line} for line in gateway.faulty.splitlines()]


async def test_nothing_happens_without_the_token() -> None:
    """No token, a wrong one, another page's, another name's: refused, and the gateway was asked nothing."""
    gateway = FakeGateway()
    async with running(gateway, token=TOKEN) as (admin, _probe):
        assert (await ask(admin, write("POST", "/reload", token=""))).status == 401
        assert (await ask(admin, write("POST", "/reload", token="wrong"))).status == 401
        assert (await ask(admin, write("POST", "/reload", Origin="https://evil.example"))).status == 403
        assert (await ask(admin, write("POST", "/reload", Sec_Fetch_Site="cross-site"))).status == 403
        assert (await ask(admin, write("POST", "/reload", Host="evil.example"))).status == 421
    assert gateway.asked == []


async def test_without_any_token_the_answer_says_what_to_configure(tmp_path: Path) -> None:
    """Nothing configured: 403. A state_dir: the token that was made there opens. A broken one: 403 and a loud line."""
    async with running(FakeGateway()) as (admin, _probe):
        answer = await ask(admin, write("POST", "/reload"))
        assert answer.status == 403
        assert "admin.token" in answer.json["detail"]
    async with running(FakeGateway(state_dir=tmp_path)) as (admin, _probe):
        token = (tmp_path / NAME).read_text().strip()
        assert (await ask(admin, write("POST", "/reload"))).status == 401
        assert (await ask(admin, write("POST", "/reload", token=token))).status == 200
    (tmp_path / NAME).write_text("")
    with capture_logs() as lines:
        async with running(FakeGateway(state_dir=tmp_path)) as (admin, _probe):
            assert (await ask(admin, write("POST", "/reload", token=token))).status == 403
    assert lines[0]["event"] == "nothing can be changed over HTTP"


async def test_the_configured_token_wins(tmp_path: Path) -> None:
    """Then none is made."""
    async with running(FakeGateway(state_dir=tmp_path), token=TOKEN) as (admin, _probe):
        assert (await ask(admin, write("POST", "/reload"))).status == 200
    assert not (tmp_path / NAME).exists()


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (write("PUT", "/log/level", {"level": "info"}, Content_Type="text/plain"), 415),
        (write("PUT", "/log/level", {"level": "info"}, Content_Type="application/x-www-form-urlencoded"), 415),
        (write("PUT", "/log/level", zlib.compress(b"{}"), Content_Encoding="deflate"), 415),
        (write("PUT", "/log/level"), 415),
        (write("PUT", "/log/level", b""), 400),
        (write("PUT", "/log/level", b"{nonsense"), 400),
        (write("PUT", "/log/level", b'{"level": "info", "level": "loud"}'), 422),
        (write("PUT", "/log/level", {"level": "loud"}), 422),
        (write("PUT", "/log/level", {"level": "info", "more": 1}), 422),
        (write("PUT", "/maintenance", {"message": "x" * 1001}), 422),
        (write("PUT", "/maintenance", {"message": "x" * MOST_BYTES}), 413),
        (write("POST", "/reload", {}), 400),
        (write("DELETE", "/maintenance", b"x"), 400),
        (write("POST", "/upstreams/app/endpoints/10.0.0.9:1/drain"), 404),
        (write("PUT", "/routes/none/maintenance", {}), 404),
        (write("PUT", "/log/level", b"zz\r\n", Transfer_Encoding="chunked", Content_Length=""), 400),
    ],
)
async def test_what_cannot_be_read_is_not_done(request_bytes: bytes, status: int) -> None:
    """Types, lengths, keys, names: each with its status, as problem details."""
    gateway = FakeGateway()
    async with running(gateway, token=TOKEN) as (admin, _probe):
        answer = await ask(admin, request_bytes)
    assert answer.status == status
    if b"chunked" not in request_bytes:
        assert answer.json["status"] == status
    assert gateway.asked == []


async def test_a_body_that_breaks_off_is_not_done(audit: Any) -> None:
    """Whoever leaves in its middle has asked for nothing; it is a refusal in the log, and no bug."""
    gateway = FakeGateway()
    with_end = write("PUT", "/log/level", {"level": "info"})
    async with running(gateway, token=TOKEN) as (admin, _probe):
        _reader, writer = await asyncio.open_connection(*admin)
        writer.write(with_end[:-3])
        await writer.drain()
        await ask(admin, get("/status"))  # by then it has been read
        writer.close()
        while not audit():
            await ask(admin, get("/status"))
    assert gateway.asked == []
    assert [(line["outcome"], line["status"]) for line in audit()] == [("refused", 400)]


async def test_a_slow_body_has_no_more_time_than_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """The deadline of a connection holds until all of it is here."""
    monkeypatch.setattr(serve, "DEADLINE", 0.05)
    gateway = FakeGateway()
    async with running(gateway, token=TOKEN) as (admin, _probe):
        reader, writer = await asyncio.open_connection(*admin)
        writer.write(write("PUT", "/log/level", {"level": "info"})[:-3])
        assert await reader.read() == b""
        writer.close()
    assert gateway.asked == []


async def test_mistakes_point_into_the_body() -> None:
    """Each with its place."""
    async with running(FakeGateway(), token=TOKEN) as (admin, _probe):
        answer = await ask(admin, write("PUT", "/log/level", {"level": "loud", "fro": "1s"}))
    assert [one["pointer"] for one in answer.json["errors"]] == ["#/level", "#/fro"]


async def test_every_write_leaves_a_line(audit: Any) -> None:
    """Who, what, with which body, what was so and is so, how it ended, and the id that the answer has."""
    async with running(FakeGateway(), token=TOKEN) as (admin, _probe):
        done = await ask(admin, write("PUT", f"{ENDPOINT}/weight", {"weight": 9}))
        refused = await ask(admin, write("PUT", "/log/level", {"level": "loud"}))
        unknown = await ask(admin, write("POST", "/reload", token="wrong"))
    first, second, third = audit()
    assert first.pop("seconds") >= 0
    assert first == {
        "event": "admin write", "log_level": "info", "by": first["by"], "peer": "127.0.0.1",
        "what": f"PUT {ENDPOINT}/weight", "body": '{"weight":9}', "outcome": "done", "status": 200,
        "before": '{"weight":1}', "after": '{"weight":9}', "request_id": done.fields["x-request-id"],
    }  # fmt: skip
    assert first["by"].startswith("token ")
    assert (second["outcome"], second["status"]) == ("refused", 422)
    assert "#/level" in second["why"]
    assert second["request_id"] == refused.fields["x-request-id"]
    assert ("by" in third, third["status"], third["request_id"]) == (False, 401, unknown.fields["x-request-id"])
    assert TOKEN not in json.dumps(audit())


async def test_no_level_silences_the_audit_log() -> None:
    """Whoever turns the log down cannot hide what he does then; the line has no token in it."""
    lines: list[bytes] = []
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    logs.set_up("error", "json", write=lines.append)
    try:
        async with running(FakeGateway(), token=TOKEN) as (admin, _probe):
            await ask(admin, write("DELETE", "/maintenance"))
    finally:
        structlog.reset_defaults()
        root.handlers[:] = handlers
        root.setLevel(level)
    (line,) = map(json.loads, lines)
    assert (line["event"], line["what"], line["outcome"]) == ("admin write", "DELETE /maintenance", "done")
    assert line["by"].startswith("token ")
    assert line["after"] == '{"on":false}'


async def test_a_write_that_fails_leaves_a_line_too(audit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """500 without what happened, a line in the audit log, and one with the reason."""
    gateway = FakeGateway()
    monkeypatch.setattr(gateway, "_find", lambda *_: 1 / 0)
    async with running(gateway, token=TOKEN) as (admin, _probe):
        answer = await ask(admin, write("POST", f"{ENDPOINT}/drain"))
    assert (answer.status, answer.json["detail"]) == (500, "the log says more")
    assert [(line["outcome"], line["status"]) for line in audit()] == [("failed", 500)]


async def test_guesses_do_not_fill_the_log(audit: Any) -> None:
    """The first ones leave a line each; what is refused unread (429) leaves none."""
    async with running(FakeGateway(), token=TOKEN) as (admin, _probe):
        statuses = [(await ask(admin, write("POST", "/reload", token="wrong"))).status for _ in range(BURST + 3)]
    assert statuses == [401] * BURST + [429] * 3
    assert len(audit()) == BURST


async def test_over_a_unix_socket(tmp_path: Path, audit: Any) -> None:
    """The token is asked for there too; the peer is `unix`."""
    path = tmp_path / "admin.sock"
    async with running(FakeGateway(), bind=f"unix:{path}", probe=None, token=TOKEN) as (admin,):
        assert (await ask(admin, write("POST", "/reload", token=""))).status == 401
        assert (await ask(admin, write("POST", "/reload"))).status == 200
    assert [line["peer"] for line in audit()] == ["unix", "unix"]


def test_subjects() -> None:
    """The most particular name first; a certificate without a subject is named by its number."""
    shown = {"subject": ((("organizationName", "Example"),), (("commonName", "ops"),)), "serialNumber": "0A"}
    assert subject_of(shown) == "commonName=ops,organizationName=Example"
    assert subject_of({"subject": (), "serialNumber": "0A"}) == "serial=0A"
