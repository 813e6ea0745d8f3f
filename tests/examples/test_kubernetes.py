"""The manifests of deploy/kubernetes agree with themselves and with the configuration that they carry."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway import cli
from gateway.config import Loaded, load
from gateway.development import make_development_certificates
from tests.kit.process import Gateway, free_port, get, until, write_config

KUBERNETES = Path(__file__).resolve().parents[2] / "deploy/kubernetes"
KINDS = {
    "edge": {"Namespace", "Deployment", "Service", "PodDisruptionBudget"},
    "sidecar": {"Deployment", "Service", "PodDisruptionBudget"},
}
SETS = sorted(KINDS)


def documents(name: str) -> Iterator[dict[str, Any]]:
    """Every resource and patch that the kustomization names."""
    whole = yaml.safe_load((KUBERNETES / name / "kustomization.yaml").read_text())
    for file in [*whole["resources"], *(patch["path"] for patch in whole.get("patches", ()))]:
        yield from yaml.safe_load_all((KUBERNETES / name / file).read_text())


def pod(name: str) -> dict[str, Any]:
    """The pod's specification that holds the gateway."""
    found = [one["spec"]["template"]["spec"] for one in documents(name) if one["kind"] == "Deployment"]
    return found[-1]


def container(name: str, of: str = "gateway") -> dict[str, Any]:
    return next(one for one in pod(name)["containers"] if one["name"] == of)


@pytest.fixture(params=SETS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def loaded(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Loaded:
    """The configuration of the ConfigMap, which `gateway check --strict` has nothing to say about."""
    make_development_certificates(tmp_path / "certs")
    text = (KUBERNETES / name / "config.yaml").read_text()
    path = tmp_path / "config.yaml"
    path.write_text(text.replace("/etc/gateway-certificates/", f"{tmp_path}/certs/"))
    assert cli.main(["check", "--strict", "-c", str(path)]) == cli.CLEAN, capsys.readouterr().err
    return load(path)


def test_every_kind_is_there(name: str) -> None:
    """A set has what it needs, and each file of its folder is part of it."""
    assert {one["kind"] for one in documents(name)} == KINDS[name]
    whole = yaml.safe_load((KUBERNETES / name / "kustomization.yaml").read_text())
    named = {*whole["resources"], *(patch["path"] for patch in whole.get("patches", ())), "config.yaml"}
    assert {path.name for path in (KUBERNETES / name).iterdir()} == {*named, "kustomization.yaml"}


def test_ports_are_those_of_the_configuration(name: str, loaded: Loaded) -> None:
    """Container ports are the listeners' and the probe's, on every address; probes and the service name them."""
    ports = {one["name"]: one["containerPort"] for one in container(name)["ports"]}
    binds = [one.bind for one in loaded.config.listeners]
    probe = loaded.config.admin.probe
    assert probe is not None
    assert {str(bind) for bind in (*binds, probe)} == {f"0.0.0.0:{port}" for port in ports.values()}
    assert ports["probe"] == probe.port
    service = next(one for one in documents(name) if one["kind"] == "Service")
    assert {one["targetPort"] for one in service["spec"]["ports"]} == ports.keys() - {"probe"}
    for kind, path in (("startupProbe", "/readyz"), ("readinessProbe", "/readyz"), ("livenessProbe", "/healthz")):
        assert container(name)[kind]["httpGet"] == {"path": path, "port": "probe"}


def test_scraping_finds_the_probe(name: str, loaded: Loaded) -> None:
    """The annotation that Prometheus looks for names the probe's port; the admin listener stays in the pod."""
    template = [one for one in documents(name) if one["kind"] == "Deployment"][-1]["spec"]["template"]
    probe, bind = loaded.config.admin.probe, loaded.config.admin.bind
    assert probe is not None
    assert bind is not None
    assert template["metadata"]["annotations"]["prometheus.io/port"] == str(probe.port)
    assert bind.host == "127.0.0.1"


def test_nothing_is_killed_while_it_drains(name: str, loaded: Loaded) -> None:
    """The grace period is longer than the pause and the longer drain, and so is what keeps the application."""
    shutdown = loaded.config.shutdown
    longest = shutdown.pre_stop + max(shutdown.drain, shutdown.stream_drain)
    assert shutdown.pre_stop >= 5
    assert pod(name)["terminationGracePeriodSeconds"] >= longest + 5
    if name == "sidecar":
        sleep = container(name, "app")["lifecycle"]["preStop"]["sleep"]["seconds"]
        assert longest < sleep < pod(name)["terminationGracePeriodSeconds"]


def test_it_has_few_rights(name: str) -> None:
    """Another user than root, no capability, a root file system that cannot be written, the usual system calls."""
    security = [
        one["spec"]["template"]["spec"].get("securityContext", {})
        for one in documents(name)
        if one["kind"] == "Deployment"
    ]
    whole = {key: value for one in [*security, container(name)["securityContext"]] for key, value in one.items()}
    assert whole["runAsNonRoot"] is True
    assert whole["runAsUser"] == 10001
    assert whole["seccompProfile"] == {"type": "RuntimeDefault"}
    assert whole["readOnlyRootFilesystem"] is True
    assert whole["allowPrivilegeEscalation"] is False
    assert whole["capabilities"] == {"drop": ["ALL"]}
    assert "memory" in container(name)["resources"]["limits"]


def test_folders_are_mounted_whole(name: str, loaded: Loaded) -> None:
    """A ConfigMap that changes is seen: no subPath, a name without a hash; state and /tmp can be written."""
    mounts = {one["mountPath"]: one for one in container(name)["volumeMounts"]}
    assert not any("subPath" in one for one in mounts.values())
    assert mounts["/etc/gateway"]["readOnly"] is True
    volumes = {one["name"]: one for one in pod(name)["volumes"]}
    for path in ("/tmp", str(loaded.config.state_dir)):
        assert "emptyDir" in volumes[mounts[path]["name"]]
    whole = yaml.safe_load((KUBERNETES / name / "kustomization.yaml").read_text())
    assert whole["generatorOptions"] == {"disableNameSuffixHash": True}
    generated = whole["configMapGenerator"][0]["name"]
    assert volumes[mounts["/etc/gateway"]["name"]]["configMap"] == {"name": generated}
    if name == "edge":
        assert "/etc/gateway-certificates" in mounts
        assert "certificates: /etc/gateway-certificates/" in (KUBERNETES / name / "config.yaml").read_text()


@pytest.mark.e2e
def test_a_config_map_that_is_swapped_is_loaded(tmp_path: Path) -> None:
    """A kubelet writes another folder and turns the link `..data` to it: a second later that is served."""
    port = free_port()

    def written(version: str) -> Path:
        folder = tmp_path / f"..{version}"
        folder.mkdir()
        write_config(
            folder, listeners=[{"bind": f"127.0.0.1:{port}"}], routes=[{"respond": {"body": version}}], workers=1
        )
        link = tmp_path / "..data_tmp"
        link.symlink_to(folder.name)
        return link.replace(tmp_path / "..data")

    written("first")
    tmp_path.joinpath("config.yaml").symlink_to("..data/config.yaml")
    with Gateway(tmp_path):
        assert get(port).text == "first"
        written("second")
        assert until(lambda: get(port).text == "second")
