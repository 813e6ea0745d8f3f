"""The composition root: sockets before all else, a life from start to exit code, and what the admin side is told.

How a whole process behaves is shown by tests/scenarios (test_ends.py, test_renewal.py, test_first_steps.py).
"""

from __future__ import annotations

import gc
import logging
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from gateway import app
from gateway.config import ConfigError, Loaded, load
from gateway.development import make_development_certificates
from gateway.site import build_site
from tests.kit.http_client import Client
from tests.kit.process import free_port


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    """A serving process sets up logging, signals and the collector for itself; here others come after it."""
    root = logging.getLogger()
    handlers, level, thresholds = root.handlers[:], root.level, gc.get_threshold()
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
    signals = [signal.getsignal(number) for number in numbers]
    yield
    for number, known in zip(numbers, signals, strict=True):
        signal.signal(number, known)
    gc.unfreeze()
    gc.set_threshold(*thresholds)
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def loaded(folder: Path, *binds: str, more: str = "") -> Loaded:
    path = folder / "config.yaml"
    listeners = "".join(f"  - {{bind: {bind}}}\n" for bind in binds)
    admin = "" if "admin:" in more else "admin: {bind: null}\n"
    path.write_text(f"listeners:\n{listeners}routes: [{{respond: {{status: 200, body: here}}}}]\n{admin}{more}")
    return load(path)


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return probe.connect_ex(("127.0.0.1", port)) != 0


class Visitor:
    """Asks once it serves, from a thread, and then sends the signal that ends it."""

    def __init__(self, address: tuple[str, int] | str, number: int = signal.SIGTERM) -> None:
        self._address = address
        self._number = number
        self.body = b""
        self.thread = threading.Thread(target=self._visit)

    def _visit(self) -> None:
        try:
            with Client(self._address) as client:
                self.body = client.ask("GET", "/").body
        finally:
            signal.pthread_kill(threading.main_thread().ident or 0, self._number)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_life(tmp_path: Path, number: int) -> None:
    """It serves, says so when it does, ends by a signal with code 0, and leaves no socket open."""
    port = free_port()
    visitor = Visitor(("127.0.0.1", port), number)
    assert app.run(loaded(tmp_path, f"127.0.0.1:{port}"), visitor.thread.start) == app.CLEAN
    visitor.thread.join(20)
    assert visitor.body == b"here"
    assert is_free(port)


def test_a_life_on_a_unix_socket(tmp_path: Path) -> None:
    """Its socket file goes with it."""
    path = tmp_path / "s.sock"
    visitor = Visitor(str(path))
    assert app.run(loaded(tmp_path, f"unix:{path}"), visitor.thread.start) == app.CLEAN
    visitor.thread.join(20)
    assert visitor.body == b"here"
    assert not path.exists()


def test_a_busy_address_ends_it_before_it_begins(tmp_path: Path) -> None:
    """The address is named, what was open already is closed, and nobody was told that it serves."""
    first = free_port()
    told: list[bool] = []
    with socket.create_server(("127.0.0.1", 0)) as taken:
        busy = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(OSError, match="in use") as wrong:
            app.run(loaded(tmp_path, f"127.0.0.1:{first}", busy), lambda: told.append(True))
        assert wrong.value.filename == busy
        with pytest.raises(OSError, match="in use") as wrong:
            app.run(
                loaded(tmp_path, f"127.0.0.1:{first}", more=f"admin: {{bind: {busy}}}\n"), lambda: told.append(True)
            )
        assert wrong.value.filename == busy
    assert told == []
    assert is_free(first)


def test_stores_belong_to_listeners(tmp_path: Path) -> None:
    """A listener with TLS has a store, a plain one has none, in their order."""
    make_development_certificates(tmp_path / "certs")
    more = '  - {bind: "127.0.0.1:2", tls: {certificates: certs/}}\nroutes: [{respond: 204}]\n'
    path = tmp_path / "config.yaml"
    path.write_text(f'listeners:\n  - {{bind: "127.0.0.1:1"}}\n{more}')
    plain, secure = app.certificate_stores(load(path), print)
    assert plain is None
    assert secure is not None
    assert "localhost" in secure.entries()[0].names


def test_unusable_certificates_have_a_place(tmp_path: Path) -> None:
    """A folder without certificates is a mistake at the listener that names it."""
    path = tmp_path / "config.yaml"
    path.write_text('routes: [{respond: 204}]\nlisteners:\n  - bind: "127.0.0.1:2"\n    tls: {certificates: gone/}\n')
    with pytest.raises(ConfigError) as wrong:
        app.certificate_stores(load(path), print)
    assert str(wrong.value.problems[0]).startswith(f"{path}:4:")
    assert "gone" in str(wrong.value.problems[0])


def test_upstreams_are_shown(tmp_path: Path) -> None:
    """The admin side learns names, weights and the state of each pool."""
    path = tmp_path / "config.yaml"
    path.write_text('upstreams: {app: {endpoints: [{url: "http://a:1", weight: 3}]}}\nroutes: [{upstream: app}]\n')
    site = build_site(load(path))
    assert app.upstream_status(site.upstreams["app"]) == {
        "name": "app",
        "endpoints": [
            {
                "name": "a:1",
                "weight": 3,
                "connections": {"idle": 0, "active": 0, "connecting": 0, "queued": 0},
            }
        ],
    }
