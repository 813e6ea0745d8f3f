"""What lies in deploy/ fits the gateway: image, composition, monitoring, units."""

from __future__ import annotations

import configparser
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.config import load
from gateway.schema import parse_duration
from gateway.supervision.stopping import Times
from gateway.usage import make_parser

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
MONITORING = DEPLOY / "monitoring"
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
DOCKERFILE = (ROOT / "Dockerfile").read_text()
OTHERS = {"up"}  # Prometheus' own
ROW = re.compile(r"^\| `(gateway_\w+)` \| (\w+) \| ([^|]*) \|", re.MULTILINE)


def known() -> dict[str, set[str]]:
    """Every series of the generated reference, with the labels that are told there."""
    found = {}
    for name, kind, labels in ROW.findall((ROOT / "docs/reference/metrics.md").read_text()):
        names = set(re.findall(r"`(\w+)`", labels))
        suffixes = ("_bucket", "_sum", "_count") if kind == "histogram" else ("",)
        found |= {name + suffix: names | ({"le"} if suffix == "_bucket" else set()) for suffix in suffixes}
    return found


def alerts() -> list[dict[str, Any]]:
    groups = yaml.safe_load((MONITORING / "alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def dashboard() -> dict[str, Any]:
    found = json.loads((MONITORING / "grafana/dashboards/gateway.json").read_text())
    assert isinstance(found, dict)
    return found


def expressions() -> list[str]:
    """All of PromQL that is written here."""
    whole = dashboard()
    panels = [target["expr"] for panel in whole["panels"] for target in panel.get("targets", ())]
    notes = [one["expr"] for one in whole["annotations"]["list"]]
    variables = [one["definition"] for one in whole["templating"]["list"]]
    return [*panels, *notes, *variables, *(rule["expr"] for rule in alerts())]


@pytest.mark.parametrize("expression", expressions())
def test_every_metric_exists(expression: str) -> None:
    """Names of metrics and the labels they are chosen by are those of the reference; brackets come in pairs."""
    series = known()
    names = set(re.findall(r"\bgateway_\w+|\bup\b", re.sub(r'"[^"]*"', "", expression)))
    assert names
    assert names <= series.keys() | OTHERS
    for name, chosen in re.findall(r"\b(gateway_\w+)\{([^}]*)\}", expression):
        labels = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", chosen)) - {"instance", "job"}
        assert labels <= series[name], name
    for opening, closing in ("()", "[]", "{}"):
        assert expression.count(opening) == expression.count(closing)


def test_every_alert_can_be_acted_on() -> None:
    """Each says how bad it is, what is the matter and where to look."""
    assert len(alerts()) > 10
    for rule in alerts():
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert rule["annotations"].keys() == {"summary", "description"}
    assert len({rule["alert"] for rule in alerts()}) == len(alerts())


def test_panels_do_not_overlap() -> None:
    """Every panel has its own place within the 24 columns, its own id, and the provisioned source of data."""
    taken: set[tuple[int, int]] = set()
    panels = dashboard()["panels"]
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(x for x, _y in cells) < 24
        taken |= cells
    assert len({panel["id"] for panel in panels}) == len(panels)
    source = yaml.safe_load((MONITORING / "grafana/provisioning/datasources/prometheus.yaml").read_text())
    uids = {panel["datasource"]["uid"] for panel in panels if panel["type"] != "row"}
    assert uids == {source["datasources"][0]["uid"]}


def test_the_composition_fits_together() -> None:
    """Whatever is mounted exists, whoever is named is a service, ports are those of the configuration."""
    services = COMPOSE["services"]
    assert services.keys() == {"app", "gateway", "prometheus", "grafana", "redis"}
    for service in services.values():
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert (DEPLOY / source).exists() if source.startswith(".") else source in COMPOSE["volumes"]
    config = load(DEPLOY / "compose/config.yaml").config
    assert services["gateway"]["ports"] == [f"8080:{config.listeners[0].bind.port}"]
    assert config.upstreams["app"].endpoints[0].url == "http://app:3000"
    assert services["app"]["command"] == ["--listen", "0.0.0.0:3000"]
    scraped = yaml.safe_load((MONITORING / "prometheus.yml").read_text())
    target = scraped["scrape_configs"][0]["static_configs"][0]["targets"][0]
    assert config.admin.probe is not None
    assert target == f"gateway:{config.admin.probe.port}"
    source = yaml.safe_load((MONITORING / "grafana/provisioning/datasources/prometheus.yaml").read_text())
    assert source["datasources"][0]["url"] == "http://prometheus:9090"
    assert all((MONITORING / name).is_file() for name in scraped["rule_files"])


def test_the_composition_gives_few_rights_and_enough_time() -> None:
    """What we build runs with a file system that it cannot write and no capability, and is not killed while it drains."""
    for name in ("app", "gateway"):
        service = COMPOSE["services"][name]
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert parse_duration(service["stop_grace_period"]) > longest(DEPLOY / "compose/config.yaml")


def longest(config: Path) -> float:
    """Seconds that a stop may take."""
    times = Times.of(load(config).config.shutdown, quick=False)
    return times.notice + max(times.drain, times.streams)


def test_the_image_starts_a_command_that_exists() -> None:
    """Entry point and arguments are a command line of the gateway; it is not root, and SIGTERM ends it."""
    entry, arguments = (
        json.loads(re.findall(rf"^{name} (\[.*\])$", DOCKERFILE, re.MULTILINE)[-1]) for name in ("ENTRYPOINT", "CMD")
    )
    assert entry == ["gateway"]
    assert make_parser()[0].parse_args(arguments).command == "run"
    assert "\nUSER 10001\n" in DOCKERFILE
    assert "\nSTOPSIGNAL SIGTERM\n" in DOCKERFILE
    copied = [line.split()[1] for line in re.findall(r"^COPY (?!--from).*$", DOCKERFILE, re.MULTILINE)]
    allowed = {
        line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")
    }
    assert set(copied) == allowed


def test_the_units_call_commands_that_exist() -> None:
    """The service runs and checks the same file with commands of the gateway, and waits longer than a drain lasts."""
    unit = configparser.ConfigParser(strict=False, interpolation=None, delimiters="=")
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    text = (DEPLOY / "systemd/gateway.service").read_text()
    unit.read_string(text)
    calls = [shlex.split(line) for line in re.findall(r"^Exec\w+=(/opt/gateway/\S+ .*)$", text, re.MULTILINE)]
    assert [make_parser()[0].parse_args(call[1:]).command for call in calls] == ["run", "check"]
    assert {call[-1] for call in calls} == {"/etc/gateway/config.yaml"}
    service = unit["Service"]
    assert service["Type"] == "notify"
    assert service["AmbientCapabilities"] == service["CapabilityBoundingSet"] == "CAP_NET_BIND_SERVICE"
    assert int(service["TimeoutStopSec"]) > longest(ROOT / "tests/config/good/smallest.yaml")
    sockets = (DEPLOY / "systemd/gateway.socket").read_text()
    assert re.findall(r"^ListenStream=(\d+)$", sockets, re.MULTILINE) == ["80", "443"]
