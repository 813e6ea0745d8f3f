"""A running gateway looked into and steered by `gateway ctl`, as its operator would."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.kit.origin import Origin
from tests.kit.process import Gateway, command, free_port, get, until, write_config

pytestmark = pytest.mark.e2e


class House(NamedTuple):
    """A gateway before an origin, on the route `all`, and before nobody, on the route `gone`."""

    folder: Path
    port: int
    config: dict[str, Any]
    gateway: Gateway

    def ctl(self, *words: str) -> tuple[int, str, str]:
        return command("ctl", *words, folder=self.folder)

    def reload(self, **changed: Any) -> tuple[int, str, str]:
        write_config(self.folder, **(self.config | changed))
        return command("reload", folder=self.folder)

    def audited(self) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.gateway.said if line.startswith("{")]
        return [line for line in lines if line["event"] == "admin write"]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    port, nobody = free_port(), free_port()
    with Origin({}) as origin:
        config = {
            "listeners": [{"bind": f"127.0.0.1:{port}"}],
            "upstreams": {"app": {"endpoints": [origin.url]}, "gone": {"endpoints": [f"http://127.0.0.1:{nobody}"]}},
            "routes": [
                {"name": "gone", "match": {"path": "/gone"}, "upstream": "gone"},
                {"name": "all", "upstream": "app"},
            ],
            "admin": {"bind": f"unix:{tmp_path}/admin.sock"},
            "state_dir": "state",
            "workers": 2,
        }
        write_config(tmp_path, **config)
        with Gateway(tmp_path) as gateway:
            yield House(tmp_path, port, config, gateway)


def test_a_reload_is_waited_for(house: House) -> None:
    """`gateway reload` ends when every worker serves the new configuration, or says what is wrong, and changes nothing."""
    routes = [*house.config["routes"], {"name": "new", "match": {"path": "/new"}, "respond": 418}]
    code, out, err = house.reload(routes=routes)
    assert (code, err) == (0, "")
    assert out.startswith("Configuration 2 is in force")  # "as before", if the watched file was quicker
    assert [get(house.port, "/new").status for _ in range(8)] == [418] * 8
    code, out, err = house.reload(routes=[{"name": "new", "upstraem": "app"}])
    assert (code, out) == (1, "")
    assert "did you mean `upstream`?" in err
    assert get(house.port, "/new").status == 418
    assert "refused" in house.ctl("status")[1]
    assert [(line["outcome"], line["status"]) for line in house.audited()] == [("done", 200), ("refused", 422)]


def test_failures_are_found_by_their_ids(house: House) -> None:
    """Whoever failed can be asked for the id on the error page: /errors has it, from whichever worker."""
    ids = {get(house.port, "/gone")["x-request-id"] for _ in range(6)}
    listed = until(lambda: found if len(found := json.loads(house.ctl("errors", "--json")[1])) == 6 else None)
    assert {one["request_id"] for one in listed} == ids
    assert {(one["cause"], one["route"], one["status"]) for one in listed} == {("connect_refused", "gone", 502)}
    assert "connect_refused" in house.ctl("errors")[1]


def test_maintenance_comes_and_goes(house: House) -> None:
    """503 with the delay that was named, for all or for one route; a route that is not there is refused."""
    assert (
        house.ctl("maintenance", "on", "--route", "all", "--message", "Back at noon.", "--retry-after", "30m")[0] == 0
    )
    answer = until(lambda: found if (found := get(house.port)).status == 503 else None)
    assert answer["retry-after"] == "1800"
    assert get(house.port, "/gone").status == 502
    assert house.ctl("maintenance", "off", "--route", "all")[0] == 0
    until(lambda: all(get(house.port).status == 200 for _ in range(4)))
    code, _out, err = house.ctl("maintenance", "on", "--route", "none")
    assert (code, "none" in err) == (1, True)


def test_nobody_else_steers(house: House) -> None:
    """Another token is refused and leaves a line without it; the gateway's own is for its user alone."""
    (house.folder / "guess").write_text("0" * 64)
    code, _out, err = house.ctl("log-level", "debug", "--token-file", str(house.folder / "guess"))
    assert (code, "that is not the token" in err) == (1, True)
    (line,) = house.audited()
    assert (line["status"], line["what"], "by" in line) == (401, "PUT /log/level", False)
    assert "0" * 64 not in house.gateway.said.text
    assert (house.folder / "state" / "admin-token").stat().st_mode & 0o777 == 0o600
