"""The demo application does what its page promises."""

from __future__ import annotations

import hashlib
import importlib.util
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import ClientSession
from aiohttp.test_utils import TestClient, TestServer

APP = Path(__file__).resolve().parents[2] / "examples/demo/app.py"


@asynccontextmanager
async def demo() -> AsyncIterator[TestClient[Any, Any]]:
    spec = importlib.util.spec_from_file_location("demo_app", APP)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    async with TestClient(TestServer(module.build())) as client:
        yield client


async def test_home_is_a_page() -> None:
    """The front page is HTML, and a path in it cannot break out of its script."""
    async with demo() as client:
        answer = await client.get("/?x=</script>")
        assert answer.content_type == "text/html"
        page = await answer.text()
        assert "It works." in page
        assert page.count("</script>") == 1


async def test_echo_tells_what_arrived() -> None:
    """Echo shows the method, the target, the fields in their order and the size of the body."""
    async with demo() as client:
        answer = await (await client.put("/echo?a=b", data=b"12345", headers={"X-One": "1"})).json()
        assert (answer["method"], answer["target"], answer["body_bytes"]) == ("PUT", "/echo?a=b", 5)
        assert "X-One: 1" in answer["fields"]


async def test_slow_waits_and_names_a_mistake() -> None:
    """The slow page takes its time as a number and answers 400 to anything else."""
    async with demo() as client:
        assert (await client.get("/slow?seconds=0")).status == 200
        assert (await client.get("/slow?seconds=soon")).status == 400


async def test_events_stream() -> None:
    """Server-sent events arrive as such."""
    async with demo() as client:
        answer = await client.get("/events?count=1")
        assert answer.content_type == "text/event-stream"
        assert (await answer.text()).startswith("id: 0\ndata: ")


async def test_websocket_says_everything_back() -> None:
    """Text and bytes come back as they were sent."""
    async with demo() as client, client.ws_connect("/ws") as connection:
        await connection.send_str("hello")
        assert await connection.receive_str() == "hello"
        await connection.send_bytes(b"\x00\xff")
        assert await connection.receive_bytes() == b"\x00\xff"


async def test_upload_is_digested() -> None:
    """An upload larger than any buffer is counted and digested, and the clock page is JSON."""
    body = b"x" * 3_000_000
    async with demo() as client:
        assert isinstance(client.session, ClientSession)
        answer = await (await client.post("/upload", data=io.BytesIO(body))).json()
        assert answer["bytes"] == len(body)
        assert answer["sha256"] == hashlib.sha256(body).hexdigest()
        assert "time" in await (await client.get("/api/time")).json()
