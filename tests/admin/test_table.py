"""The table of operations, and the way to a row of it."""

from __future__ import annotations

import pytest

from gateway.admin.table import OPERATIONS, Table


@pytest.fixture
def table() -> Table:
    return Table(OPERATIONS)


def test_every_operation_is_found(table: Table) -> None:
    """By its path and its method; HEAD is GET."""
    for operation in OPERATIONS:
        found = table.find(operation.path)
        assert found is not None
        assert found.operation(operation.method) is operation
        if operation.method == "GET":
            assert found.operation("HEAD") is operation
            assert "HEAD" in found.allowed


def test_rows_are_sound() -> None:
    """Each is a page or an order, under a name of its own; what has a body is an order."""
    names = [operation.name for operation in OPERATIONS]
    assert len(set(names)) == len(names)
    for operation in OPERATIONS:
        assert (operation.page is None) != (operation.order is None)
        assert (operation.method == "GET") == (operation.page is not None)
        assert operation.body is None or operation.method == "PUT"


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/upstreams/app/endpoints/10.0.0.5:3000/drain", {"upstream": "app", "endpoint": "10.0.0.5:3000"}),
        (
            "/upstreams/a%20b/endpoints/unix:%2Frun%2Fapp.sock/drain",
            {"upstream": "a b", "endpoint": "unix:/run/app.sock"},
        ),
        ("/upstreams/%C3%BC/endpoints/%255/drain", {"upstream": "ü", "endpoint": "%5"}),
    ],
)
def test_names_are_decoded_once(table: Table, path: str, words: dict[str, str]) -> None:
    """A slash in a name is written %2F."""
    found = table.find(path)
    assert found is not None
    assert found.words == words


@pytest.mark.parametrize(
    "path",
    [
        "",
        "status",
        "/status/",
        "/Status",
        "/upstreams//endpoints/a/drain",
        "/upstreams/a/endpoints//drain",
        "/upstreams/a/endpoints/b/c/drain",
        "/upstreams/%FF/endpoints/b/drain",
        "/upstreams/a/endpoints/b/pour",
    ],
)
def test_nothing_else_is(table: Table, path: str) -> None:
    """No normalisation, no empty names, no bytes that are no text."""
    assert table.find(path) is None
