"""Active checks as the control process runs them: found, told to all, and untouched by a reload of something else."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest

from gateway.health_checks import HealthChecks
from gateway.metrics import Metrics
from gateway.state.endpoints import Endpoints
from gateway.upstream.settings import UpstreamConfig
from gateway.upstream.standing import Health, Standing
from tests.kit.certificates import Authority
from tests.kit.origin import Asked, Origin, Talk

pytestmark = pytest.mark.e2e
OFTEN = {"interval": "100ms", "timeout": "1s"}


class House:
    """HealthChecks, and what they say."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.endpoints = Endpoints()
        self.metrics = Metrics()
        self.said: list[str] = []
        self.checks = HealthChecks(self.endpoints, self.metrics, self._hear, Random(1))

    def _hear(self, text: str, good: bool) -> None:
        assert good is text.endswith("is up")
        self.said.append(text)

    def change(self, *urls: str, health: dict[str, Any] | None = None, **keys: Any) -> None:
        config = UpstreamConfig.model_validate({"endpoints": list(urls), "health": health, **keys})
        self.checks.change({"app": config}, self.folder)

    def health(self, origin: Origin) -> Health:
        return Standing(self.endpoints, "app", origin.url.rpartition("/")[2]).health

    def value(self, name: str, origin: Origin, **labels: str) -> Any:
        """A metric, read as a scrape would."""
        wanted = {"upstream": "app", "endpoint": origin.url.rpartition("/")[2], **labels}
        for family in self.metrics.families():
            for sample in family.samples:
                if family.name == name and dict(sample.labels) == wanted:
                    return sample.value
        return None


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110  # nobody announces it
            await asyncio.sleep(0.01)


@asynccontextmanager
async def house(folder: Path) -> AsyncIterator[House]:
    made = House(folder)
    try:
        yield made
    finally:
        made.checks.close()
        await asyncio.sleep(0)


class Sick:
    """An endpoint that is well when told to be."""

    def __init__(self, *, well: bool) -> None:
        self.well = well

    async def answer(self, _asked: Asked, talk: Talk) -> None:
        await talk.answer(status=200 if self.well else 500)


async def test_down_and_up_again(tmp_path: Path) -> None:
    """Three failures and it is down, two successes and it is up: in the shared words, the log and the metrics."""
    sick = Sick(well=True)
    with Origin({"/health": sick.answer}) as origin:
        async with house(tmp_path) as it:
            it.change(origin.url, health={"path": "/health", **OFTEN})
            await until(lambda: it.health(origin) is Health.UP)
            sick.well = False
            await until(lambda: it.health(origin) is Health.DOWN)
            assert it.value("gateway_upstream_endpoint_healthy", origin) == 0
            assert it.value("gateway_upstream_health_checks_total", origin, result="failed") >= 3
            sick.well = True
            await until(lambda: it.health(origin) is Health.UP)
            assert it.value("gateway_upstream_endpoint_healthy", origin) == 1
            name = f"127.0.0.1:{origin.port}"
            assert it.said == [
                f"upstream app: {name} is up",
                f"upstream app: {name} is down: status 500",
                f"upstream app: {name} is up",
            ]


async def test_a_reload_of_something_else(tmp_path: Path) -> None:
    """The check goes on with all it knows; one that is not wanted any more ends, and nothing is held against it."""
    sick = Sick(well=False)
    with Origin({"*": sick.answer}) as origin, Origin() as other:
        async with house(tmp_path) as it:
            wanted = {"path": "/health", **OFTEN}
            it.change(origin.url, health=wanted)
            await until(lambda: it.health(origin) is Health.DOWN)
            checks = len(origin.asked)
            it.change(origin.url, other.url, health=wanted, balance="first")
            await until(lambda: it.health(other) is Health.UP and len(origin.asked) > checks + 3)
            assert it.health(origin) is Health.DOWN
            assert len(it.said) == 2
            it.change(origin.url, other.url)
            assert it.health(origin) is Health.UNKNOWN
            assert it.value("gateway_upstream_endpoint_healthy", origin) is None
            assert it.value("gateway_upstream_endpoint_drained", origin) == 0


async def test_another_way_of_checking(tmp_path: Path) -> None:
    """A changed check begins at once, and from what was held of the endpoint."""
    sick = Sick(well=False)
    with Origin({"/wrong": sick.answer}) as origin:
        async with house(tmp_path) as it:
            it.change(origin.url, health={"path": "/wrong", **OFTEN})
            await until(lambda: it.health(origin) is Health.DOWN)
            it.change(origin.url, health={"path": "/right", **OFTEN})
            assert it.health(origin) is Health.DOWN
            await until(lambda: it.health(origin) is Health.UP)


async def test_over_tls(tmp_path: Path) -> None:
    """With what the upstream trusts; files that are not there yet are a failed check, and are read once they are."""
    authority = Authority(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(authority.issue("127.0.0.1"))
    origin = Origin(tls=tls)
    ca = tmp_path / "ca.pem"
    ca.rename(tmp_path / "later.pem")
    with origin:
        async with house(tmp_path) as it:
            it.change(origin.url, health=OFTEN, tls={"ca": "ca.pem"})
            await until(lambda: it.health(origin) is Health.DOWN)
            assert "cannot be read" in it.said[0]
            (tmp_path / "later.pem").rename(ca)
            await until(lambda: it.health(origin) is Health.UP)
