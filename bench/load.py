"""wrk as the load: browser-like request fields, one thread, and what it reports as numbers.

A run is bounded by its seconds. The generator's own cost is never counted: see cpu.py.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import NamedTuple

CONNECTIONS = 32

BROWSER = {
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
    "Accept-Encoding": "gzip, deflate, br, zstd",
    "Accept-Language": "en-GB,en;q=0.9,de;q=0.8",
    "Cookie": "session=8f14e45fceea167a5a36dedd4bea2543; theme=dark; consent=2026-01-01",
    "Referer": "https://shop.example.com/catalogue?page=2",
    "Sec-Fetch-Dest": "document",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Site": "same-origin",
    "Upgrade-Insecure-Requests": "1",
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
}
_UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60000.0}


class LoadFailed(Exception):
    """wrk could not measure anything; the text is what it said."""


class Load(NamedTuple):
    """What one run of wrk saw."""

    requests: int
    per_second: float
    p99: float  # milliseconds
    refused: int  # answers other than 2xx and 3xx
    broken: int  # socket errors


def write_script(folder: Path, name: str, *, extra: dict[str, str] | None = None, lua: str = "") -> Path:
    """A Lua script for wrk with a browser's fields; `lua` is appended (a `request` function of its own, say)."""
    fields = BROWSER | (extra or {})
    lines = [f'wrk.headers["{field}"] = "{value}"' for field, value in fields.items()]
    path = folder / f"{name}.lua"
    path.write_text("\n".join([*lines, lua, ""]))
    return path


def drive(url: str, script: Path, seconds: float, *, core: int, connections: int = CONNECTIONS) -> Load:
    """One run against `url` for about `seconds`. Raises LoadFailed when wrk reports nothing."""
    command = [
        "taskset", "-c", str(core), "wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "5s",
        "--latency", "-s", str(script), url,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 30, check=False)
    counted = re.search(r"(\d+) requests in ([\d.]+)(us|ms|s|m)", done.stdout)
    if counted is None or counted[1] == "0":
        raise LoadFailed(f"no answer from {url}: {done.stdout[-400:]} {done.stderr[-400:]}")
    requests = int(counted[1])
    slowest = re.search(r"99%\s+([\d.]+)(us|ms|s|m)", done.stdout)
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", done.stdout)
    broken = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", done.stdout)
    return Load(
        requests=requests,
        per_second=requests / (float(counted[2]) * _UNITS[counted[3]] / 1000),
        p99=float(slowest[1]) * _UNITS[slowest[2]] if slowest else 0.0,
        refused=int(refused[1]) if refused else 0,
        broken=sum(int(count) for count in broken.groups()) if broken else 0,
    )
