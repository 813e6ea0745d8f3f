"""What processes cost: CPU and memory of a process and all that descend from it."""

from __future__ import annotations

import os
import subprocess
import sys
import time

from bench.cpu import cpu_seconds, family, memory_bytes, resident_bytes

MEBIBYTE = 1 << 20
# A child that holds 32 MiB, forks one that shares them, works for 0.2 s of its own time, and waits.
CHILD = """
import os, sys, time
held = b"x" * (32 << 20)
if os.fork() == 0:
    sys.stdin.read()
    os._exit(0)
while time.process_time() < 0.2:
    pass
print(flush=True)
sys.stdin.read()
"""


def test_a_family() -> None:
    """Children are found, their time is added up, and what they share is not counted twice."""
    with subprocess.Popen([sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdout.readline()
        found = family(child.pid)
        spent, shared, memory = cpu_seconds(child.pid), resident_bytes(child.pid), memory_bytes(child.pid)
        child.stdin.close()
        child.wait()
    assert len(found) == 2
    assert child.pid in found
    assert os.getpid() not in found
    assert spent >= 0.15
    assert 32 * MEBIBYTE < memory < 64 * MEBIBYTE < shared
    assert (cpu_seconds(child.pid), resident_bytes(child.pid), memory_bytes(child.pid)) == (0, 0, 0)


def test_time_goes_up() -> None:
    """A second look never finds less."""
    before = cpu_seconds(os.getpid())
    end = time.process_time() + 0.05
    while time.process_time() < end:
        pass
    assert cpu_seconds(os.getpid()) >= before + 0.03
