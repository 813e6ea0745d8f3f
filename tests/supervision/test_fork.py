"""Forks: what a child has, and how it ends. Each test forks in a process of its own, which has no threads."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.kit.process import ROOT

START = """
import os, signal, socket, sys
from gateway.supervision.fork import CRASHED, Forks
from gateway.supervision.signals import Signals

with Signals() as signals:
    others = [socket.socket(), socket.socket()]
    forks = Forks(signals, lambda: others)
"""


def in_a_process(body: str) -> str:
    """What the program says that goes on behind START."""
    program = START + textwrap.indent(textwrap.dedent(body), "    ")
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_a_child_keeps_what_is_its_own() -> None:
    """Ends of channels and sockets that are not named are closed in it; the other end learns of its death."""
    said = in_a_process("""
        ours, theirs = forks.pair()
        stray, other = forks.pair()

        def role():
            assert [end.fileno() >= 0 for end in (ours, theirs, stray, other)] == [False, True, False, False]
            assert [one.fileno() >= 0 for one in others] == [False, True]
            theirs.send({"tell": "here"})
            return 7

        pid = forks.fork("gateway-test", role, [theirs, others[1]])
        forks.close(theirs)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
        assert ours.receive()[0].body == {"tell": "here"}
        try:
            ours.receive()
        except Exception as error:
            print(type(error).__name__)
    """)
    assert said == "ChannelClosed\n"


@pytest.mark.parametrize(
    ("role", "code", "says"),
    [
        ("1 / 0", "CRASHED", "ZeroDivisionError"),
        ("sys.exit(3)", "3", ""),
        ("sys.exit('text')", "CRASHED", ""),
        ("os.kill(os.getpid(), signal.SIGTERM) or 5", "5", ""),  # which is the supervisor's affair
        ("os.kill(os.getpid(), signal.SIGPIPE) or 6", "6", ""),
    ],
)
def test_ends(role: str, code: str, says: str) -> None:
    """Whatever the role does, the code of the parent does not go on in the child."""
    said = in_a_process(f"""
        pid = forks.fork("x", lambda: {role}, [])
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == {code}
    """)
    assert says in said


def test_buffers_are_not_written_twice() -> None:
    """What the parent had printed, but not written yet, is not the child's to write."""
    said = in_a_process("""
        sys.stdout.reconfigure(line_buffering=False)
        sys.stdout.write("once ")
        os.waitpid(forks.fork("x", lambda: print("child") or 0, []), 0)
    """)
    assert said == "once child\n"


def test_its_name() -> None:
    """Is what ps shows."""
    said = in_a_process("""
        pid = forks.fork("gateway-7", lambda: print(open("/proc/self/comm").read().strip()) or 0, [])
        os.waitpid(pid, 0)
    """)
    assert said == "gateway-7\n"


def test_signals_of_a_child_are_not_the_parents() -> None:
    """A signal that strikes a child is not read by the parent, from the first moment on."""
    said = in_a_process("""
        for _ in range(50):
            pid = forks.fork("x", lambda: signal.pause() or 0, [])
            os.kill(pid, signal.SIGHUP)
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        print(set(signals.take()) - {signal.SIGCHLD})
    """)
    assert said == "set()\n"


def test_an_end_taken_over(tmp_path: Path) -> None:
    """Comes from another image of the process: it is not inherited any further."""
    said = in_a_process("""
        one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        one.set_inheritable(True)
        end = forks.take_over(one.detach())
        print(os.get_inheritable(end.fileno()))
        forks.close(end)
        print(end.fileno())
    """)
    assert said == "False\n-1\n"
