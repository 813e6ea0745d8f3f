"""What changes while it serves: certificate files that are renewed, log files that are rotated."""

from __future__ import annotations

import json
import os
import shutil
import signal
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from cryptography import x509

from tests.kit.certificates import Authority
from tests.kit.http_client import Client
from tests.kit.origin import Origin
from tests.kit.process import Gateway, free_port, get, until, write_config

pytestmark = pytest.mark.e2e

SOON = 3.0  # seconds until a new certificate is served


class House(NamedTuple):
    gateway: Gateway
    authority: Authority
    folder: Path
    http: int
    https: int
    admin: int

    def client(self, name: str = "shop.test") -> Client:
        return Client(("127.0.0.1", self.https), ssl.create_default_context(cafile=self.authority.path), name)

    def serial(self, name: str = "shop.test") -> int:
        """Of the certificate that a new connection gets."""
        with self.client(name) as client:
            return serial_of(client)


def serial_of(client: Client) -> int:
    assert isinstance(client.socket, ssl.SSLSocket)
    return x509.load_der_x509_certificate(client.socket.getpeercert(binary_form=True) or b"").serial_number


def is_shown(house: House, name: str, path: Path) -> bool:
    try:
        return house.serial(name) == serial_in(path)
    except ssl.SSLCertVerificationError:
        return False


def serial_in(path: Path) -> int:
    return x509.load_pem_x509_certificate(path.read_bytes()).serial_number


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("renewal")
    authority = Authority(tmp_path_factory.mktemp("authority"))
    (folder / "certs").mkdir()
    shutil.copy(authority.issue("shop.test"), folder / "certs" / "shop.pem")
    http, https, admin = free_port(), free_port(), free_port()
    with Origin() as origin:
        write_config(
            folder,
            listeners=[
                {"bind": f"127.0.0.1:{http}"},
                {"bind": f"127.0.0.1:{https}", "tls": {"certificates": "certs/"}},
            ],
            upstreams={"app": {"endpoints": [origin.url]}},
            routes=[{"upstream": "app"}],
            access_log={"output": "access.log", "fields": ["path", "status"]},
            admin={"bind": f"127.0.0.1:{admin}"},
        )
        with Gateway(folder, "-c", "config.yaml") as gateway:
            yield House(gateway, authority, folder, http, https, admin)


def test_a_renewed_certificate_is_served(house: House) -> None:
    """A certificate whose files are replaced is served within three seconds; open connections live on."""
    path = house.folder / "certs" / "shop.pem"
    with house.client() as old:
        before = serial_of(old)
        assert before == serial_in(path)
        assert old.ask("GET", "/before", host="shop.test").status == 200
        fresh = house.authority.issue("shop.test", days=20)
        beside = path.with_name(".shop.pem.new")
        shutil.copy(fresh, beside)
        began = time.monotonic()
        beside.replace(path)
        assert until(lambda: house.serial() == serial_in(fresh), SOON)
        assert time.monotonic() - began <= SOON
        assert old.ask("GET", "/after", host="shop.test").status == 200
        assert serial_of(old) == before
    served = get(house.admin, "/certificates").json
    assert [entry["names"] for entry in served] == [["shop.test"]]


def test_a_further_name_is_served(house: House) -> None:
    """A pair that appears in the folder is served by its name, and one that goes is not any more."""
    path = house.folder / "certs" / "blog.pem"
    shutil.copy(house.authority.issue("blog.test"), path)
    assert until(lambda: "blog.test" in get(house.admin, "/certificates").text)
    assert until(lambda: is_shown(house, "blog.test", path))
    path.unlink()
    assert until(lambda: "blog.test" not in get(house.admin, "/certificates").text)


def test_a_swapped_folder_is_served(house: House, tmp_path: Path) -> None:
    """A whole folder that is put in the place of the old one, as deployments do, is served."""
    folder = house.folder / "certs"
    fresh = house.authority.issue("shop.test", days=25)
    (tmp_path / "new").mkdir()
    shutil.copy(fresh, tmp_path / "new" / "shop.pem")
    folder.rename(tmp_path / "old")
    (tmp_path / "new").rename(folder)
    assert until(lambda: house.serial() == serial_in(fresh))


def test_a_broken_renewal_changes_nothing(house: House) -> None:
    """Files that cannot be read are told about, and what was served before is served still."""
    before = house.serial()
    path = house.folder / "certs" / "shop.pem"
    good = path.read_bytes()
    path.write_text("-----BEGIN CERTIFICATE-----\nnot one\n-----END CERTIFICATE-----\n")
    said = house.gateway.said.first(lambda line: line if "what was served before" in line else None)
    assert "shop.pem" in said
    assert house.serial() == before
    path.write_bytes(good)
    assert until(lambda: house.serial() == serial_in(path))


def test_a_chain_without_its_leaf_changes_nothing(house: House) -> None:
    """What was served is served still, and the log, the admin page and a metric say so until the files are good."""
    path = house.folder / "certs" / "shop.pem"
    good, before = path.read_bytes(), house.serial()

    def problems() -> float:
        return float(get(house.admin, "/metrics").text.partition("\ngateway_certificate_problems ")[2].split()[0])

    assert until(lambda: problems() == 0)
    shutil.copy(house.authority.path, path)
    house.gateway.said.first(lambda line: line if "holds no certificate with its key any more" in line else None)
    assert house.serial() == before
    assert until(lambda: problems() == 1)
    (shown,) = get(house.admin, "/certificates").json
    assert shown["problem"].startswith("certs/shop.pem: ")
    path.write_bytes(good)
    assert until(lambda: problems() == 0)
    assert get(house.admin, "/certificates").json[0]["problem"] == ""


def test_a_worker_that_comes_back_serves_what_was_renewed(house: House) -> None:
    """Not what was there when the gateway was started."""
    path = house.folder / "certs" / "shop.pem"
    shutil.copy(house.authority.issue("shop.test", days=28), path)
    assert until(lambda: house.serial() == serial_in(path))

    def pids() -> set[int]:
        return {worker["pid"] for worker in get(house.admin, "/status").json["workers"]}

    before = pids()
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    assert until(lambda: len(pids() - before) == len(before) and not pids() & before)
    assert {house.serial() for _ in range(10 * len(before))} == {serial_in(path)}


def test_a_rotated_log_is_opened_anew(house: House) -> None:
    """After a rename and SIGUSR1 the lines go to a new file, and none is lost or written twice."""
    current, rotated = house.folder / "access.log", house.folder / "access.log.1"

    def paths(file: Path) -> list[str]:
        return [json.loads(line)["path"] for line in file.read_text().splitlines()] if file.exists() else []

    with Client(("127.0.0.1", house.http)) as client:
        for number in range(20):
            assert client.ask("GET", f"/one/{number}").status == 200
        assert until(lambda: "/one/19" in paths(current))
        current.rename(rotated)
        assert client.ask("GET", "/between").status == 200
        assert until(lambda: "/between" in paths(rotated))
        house.gateway.signal(signal.SIGUSR1)
        assert client.ask("GET", "/two/0").status == 200
        assert until(current.exists)
        assert client.ask("GET", "/two/1").status == 200
        assert until(lambda: "/two/1" in paths(current))
    everything = [path for path in paths(rotated) + paths(current) if path.startswith(("/one", "/between", "/two"))]
    assert everything == [f"/one/{number}" for number in range(20)] + ["/between", "/two/0", "/two/1"]
    assert current.stat().st_mode & 0o777 == 0o640
