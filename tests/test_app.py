"""A worker process: forked with its role, it serves, answers supervisor and control process, and ends as it is told.

How whole gateways behave is shown by tests/scenarios.
"""

from __future__ import annotations

import os
import select
import socket
import traceback
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway import app
from gateway.changeover import build_generation
from gateway.config import Loaded, load
from gateway.config.parcel import pack
from gateway.metrics import Metrics
from gateway.server.listener import open_socket
from gateway.server.settings import Bind
from gateway.site import Services, build_site
from gateway.state.catalogue import Catalogue
from gateway.state.channel import Channel, Message
from gateway.state.segment import Segment
from gateway.state.totals import families
from gateway.supervision.roles import WorkerRole
from gateway.upstream.standing import Health
from tests.kit.http_client import Client

TEXT = 'listeners: [{bind: "127.0.0.1:8080"}]\naccess_log: off\nroutes: [{name: word, respond: {status: 200, body: one}}]\n'
PATIENCE = 20.0


def loaded(folder: Path, text: str = TEXT) -> Loaded:
    path = folder / "config.yaml"
    path.write_text(text)
    return load(path)


class Forked:
    """A worker, and the far ends of its channels."""

    def __init__(self, config: Loaded, sockets: dict[str, list[socket.socket]]) -> None:
        self.segment = Segment.create()
        self.catalogue = Catalogue(self.segment)
        self.supervisor, near = Channel.pair()
        self.control, near_control = Channel.pair()
        stores = build_generation(config, Services(), 0).stores
        role = WorkerRole(0, 0, 1, config, stores, self.segment, sockets, near, near_control)
        self.pid = os.fork()
        if self.pid == 0:
            code = 70
            try:
                self.supervisor.close()
                self.control.close()
                code = app.work(role)
            except BaseException:
                traceback.print_exc()
                raise
            finally:
                os._exit(code)
        for end in (near, near_control):
            end.close()
        self.waited: int | None = None

    def hear(self, channel: Channel) -> Message:
        """The next message on one of our ends."""
        assert select.select([channel], [], [], PATIENCE)[0], "the worker says nothing"
        return channel.receive()[0]

    def ask(self, body: dict[str, Any], fds: tuple[int, ...] = ()) -> dict[str, Any]:
        self.control.send({**body, "id": 7}, fds)
        answer = self.hear(self.control).body
        assert answer.pop("re") == 7
        return answer

    def code(self) -> int:
        """Waits for its end."""
        if self.waited is None:
            self.waited = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.waited


@contextmanager
def forked(folder: Path, text: str = TEXT) -> Iterator[tuple[Forked, int]]:
    """A worker that serves, and its port."""
    opened = open_socket(Bind("127.0.0.1", 0), 100)
    port = opened.getsockname()[1]
    it = Forked(loaded(folder, text), {"127.0.0.1:8080": [opened]})
    opened.close()
    try:
        yield it, port
    finally:
        it.supervisor.close()  # whatever the test did: without its supervisor it ends
        it.control.close()
        it.code()
        it.segment.close()


def word(port: int) -> bytes:
    with Client(("127.0.0.1", port)) as client:
        return bytes(client.ask("GET", "/").body)


def test_a_life(tmp_path: Path) -> None:
    """It says that it serves, counts in its lane, drains when told, says how that went, and ends with code 0."""
    with forked(tmp_path) as (it, port):
        assert it.hear(it.supervisor).body == {"tell": "ready", "generation": 1}
        assert word(port) == b"one"
        it.supervisor.send({"tell": "drain", "seconds": 5, "streams": 5})
        assert it.hear(it.supervisor).body == {"tell": "drained", "clean": True}
        assert it.code() == app.CLEAN
        (counted,) = [one for one in families(it.catalogue, it.segment) if one.name == "gateway_requests_total"]
        assert [sample.value for sample in counted.samples] == [1]


def test_it_is_cut_short_when_somebody_is_in_a_hurry(tmp_path: Path) -> None:
    """An open request holds the drain up; `quit` cuts it, and the exit code tells."""
    stuck = TEXT.replace("routes:", 'upstreams: {app: {endpoints: ["http://127.0.0.1:ORIGIN"]}}\nroutes:').replace(
        "respond: {status: 200, body: one}", "upstream: app"
    )
    with socket.create_server(("127.0.0.1", 0)) as origin:
        text = stuck.replace("ORIGIN", str(origin.getsockname()[1]))
        with forked(tmp_path, text) as (it, port), socket.create_connection(("127.0.0.1", port)) as client:
            it.hear(it.supervisor)
            client.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            held, _address = origin.accept()
            assert held.recv(1000)
            it.supervisor.send({"tell": "drain", "seconds": 60, "streams": 60})
            it.supervisor.send({"tell": "quit"})
            assert it.hear(it.supervisor).body == {"tell": "drained", "clean": False}
            assert it.code() == app.DRAIN_CUT_SHORT
            held.close()


def test_without_its_supervisor_it_drains(tmp_path: Path) -> None:
    """A worker that nobody holds sockets for any more does not go on: the next gateway may be about to begin."""
    with forked(tmp_path) as (it, port):
        it.hear(it.supervisor)
        assert word(port) == b"one"
        it.supervisor.close()
        assert it.code() == app.CLEAN


def test_what_it_cannot_serve_it_says(tmp_path: Path) -> None:
    """A page that is gone between the check and the fork: the reason reaches the supervisor."""
    page = tmp_path / "page.html"
    page.write_text("x")
    config = loaded(tmp_path, TEXT + "error_pages: {templates: {404: page.html}}\n")
    opened = open_socket(Bind("127.0.0.1", 0), 100)
    template = build_generation(config, Services(), 0).stores
    assert template == {}
    real = Forked.__init__
    it = Forked.__new__(Forked)

    def without_page(*arguments: Any) -> None:
        real(it, *arguments)

    _remove_before_fork(page, without_page, config, {"127.0.0.1:8080": [opened]})
    opened.close()
    failed = it.hear(it.supervisor).body
    assert failed["tell"] == "failed"
    assert "page.html" in failed["text"]
    assert it.code() == app.CANNOT_SERVE
    for one in (it.supervisor, it.control, it.segment):
        one.close()


def _remove_before_fork(page: Path, begin: Callable[..., None], *arguments: Any) -> None:
    fork = os.fork

    def fork_without() -> int:
        page.unlink()
        return fork()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fork", fork_without)
        begin(*arguments)


def test_both_phases_of_a_reload(tmp_path: Path) -> None:
    """What was prepared is served once it is committed, with a socket that came along; a faulty one is refused."""
    with forked(tmp_path) as (it, port):
        it.hear(it.supervisor)
        opened = open_socket(Bind("127.0.0.1", 0), 100)
        name = f"127.0.0.1:{opened.getsockname()[1]}"
        text = TEXT.replace("body: one", "body: two").replace(
            '[{bind: "127.0.0.1:8080"}]', f'[{{bind: "127.0.0.1:8080"}}, {{bind: "{name}"}}]'
        )
        parcel = b64encode(pack(loaded(tmp_path, text))).decode()
        prepare = {"ask": "prepare", "generation": 2, "binds": [name], "parcel": parcel}
        assert it.ask(prepare, (opened.fileno(),)) == {"ok": True}
        assert word(port) == b"one"
        assert it.ask({"ask": "commit", "generation": 2}) == {}
        assert word(port) == b"two"
        assert word(opened.getsockname()[1]) == b"two"
        assert it.ask({"ask": "status"})["value"]["generation"] == 2
        (tmp_path / "page.html").write_text("x")
        wrong = loaded(tmp_path, TEXT + "error_pages: {templates: {404: page.html}}\n")
        (tmp_path / "page.html").unlink()
        answer = it.ask({"ask": "prepare", "generation": 3, "binds": [], "parcel": b64encode(pack(wrong)).decode()})
        assert not answer["ok"]
        assert "page.html" in answer["problems"][0]
        assert word(port) == b"two"
        opened.close()


def test_it_stands_in_for_another(tmp_path: Path) -> None:
    """It serves the sockets of a share without a worker, and lets go of them when it is told."""
    with forked(tmp_path) as (it, port):
        it.hear(it.supervisor)
        with open_socket(Bind("127.0.0.1", 0), 100) as orphan:
            other = orphan.getsockname()[1]
            body = {"tell": "adopt", "of": 1, "binds": ["127.0.0.1:8080"]}
            it.supervisor.send(body, [orphan.fileno()])
            assert word(other) == b"one"
            it.supervisor.send({"tell": "unadopt", "of": 1})
            assert it.ask({"ask": "status"})["value"]["generation"] == 1  # the loop has turned
            waiting = socket.create_connection(("127.0.0.1", other), 5)
            waiting.close()
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(("127.0.0.1", other), 5)
        assert word(port) == b"one"


def test_what_only_a_worker_knows(tmp_path: Path) -> None:
    """Pools and functions of metrics are told when asked for."""
    with forked(tmp_path) as (it, _port):
        it.hear(it.supervisor)
        assert it.ask({"ask": "upstreams"}) == {"value": []}
        assert "gateway_connections_open" in [family[0] for family in it.ask({"ask": "gauges"})["value"]]


def test_upstreams_are_shown(tmp_path: Path) -> None:
    """The admin side learns names, weights and the state of each pool."""
    text = 'upstreams: {app: {endpoints: [{url: "http://a:1", weight: 3}]}}\nroutes: [{upstream: app}]\n'
    site = build_site(loaded(tmp_path, text), Services(metrics=Metrics()))
    (endpoint,) = app.upstream_status(site.upstreams["app"])["endpoints"]
    assert (endpoint["name"], endpoint["weight"]) == ("a:1", 3)
    assert endpoint["connections"] == {"idle": 0, "active": 0, "connecting": 0, "queued": 0}
    assert (endpoint["drained"], endpoint["ejected"]) == (False, False)
    assert "healthy" not in endpoint


def test_what_is_held_of_an_endpoint_is_shown(tmp_path: Path) -> None:
    """The operator's weight and drain, and what checks say where there are any."""
    text = 'upstreams: {app: {endpoints: ["http://a:1"], health: {path: /up}}}\nroutes: [{upstream: app}]\n'
    upstream = build_site(loaded(tmp_path, text), Services(metrics=Metrics())).upstreams["app"]
    (one,) = upstream.endpoints
    one.standing.set_weight(7, configured=1)
    one.standing.set_drained(1.0, drained=True)
    one.standing.set_health(Health.DOWN, 1.0)
    (shown,) = app.upstream_status(upstream)["endpoints"]
    assert (shown["weight"], shown["drained"], shown["healthy"]) == (7, True, False)
