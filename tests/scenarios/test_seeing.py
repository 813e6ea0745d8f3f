"""What it tells of itself: health, metrics, configuration, certificates, the access log; to whom, and what never."""

from __future__ import annotations

import json
import re
import ssl
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway import __version__
from gateway.development import make_development_certificates
from tests.kit.http_client import Client
from tests.kit.origin import Asked, Origin, Talk
from tests.kit.process import Gateway, free_port, get, settled, until, write_config

pytestmark = pytest.mark.e2e

SECRET = "correct-horse-battery"
PASSWORD = "another-long-secret"


async def thousand(asked: Asked, talk: Talk) -> None:
    """A thousand bytes."""
    await talk.answer(bytes(1000))


class House(NamedTuple):
    gateway: Gateway
    origin: Origin
    folder: Path
    http: int
    https: int
    admin: int
    probe: int
    dead: int

    def metrics(self, port: int = 0) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
        """Every sample, by name and labels; the text must be readable for Prometheus."""
        answer = get(port or self.admin, "/metrics")
        assert answer["content-type"].startswith("text/plain")
        return {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(answer.text)
            for sample in family.samples
        }

    def exchanges(self) -> float:
        """All that were counted."""
        return sum(value for (name, _), value in self.metrics().items() if name == "gateway_requests_total")

    def value(self, name: str, **labels: str) -> float:
        return self.metrics().get((name, tuple(sorted(labels.items()))), 0.0)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("seeing")
    make_development_certificates(folder / "certs")
    folder.joinpath("password").write_text(f"{PASSWORD}\n")
    http, https, admin, probe, dead = (free_port() for _ in range(5))
    with Origin({"/thousand": thousand}) as origin:
        write_config(
            folder,
            listeners=[
                {"bind": f"127.0.0.1:{http}"},
                {"bind": f"127.0.0.1:{https}", "tls": {"certificates": "certs/"}},
            ],
            upstreams={
                "app": {"endpoints": [origin.url]},
                "dead": {"endpoints": [f"http://127.0.0.1:{dead}"]},
            },
            routes=[
                {"name": "all", "upstream": "app"},
                {"name": "counted", "match": {"path": "/thousand"}, "upstream": "app"},
                {"name": "broken", "match": {"path": "/dead"}, "upstream": "dead"},
                {"name": "away", "match": {"path": "/away"}, "redirect": "/"},
                {"name": "quiet", "match": {"path": "/quiet"}, "respond": 204, "access_log": "off"},
                {
                    "name": "secret",
                    "match": {"path": "/secret"},
                    "upstream": "app",
                    "request_headers": {
                        "set": {"X-Key": "${env:TEST_KEY}", "X-Pass": "Basic ${file:password}", "X-Plain": "shown"}
                    },
                },
            ],
            access_log={"format": "json", "headers": ["x-version"]},
            admin={"bind": f"127.0.0.1:{admin}", "probe": f"127.0.0.1:{probe}", "hosts": ["gateway.internal"]},
        )
        with Gateway(folder, "-c", "config.yaml", environ={"TEST_KEY": SECRET}) as gateway:
            yield House(gateway, origin, folder, http, https, admin, probe, dead)


def test_counts_match_what_was_sent(house: House) -> None:
    """Requests, bytes, latencies and errors are counted by route, method, status and cause."""
    name, labels = "gateway_requests_total", {"route": "counted", "method": "GET", "status": "2xx"}
    settled(house.exchanges)  # lines and counts come in batches: those of other tests are not ours
    before = house.metrics()

    def grown(series: str, **wanted: str) -> float:
        key = (series, tuple(sorted(wanted.items())))
        return house.metrics().get(key, 0.0) - before.get(key, 0.0)

    with Client(("127.0.0.1", house.http)) as client:
        for _ in range(25):
            assert len(client.ask("GET", "/thousand").body) == 1000
        for _ in range(7):
            client.ask("GET", "/dead")
        for _ in range(3):
            assert client.ask("GET", "/away").status == 308
        assert client.ask("GET", "/quiet").status == 204
    assert until(lambda: grown("gateway_requests_total", route="quiet", method="GET", status="2xx") == 1)
    assert grown(name, **labels) == 25
    assert grown("gateway_response_body_bytes_total", route="counted") == 25_000
    assert grown("gateway_request_duration_seconds_count", route="counted") == 25
    assert grown("gateway_request_duration_seconds_bucket", route="counted", le="+Inf") == 25
    assert grown("gateway_upstream_duration_seconds_count", upstream="app") == 25
    assert grown("gateway_requests_total", route="broken", method="GET", status="5xx") == 7
    # Refused again and again, an endpoint is soon not even asked any more.
    assert sum(grown("gateway_errors_total", cause=cause) for cause in ("connect_refused", "no_endpoint")) == 7
    assert grown("gateway_verdicts_total", filter="redirect") == 3
    assert grown("gateway_responses_total", status="308") == 3
    endpoint = f"127.0.0.1:{house.dead}"
    failures = {"upstream": "dead", "endpoint": endpoint, "cause": "connect_refused"}
    assert grown("gateway_upstream_connect_failures_total", **failures) >= 7


def test_a_client_cannot_invent_labels(house: House) -> None:
    """Methods and paths that a client makes up are no labels."""
    with Client(("127.0.0.1", house.http)) as client:
        client.request("PROPFIND", "/invented")
        client.answer()
    assert until(lambda: house.value("gateway_requests_total", route="all", method="OTHER", status="2xx") == 1)
    assert "invented" not in get(house.admin, "/metrics").text


def test_connections_and_pools_are_gauges(house: House) -> None:
    """Open connections, pool states, handshakes, certificates and the build are to be seen."""
    tls = ssl.create_default_context(cafile=str(house.folder / "certs" / "ca.pem"))
    handshakes = house.value("gateway_tls_handshakes_total", result="ok")
    with Client(("127.0.0.1", house.https), tls) as client:
        assert client.ask("GET", "/x").status == 200
        assert house.value("gateway_connections_open") >= 1
        assert house.value("gateway_tls_handshakes_total", result="ok") == handshakes + 1
        labels = {"upstream": "app", "endpoint": f"127.0.0.1:{house.origin.port}"}
        assert house.value("gateway_upstream_connections", state="idle", **labels) >= 1
        assert house.value("gateway_upstream_connections", state="active", **labels) == 0
    names = {name for name, _labels in house.metrics()}
    assert {"gateway_draining", "process_resident_memory_bytes"} <= names
    assert [name for name in names if "certificate" in name]
    assert [name for name in names if "build" in name]
    assert until(lambda: house.value("gateway_connections_open") == 0)


def test_the_configuration_is_shown_without_secrets(house: House) -> None:
    """/config shows what is in force, and no value that came from a reference, anywhere on the admin side."""
    assert get(house.http, "/secret").status == 200
    asked = house.origin.wait_asked(1, "/secret")
    assert (asked["x-key"], asked["x-pass"]) == (SECRET, f"Basic {PASSWORD}")
    answer = get(house.admin, "/config")
    assert answer.json["upstreams"]["app"]["endpoints"][0]["url"] == house.origin.url
    assert "shown" in answer.text
    for page in ("/config", "/status", "/upstreams", "/certificates", "/metrics", "/"):
        text = get(house.admin, page).text
        assert SECRET not in text
        assert PASSWORD not in text
    assert SECRET not in house.gateway.said.text + house.gateway.log.text


def test_status_and_upstreams(house: House) -> None:
    """/status and /upstreams say what is served, by whom."""
    status = get(house.admin, "/status").json
    assert (status["version"], status["ready"], status["routes"], status["draining"]) == (__version__, True, 6, False)
    assert status["listeners"] == [f"127.0.0.1:{house.http}", f"127.0.0.1:{house.https}"]
    upstreams = {one["name"]: one for one in get(house.admin, "/upstreams").json}
    assert upstreams["app"]["endpoints"][0]["name"] == f"127.0.0.1:{house.origin.port}"
    certificate = get(house.admin, "/certificates").json[0]
    assert "localhost" in certificate["names"]


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]:9090", "gateway.internal", "GATEWAY.internal:9090"])
def test_known_hosts_are_answered(house: House, host: str) -> None:
    """The admin side answers under addresses, localhost and the names of admin.hosts."""
    assert get(house.admin, "/healthz", host=host).status == 200


@pytest.mark.parametrize("host", ["evil.test", "localhost.evil.test", "gateway.internal.evil.test"])
def test_other_hosts_are_refused(house: House, host: str) -> None:
    """A web page that points its own name here reads nothing (DNS rebinding)."""
    for page in ("/config", "/healthz", "/metrics"):
        assert get(house.admin, page, host=host).status == 421


def test_the_admin_side_only_answers_questions(house: House) -> None:
    """Other methods are refused, and pages say that they are not to be framed, stored or sniffed."""
    with Client(("127.0.0.1", house.admin)) as client:
        answer = client.ask("POST", "/config", body=b"{}")
    assert (answer.status, answer["allow"]) == (405, "GET, HEAD")
    answer = get(house.admin, "/")
    assert "default-src 'none'" in (answer["content-security-policy"] or "")
    assert answer["cache-control"] == "no-store"
    assert answer["server"] is None


def test_the_probe_listener_serves_three_pages(house: House) -> None:
    """The probe listener answers anybody, with health and metrics, and nothing else."""
    for page in ("/healthz", "/readyz", "/metrics"):
        assert get(house.probe, page, host="anything.test").status == 200
    for page in ("/", "/config", "/status", "/upstreams", "/certificates", "/healthz/", "/../config"):
        assert get(house.probe, page).status == 404
    assert house.metrics(house.probe)


def test_the_admin_side_is_not_on_the_front_door(house: House) -> None:
    """/metrics and its like on a listener of the gateway are paths like any other: the origin's."""
    for page in ("/metrics", "/healthz", "/config"):
        assert get(house.http, page).json["line"] == f"GET {page} HTTP/1.1"


def test_lines_say_what_happened(house: House) -> None:
    """A line of the access log holds the whole story of its exchange."""
    with Client(("127.0.0.1", house.http)) as client:
        answer = client.ask("GET", "/story?a=1", "User-Agent: tester/1", "Referer: http://x/", "X-Version: 7")
    line = house.gateway.logged(request_id=answer["x-request-id"])
    assert datetime.fromisoformat(line["time"]).tzinfo is not None
    wanted = {
        "client": "127.0.0.1", "method": "GET", "scheme": "http", "host": "localhost", "path": "/story",
        "query": "a=1", "protocol": "HTTP/1.1", "status": 200, "bytes_in": 0, "bytes_out": len(answer.body),
        "route": "all", "user_agent": "tester/1", "referer": "http://x/", "attempts": 1,
        "upstream": f"127.0.0.1:{house.origin.port}", "headers": {"x-version": "7"},
    }  # fmt: skip
    assert {name: line[name] for name in wanted} == wanted
    assert 0 < line["upstream_ms"] <= line["duration_ms"] < 10_000


def test_no_line_can_be_forged(house: House) -> None:
    """Whatever a client sends, each exchange is one line of valid JSON."""
    before = house.gateway.log.count()
    agents = [b'"}\\n{"x":"', b"\xff\xfe", "\u2028\u202e".encode(), b"%s%n", b"a" * 6000]
    with Client(("127.0.0.1", house.http)) as client:
        for agent in agents:
            client.send(b"GET /forged HTTP/1.1\r\nHost: localhost\r\nUser-Agent: " + agent + b"\r\n\r\n")
            assert client.answer().status == 200
    house.gateway.log.first(lambda line: True if "aaaa" in line else None, before)
    lines = [json.loads(line) for line in house.gateway.log]
    forged = [line for line in lines if line["path"] == "/forged"]
    assert len(forged) == len(agents)
    assert all(len(line) <= 4096 for line in house.gateway.log)
    assert all(line.rstrip("\n").isprintable() for line in house.gateway.log)


def test_a_quiet_route_has_no_line(house: House) -> None:
    """`access_log: off` writes none, and the request is counted all the same."""
    answer = get(house.http, "/quiet")
    other = get(house.http, "/loud")
    house.gateway.logged(request_id=other["x-request-id"])
    assert answer["x-request-id"] not in house.gateway.log.text


def test_every_metric_is_documented(house: House) -> None:
    """What /metrics shows stands in docs/reference/metrics.md."""
    page = Path(__file__).resolve().parents[2].joinpath("docs/reference/metrics.md").read_text()
    text = get(house.admin, "/metrics").text
    names = {found[1] for found in re.finditer(r"^# TYPE (gateway_\w+) ", text, re.MULTILINE)}
    assert names
    assert [name for name in sorted(names) if f"`{name}`" not in page] == []


def test_half_the_world_scrapes_openmetrics(house: House) -> None:
    """A scraper that asks for OpenMetrics gets it."""
    answer = get(house.probe, "/metrics", "Accept: application/openmetrics-text; version=1.0.0")
    assert answer["content-type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")
