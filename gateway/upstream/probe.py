"""probe: one health check of one endpoint, from the connection to the verdict.

The control process calls it (gateway/health_checks.py) on a connection of its own, which is closed behind it. The rule:
the endpoint is trusted no more than any other origin: what it may say, and how long it may take, is bounded.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

from gateway.http.head import ResponseHeadReader
from gateway.http.message import Malformed, Response
from gateway.upstream.address import EndpointAddress
from gateway.upstream.dial import connect_fault
from gateway.upstream.framing import ResponseHeads, body_of
from gateway.upstream.health import HealthConfig

BODY_LIMIT = 64 * 1024  # bytes of body that are searched, against an endpoint that never stops
PIECE = 16 * 1024
NAME = b"gateway-health-check"


class Target(NamedTuple):
    """What to ask, and where. `server_name` is what TLS asks for and verifies."""

    address: EndpointAddress
    health: HealthConfig
    server_name: str


class _NotWell(Exception):
    """It has answered, and that says it is not well."""


async def probe(target: Target, context: ssl.SSLContext | None) -> str:
    """What is wrong with the endpoint, "" if it is well. In a Task. `context` for https endpoints."""
    health = target.health
    try:
        async with asyncio.timeout(health.timeout), _connected(target, context) as (reader, writer):
            if health.type == "http":
                writer.write(request(target))
                await _judged(reader, health)
    except TimeoutError:
        return f"no answer within {health.timeout:g}s"
    except _NotWell as why:
        return str(why)
    except Malformed as error:
        return f"a malformed answer: {error.why}"
    except (OSError, asyncio.IncompleteReadError) as error:
        return str(connect_fault(error))
    return ""


@asynccontextmanager
async def _connected(
    target: Target, context: ssl.SSLContext | None
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    address = target.address
    secure = context if target.health.type != "tcp" else None
    name = target.server_name if secure is not None else None
    if address.path:
        reader, writer = await asyncio.open_unix_connection(address.path)
    else:
        reader, writer = await asyncio.open_connection(address.host, address.port, ssl=secure, server_hostname=name)
    try:
        yield reader, writer
    finally:
        writer.close()


def request(target: Target) -> bytes:
    """As it is sent."""
    health = target.health
    host = health.host.encode() if health.host is not None else target.address.authority
    return b"GET %b HTTP/1.1\r\nhost: %b\r\nuser-agent: %b\r\naccept: */*\r\nconnection: close\r\n\r\n" % (
        health.path.encode(), host, NAME,
    )  # fmt: skip


async def _judged(reader: asyncio.StreamReader, health: HealthConfig) -> None:
    """Raises _NotWell, or Malformed."""
    heads = ResponseHeads(ResponseHeadReader())
    heads.begin(b"GET")
    response = heads.read(await _more(reader))
    while response is None or response.status < 200:
        response = heads.read(heads.rest if response is not None and heads.rest else await _more(reader))
    if not any(span.least <= response.status <= span.most for span in health.status):
        raise _NotWell(f"status {response.status}")
    for name, value in health.fields.items():
        if value.encode() not in [field for known, field in response.fields if known == name.encode()]:
            raise _NotWell(f"no field {name}: {value}")
    if health.body and health.body.encode() not in await _body(reader, response, heads.rest):
        raise _NotWell("the text is not in its body")


async def _more(reader: asyncio.StreamReader) -> bytes:
    piece = await reader.read(PIECE)
    if not piece:
        raise _NotWell("closed before it answered")
    return piece


async def _body(reader: asyncio.StreamReader, response: Response, rest: bytes) -> bytes:
    """The beginning of the body, or all of it."""
    body, found, piece = body_of(response.length), b"", rest
    while len(found) < BODY_LIMIT and not body.complete:
        if piece:
            found += b"".join(body.feed(piece))
        if body.complete or not (piece := await reader.read(PIECE)):
            break
    return found[:BODY_LIMIT]
