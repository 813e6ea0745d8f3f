"""What nobody plans: a worker that lives and does not answer, and one that is born while certificates are broken."""

from __future__ import annotations

import os
import signal
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from gateway.development import make_development_certificates
from tests.kit.process import Gateway, free_port, get, until, write_config

pytestmark = pytest.mark.e2e


class House(NamedTuple):
    """A gateway with two workers, one https listener and an admin address."""

    folder: Path
    port: int
    admin: int

    def pids(self) -> list[int]:
        return sorted(worker["pid"] for worker in get(self.admin, "/status").json["workers"])

    def served(self) -> str:
        """The certificate of a new connection."""
        return ssl.get_server_certificate(("127.0.0.1", self.port), timeout=5)


@pytest.fixture(name="house")
def _house(tmp_path: Path) -> Iterator[House]:
    make_development_certificates(tmp_path / "certs")
    port, admin = free_port(), free_port()
    write_config(
        tmp_path,
        workers=2,
        listeners=[{"bind": f"127.0.0.1:{port}", "tls": {"certificates": "certs/"}}],
        routes=[{"respond": 204}],
        admin={"bind": f"127.0.0.1:{admin}"},
    )
    with Gateway(tmp_path, "-c", "config.yaml"):
        house = House(tmp_path, port, admin)
        until(lambda: len(house.pids()) == 2)
        yield house


def test_a_worker_that_hangs_is_replaced(house: House) -> None:
    """Stopped, it neither dies nor answers: it is noticed, ended, and followed by another."""
    stopped, other = house.pids()
    os.kill(stopped, signal.SIGSTOP)
    pids = until(lambda: pids if len(pids := house.pids()) == 2 and stopped not in pids else None)
    assert other in pids
    for _ in range(8):
        assert house.served()


def test_a_worker_born_while_certificates_are_broken(house: House) -> None:
    """It serves what the others serve, the certificate of the last renewal and not that of the last start."""
    first = house.served()
    other = house.folder / "other"
    make_development_certificates(other)
    for name in ("localhost.key", "localhost.pem"):
        (other / name).replace(house.folder / "certs" / name)
    renewed = until(lambda: found if (found := house.served()) != first else None)
    until(lambda: all(house.served() == renewed for _ in range(8)))
    (house.folder / "certs" / "localhost.pem").write_text("junk")
    until(lambda: get(house.admin, "/certificates").json[0].get("problem"))
    before = house.pids()
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    until(lambda: len(pids := house.pids()) == 2 and not set(pids) & set(before))
    assert {house.served() for _ in range(8)} == {renewed}
