"""A thousand clients that do everything at once, for a while: nothing leaks, nothing is lost, nothing is invented."""

from __future__ import annotations

import asyncio
import random
import ssl
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from gateway.development import make_development_certificates
from tests.kit.crowd import DEEDS, SCRIPTS, Tally, Visitor, get, routes
from tests.kit.origin import Origin
from tests.kit.process import Gateway, free_port, until, write_config
from tests.kit.vitals import assert_clean, counts, descriptors, log_lines, memory

pytestmark = [pytest.mark.long, pytest.mark.e2e]

CLIENTS = 1000
SECURE = 4  # one of so many speaks TLS
PAUSE = 1.0  # seconds, at the most, between two deeds of one client: it is a crowd, not a benchmark
LOOK = 0.5  # seconds between two looks at the memory
FLAT = 0.10


class House(NamedTuple):
    gateway: Gateway
    origin: Origin
    folder: Path
    http: int
    https: int
    admin: int
    tls: ssl.SSLContext


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    make_development_certificates(tmp_path / "certs")
    http, https, admin, dead = (free_port() for _ in range(4))
    with Origin(SCRIPTS) as origin:
        write_config(
            tmp_path,
            listeners=[
                {"bind": f"127.0.0.1:{http}"},
                {"bind": f"127.0.0.1:{https}", "tls": {"certificates": "certs/"}},
            ],
            downstream={"max_connections_per_client": None},
            access_log={"output": "access.log", "fields": ["request_id", "method", "path", "status", "cause"]},
            admin={"bind": f"127.0.0.1:{admin}"},
            **routes(dead, origin),
        )
        with Gateway(tmp_path, "-c", "config.yaml") as gateway:
            tls = ssl.create_default_context(cafile=str(tmp_path / "certs" / "ca.pem"))
            yield House(gateway, origin, tmp_path, http, https, admin, tls)


@pytest.mark.timeout(900)
def test_a_crowd(house: House, seconds: float, lot: random.Random) -> None:
    """Twice the unit long. Memory is flat from the first third on, descriptors and connections come back to nothing,
    and the log has a line for each answer."""
    tally = Tally()
    asyncio.run(crowd(house, 1.0, lot, tally, 50))  # what is imported, opened or allocated once
    until(lambda: not any(counts(house.admin).held().values()))
    open_before = descriptors(house.gateway)

    samples = asyncio.run(crowd(house, 2 * seconds, lot, tally, CLIENTS))

    until(lambda: not any(counts(house.admin).held().values()))
    until(lambda: descriptors(house.gateway) <= open_before)
    until(lambda: counts(house.admin).total("gateway_upstream_connections") == 0)
    after = counts(house.admin)
    assert after.total("gateway_errors_total", cause="bug") == 0
    assert after.total("gateway_access_log_dropped_total") == 0
    compare_log(house, tally)
    assert_flat(samples)
    house.gateway.signal(15)
    assert_clean(house.gateway.ended())


async def crowd(house: House, seconds: float, lot: random.Random, tally: Tally, size: int) -> list[int]:
    """`size` visitors for `seconds`; the gateway's memory meanwhile."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    samples: list[int] = []

    async def visit(number: int) -> None:
        secure = number % SECURE == 0
        mine = random.Random(lot.random())
        visitor = Visitor(house.https if secure else house.http, house.tls if secure else None, mine, tally)
        await asyncio.sleep(mine.random() * min(5.0, seconds / 10))  # they do not come all at once
        done = [get]
        try:
            while loop.time() < end:
                done += mine.choices(list(DEEDS), list(DEEDS.values()))
                await done[-1](visitor)
                await asyncio.sleep(mine.random() * PAUSE)
            await get(visitor)
        except Exception as error:
            error.add_note(f"secure: {secure}, deeds: {[deed.__name__ for deed in done[-6:]]}")
            raise
        finally:
            visitor.leave(reset=True)  # at once: the loop does not wait for a farewell

    async def watch() -> None:
        while loop.time() < end:
            samples.append(memory(house.gateway))
            house.origin.asked.clear()  # it remembers what it got
            await asyncio.sleep(LOOK)

    async with asyncio.TaskGroup() as group:
        group.create_task(watch())
        for number in range(size):
            group.create_task(visit(number))
    return samples


def compare_log(house: House, tally: Tally) -> None:
    """A line for each answer with the same status, once; lines without an answer only for requests that were left."""

    def lines() -> list[dict[str, Any]]:
        return list(log_lines(house.folder / "access.log"))

    until(lambda: len(lines()) == counts(house.admin).total("gateway_requests_total") >= len(tally.answered))
    statuses = {line["request_id"]: line["status"] for line in lines()}
    assert len(statuses) == len(lines())
    missing = {each: status for each, status in tally.answered.items() if statuses.get(each) != status}
    assert not missing, f"{len(missing)} answers are not in the log as they were given: {list(missing.items())[:5]}"
    assert len(statuses) - len(tally.answered) <= tally.left
    print(f"{len(tally.answered)} answers, {tally.left} requests were left")


def assert_flat(samples: list[int]) -> None:
    """The last tenth beside the tenth that ends the first third."""
    third, tenth = len(samples) // 3, max(1, len(samples) // 10)
    early = statistics.mean(samples[third - tenth : third])
    late = statistics.mean(samples[-tenth:])
    print([sample >> 20 for sample in samples])
    print(f"{early / 2**20:.1f} MiB after a third, {late / 2**20:.1f} MiB at the end")
    assert abs(late - early) <= FLAT * early, [sample >> 20 for sample in samples]
