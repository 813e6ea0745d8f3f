"""The who-writes-what table of exchange.py: every slot is in it, and nobody else writes."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

import gateway.exchange
from gateway.exchange import Connection, Exchange, TlsFacts, Verdict
from gateway.http.message import Response
from tests.kit.exchanges import make_request, make_tls

PACKAGE = Path(gateway.exchange.__file__).parent
ROW = re.compile(r"    (\w+) {2,}(\S.*?) {2,}(\S.*)")

# Writers as the table names them, and the modules that they are. A feature of a phase is any filter.
MODULES = {
    "server": {"server/http1", "server/turn"},
    "server/http1": {"server/http1"},
    "server/turn": {"server/turn", "server/response_writer"},
    "filters": {"filters/*"},
    "pipeline": {"pipeline"},
    "cache": {"cache/*"},
    "proxy": {"proxy", "delivery"},
    "maintenance": {"maintenance"},
}
# Modules that fill in an exchange of their own, to show what a line of the log looks like.
EXAMPLES = {"admin/reference"}


def table() -> dict[str, set[str]]:
    """Field → the writers that a row of the docstring names for it."""
    found: dict[str, set[str]] = {}
    for line in (gateway.exchange.__doc__ or "").splitlines():
        row = ROW.fullmatch(line)
        if row is None or row[1] == "step" or row[3] == "nothing":
            continue
        writers, named = row[2].split(", "), re.sub(r"\([^)]*\)", "", row[3])
        for field in re.findall(r"\b[a-z_]+\b", named):
            found.setdefault(field, set()).update(writers)
    return found


@cache
def assignments() -> list[tuple[str, int, str]]:
    """(module, line, field) of every assignment to an attribute of something called `exchange` or `_exchange`."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        module = path.relative_to(PACKAGE).with_suffix("").as_posix()
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Attribute) or not isinstance(node.ctx, ast.Store | ast.Del):
                continue
            owner = node.value
            name = owner.id if isinstance(owner, ast.Name) else owner.attr if isinstance(owner, ast.Attribute) else ""
            if name.strip("_") == "exchange":
                found.append((module, node.lineno, node.attr))
    return found


def allowed(module: str, writers: set[str]) -> bool:
    modules = {each for writer in writers for each in MODULES[writer]}
    return module in modules or f"{module.partition('/')[0]}/*" in modules


def test_every_slot_is_in_the_table() -> None:
    """A field that nobody is named for has no writer, or too many."""
    assert set(Exchange.__slots__) - set(table()) == set()


def test_the_table_names_nothing_else() -> None:
    """A row for what is no field any more misleads."""
    assert set(table()) - set(Exchange.__slots__) == set()


def test_every_writer_is_known() -> None:
    """The table names modules, not people."""
    assert {writer for writers in table().values() for writer in writers} <= set(MODULES)


def test_only_its_writer_writes_a_field() -> None:
    """No module assigns to a field of the Exchange that the table gives to others."""
    rows = table()
    offences = [
        f"gateway/{module}.py:{line}: exchange.{field} is written by {', '.join(sorted(rows.get(field, {'nobody'})))}"
        for module, line, field in assignments()
        if module not in EXAMPLES and not allowed(module, rows.get(field, set()))
    ]
    if offences:
        pytest.fail("\n".join(offences), pytrace=False)


def test_the_walk_sees_what_it_looks_for() -> None:
    """Plain, augmented, tuple and `self._exchange` targets are all found, so that silence means something."""
    fields = {(module, field) for module, _line, field in assignments()}
    assert {("pipeline", "route"), ("proxy", "attempts"), ("server/turn", "sent"), ("admin/reference", "endpoint")} <= (
        fields
    )


def test_a_new_exchange_knows_what_its_connection_knows() -> None:
    """The peer is the client until a filter knows better; nothing has been decided."""
    connection = Connection("192.0.2.7", 50000, "127.0.0.1:80", ":80", 3.0)
    exchange = Exchange(connection, make_request(), 7.5)
    assert (exchange.client, exchange.scheme, exchange.now, exchange.started) == ("192.0.2.7", "http", 7.5, 7.5)
    assert (exchange.trusted, exchange.chain, exchange.id) == (False, b"", b"")
    for name in ("source", "site", "route", "verdict", "key", "entry", "cache_status", "fault", "response"):
        assert getattr(exchange, name) is None
    for name in ("attempts", "sent", "ended", "upstream_seconds"):
        assert getattr(exchange, name) == 0


def test_tls_makes_the_scheme() -> None:
    """https is what came over TLS, on the connection and on its exchanges."""
    connection = Connection("192.0.2.7", 50000, "127.0.0.1:443", ":443", 0.0)
    assert connection.scheme == "http"
    connection.tls = make_tls()
    assert connection.scheme == "https"
    assert Exchange(connection, make_request(), 0.0).scheme == "https"


def test_slots_only() -> None:
    """What is made per request and per connection has no dict, and a misspelt field is an error."""
    connection = Connection("", 0, "unix:/run/g.sock", "unix:/run/g.sock", 0.0, unix=True)
    exchange = Exchange(connection, make_request(), 0.0)
    for made in (connection, exchange):
        assert not hasattr(made, "__dict__")
    assert (connection.unix, connection.behind_proxy, connection.requests) == (True, False, 0)
    assert {name for name in Exchange.__slots__ if not hasattr(exchange, name)} == set()


def test_a_verdict_says_who_and_why() -> None:
    """A denial cannot forget its reason."""
    verdict = Verdict("firewall", "bad-bots", Response(403, []))
    assert (verdict.by, verdict.rule, verdict.reply.status) == ("firewall", "bad-bots", 403)
    assert TlsFacts._fields[:3] == ("version", "cipher", "server_name")
