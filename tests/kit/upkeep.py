"""A gateway of two workers for tests that look after it under load; the measuring is bench/upkeep's."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import uvloop

from bench.upkeep.crowd import echo_origin
from bench.upkeep.subject import Subject
from tests.kit.origin import Origin
from tests.kit.process import free_port

T = TypeVar("T")


@contextmanager
def subject(folder: Path, **more: Any) -> Iterator[Subject]:
    """It serves in `folder`, before an origin of pages; one of WebSockets is raised by `run`. Must end cleanly."""
    folder.mkdir(exist_ok=True)
    with Origin() as origin:
        pages = int(origin.url.rpartition(":")[2])
        with Subject(folder, pages, free_port(), **more) as it:
            yield it
    assert "a bug in the gateway" not in it.said
    assert it.code == 0, it.said


def run(it: Subject, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """On a loop of its own."""

    async def whole() -> T:
        async with echo_origin(it.sockets):
            return await work()

    return uvloop.run(whole())


def change(it: Subject, word: str) -> None:
    """Writes a configuration with a route that nobody asks for."""
    route = {"match": {"path": "/other"}, "respond": {"status": 200, "body": word}}
    it.write(it.config | {"routes": [route, *it.config["routes"]]})
