"""What `gateway run` makes of a configuration, up to the first fork."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway import serving, supervisor
from gateway.config import ConfigError, Loaded, load
from gateway.development import make_development_certificates
from gateway.supervision.roles import Roles


def loaded(folder: Path, text: str) -> Loaded:
    path = folder / "config.yaml"
    path.write_text(text)
    return load(path)


@pytest.mark.parametrize(("asked", "configured", "workers"), [(3, "workers: 2\n", 3), (None, "workers: 2\n", 2)])
def test_how_many_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: int | None, configured: str, workers: int
) -> None:
    """The command line wins over the file."""
    seen: list[supervisor.Options] = []

    def run(_loaded: Loaded, _roles: Roles, options: supervisor.Options) -> int:
        seen.append(options)
        return 0

    monkeypatch.setattr(supervisor, "run", run)
    config = loaded(tmp_path, configured + "routes: [{respond: 204}]\nstate_dir: state\n")
    assert serving.serve(config, None, asked, lambda: None) == 0
    assert (seen[0].workers, seen[0].state_dir) == (workers, tmp_path / "state")


def test_certificates_are_read_once_for_all_workers(tmp_path: Path) -> None:
    """One store a listener with TLS; what only building finds wrong is told before anything is forked."""
    make_development_certificates(tmp_path / "certs")
    text = 'listeners: [{bind: "127.0.0.1:1"}, {bind: "127.0.0.1:2", tls: {}}]\nroutes: [{respond: 204}]\n'
    assert list(serving.certificates(loaded(tmp_path, text))) == ["127.0.0.1:2"]
    with pytest.raises(ConfigError):
        serving.certificates(loaded(tmp_path, text.replace("tls: {}", "tls: {certificates: gone/}")))
