"""`make run`: the demo application, and the gateway before it, until Ctrl-C.

Both run as children in process groups of their own, so that a Ctrl-C reaches this process alone and each child is told
once, the gateway first: it drains while the application still answers. The exit code is the gateway's.
"""

from __future__ import annotations

import ctypes
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# As config.yaml has them.
HTTP = ("127.0.0.1", 8080)
HTTPS = ("127.0.0.1", 8443)
ADMIN = ("127.0.0.1", 9090)
DEMO = ("127.0.0.1", 3000)
START_TIMEOUT = 20.0  # seconds; a cold disk has to read every module once
PR_SET_PDEATHSIG = 1  # prctl(2)

TRY = """
Try:
  curl -i http://127.0.0.1:8080/api/time
  curl --cacert certs/ca.pem https://localhost:8443/echo
  curl http://127.0.0.1:9090/metrics
or open http://127.0.0.1:8080/ in a browser. Ctrl-C stops.
"""


def end_with_parent() -> None:
    """Linux ends this process when its parent dies, even by SIGKILL: nothing is left listening."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def start(*command: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, *command],
        cwd=ROOT,
        process_group=0,
        preexec_fn=end_with_parent,  # noqa: PLW1509  # this process has one thread
    )


def answers(host: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.2)
        return probe.connect_ex((host, port)) == 0


def is_ready() -> bool:
    """What /readyz says; sockets alone are open a moment before the gateway serves and has said what listens."""
    connection = http.client.HTTPConnection(*ADMIN, timeout=1)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def wait_until_ready(children: list[subprocess.Popen[bytes]], stopping: list[float]) -> bool:
    """Whether application and gateway took connections before one of them ended or the time was over."""
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline and not stopping and all(child.poll() is None for child in children):
        if is_ready() and answers(*DEMO):
            return True
        time.sleep(0.05)
    return False


def stop(child: subprocess.Popen[bytes], patience: float, number: int = signal.SIGTERM) -> int:
    """Tells a child to stop and waits; its exit code."""
    if child.poll() is None:
        child.send_signal(number)
    try:
        return child.wait(patience)
    except subprocess.TimeoutExpired:
        child.kill()
        return child.wait()


def main() -> int:
    end_with_parent()
    children: list[subprocess.Popen[bytes]] = []
    stopping: list[float] = []  # when we were told

    def on_signal(_number: int, _frame: object) -> None:
        stopping.append(time.monotonic())
        # The second Ctrl-C: do not wait for what is still open. One signal may reach us twice, from make and its group.
        if stopping[-1] - stopping[0] > 1:
            for child in children:
                child.send_signal(signal.SIGINT)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, on_signal)

    for host, port in (DEMO, HTTP, HTTPS, ADMIN):
        if answers(host, port):
            print(f"make: port {port} is taken; see by whom with: ss -ltnp 'sport = :{port}'", file=sys.stderr)
            return 3
    demo = start("examples/demo/app.py", "--listen", f"{DEMO[0]}:{DEMO[1]}")
    gateway = start("-m", "gateway", "run", "-c", "config.yaml")
    children += gateway, demo
    if wait_until_ready(children, stopping):
        print(TRY, file=sys.stderr, flush=True)
    while not stopping and demo.poll() is None and gateway.poll() is None:
        time.sleep(0.1)

    failed = None if stopping else (gateway.poll() or demo.poll())
    code = stop(gateway, 100, signal.SIGINT)
    stop(demo, 5)
    return failed or code


if __name__ == "__main__":
    os.chdir(ROOT)
    sys.exit(main())
