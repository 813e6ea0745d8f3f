"""ask: one question to the admin listener of a running gateway, over TCP, TLS or a Unix socket.

For `gateway ctl` and `gateway certs`. The rule: it imports little, waits for a bounded time, reads a bounded answer,
and when there is none it says in a sentence what mends that.
"""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from pathlib import Path
from typing import Any, NamedTuple

from gateway.server.settings import Bind, parse_bind

PATIENCE = 5.0  # seconds, with a gateway that does not answer
MOST_BYTES = 16 << 20  # of an answer: against something else that listens there
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}


class NoAnswer(Exception):
    """Nobody answers there, or not as a gateway does; the message says what, and what mends it."""


class Door(NamedTuple):
    """Where to ask: an address, and how to trust who is there, None for plain HTTP."""

    bind: Bind
    tls: ssl.SSLContext | None = None

    def __str__(self) -> str:
        return f"https://{self.bind}" if self.tls is not None else str(self.bind)


class Answer(NamedTuple):
    """What was answered: `value` is its JSON."""

    status: int
    value: Any


def parse_door(text: str) -> tuple[Bind, bool]:
    """(address, over TLS?) of `127.0.0.1:9090`, `unix:/run/admin.sock`, `https://gateway.internal:9090`. Raises
    ValueError."""
    scheme, slashes, rest = text.partition("://")
    if not slashes:
        return parse_bind(text), False
    if scheme not in {"http", "https"}:
        raise ValueError(f"{text!r} is not an admin address: write for example 127.0.0.1:9090 or https://HOST:9090")
    return parse_bind(rest.rstrip("/")), scheme == "https"


def trust(ca: Path | None, certificate: Path | None) -> ssl.SSLContext:
    """How a TLS listener is spoken to: `ca` are authorities (or the listener's own certificate) in place of the
    system's, `certificate` is our own with its key, in one PEM file. Raises NoAnswer for files that are wrong."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    at = ca
    try:
        if ca is not None:
            context.load_verify_locations(cafile=ca)
        at = certificate
        if certificate is not None:
            context.load_cert_chain(certificate)
    except OSError as error:  # ssl.SSLError is one
        why = "it is not what it should be" if isinstance(error, ssl.SSLError) else error.strerror
        raise NoAnswer(f"{at} cannot be used: {why}.") from None
    return context


class Question(NamedTuple):
    """A request; `body` is a JSON value."""

    method: str
    path: str
    body: Any = None


def ask(door: Door, question: Question, token: str = "", patience: float = PATIENCE) -> Answer:
    """One request on a connection of its own. Raises NoAnswer."""
    fields = {"Authorization": f"Bearer {token}"} if token else {}
    sent = None
    if question.body is not None:
        sent = json.dumps(question.body)
        fields["Content-Type"] = "application/json"
    connection = http.client.HTTPConnection("localhost", timeout=patience)
    try:
        connection.sock = _connect(door, patience)
        connection.request(question.method, question.path, sent, fields)
        response = connection.getresponse()
        return Answer(response.status, json.loads(response.read(MOST_BYTES)))
    except ssl.SSLCertVerificationError as error:
        advice = "name its authority with --ca FILE, and it by a name in its certificate with --admin https://NAME:PORT"
        raise NoAnswer(f"The certificate at {door} is not trusted: {error.verify_message}: {advice}.") from None
    except ssl.SSLError as error:
        word = (error.reason or "").replace("_", " ").lower()
        raise NoAnswer(f"No gateway answers at {door} over TLS ({word}): does it want --cert FILE?") from None
    except TimeoutError:
        raise NoAnswer(f"The gateway at {door} does not answer within {patience:g}s.") from None
    except OSError as error:
        raise NoAnswer(f"No gateway answers at {door}: {error.strerror or error}.") from None
    except http.client.HTTPException:
        raise NoAnswer(f"What answers at {door} does not speak HTTP.") from None
    except ValueError:
        raise NoAnswer(f"What answers at {door} is not the admin listener of a gateway.") from None
    finally:
        connection.close()


def _connect(door: Door, patience: float) -> socket.socket:
    bind = door.bind
    if not bind.path:
        opened = socket.create_connection((_EVERYWHERE.get(bind.host, bind.host), bind.port), patience)
        if door.tls is None:
            return opened
        with opened:  # wrapping takes it over
            return door.tls.wrap_socket(opened, server_hostname=_EVERYWHERE.get(bind.host, bind.host))
    opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        opened.settimeout(patience)
        opened.connect(bind.path)
    except OSError:
        opened.close()
        raise
    return opened
