"""Upgrade: what one image of the process leaves to the next. Exec itself: tests/scenarios/test_upgrades.py."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from gateway.supervision import upgrade
from gateway.supervision.upgrade import CannotUpgrade, Handover


def test_a_rehearsal() -> None:
    """Is told by the environment, once."""
    environment = {upgrade.REHEARSAL: json.dumps({"version": upgrade.VERSION, "listeners": ["a:1"]})}
    assert upgrade.rehearsal(environment) == ["a:1"]
    assert upgrade.rehearsal(environment) is None


def test_another_form() -> None:
    """Cannot be taken over, neither in the rehearsal nor after it."""
    with pytest.raises(CannotUpgrade, match="form 99"):
        upgrade.rehearsal({upgrade.REHEARSAL: json.dumps({"version": 99, "listeners": []})})
    memory = os.memfd_create("x")
    os.write(memory, json.dumps({"version": 99}).encode())
    with pytest.raises(CannotUpgrade, match="another form"):
        upgrade.received({upgrade.HANDOVER: str(memory)})


def handover(*fds: int) -> Handover:
    return Handover([fds[0]], 4, {"a:1": [[fds[1]], False, False]}, {"b:1": [[fds[2]], True, True]},
                    [{"fds": [fds[3]]}], {"fds": [fds[4]]})  # fmt: skip


def test_what_it_holds() -> None:
    """Every descriptor is named, with a control process and without."""
    whole = handover(1, 2, 3, 4, 5)
    assert list(whole.descriptors()) == [1, 2, 3, 4, 5]
    assert list(whole._replace(control=None).descriptors()) == [1, 2, 3, 4]


def descriptors() -> set[str]:
    return {path.name for path in Path("/proc/self/fd").iterdir()}


def test_an_exec_that_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Leaves everything as it was: descriptors are not inherited."""
    monkeypatch.setattr(sys, "executable", str(tmp_path / "gone"))
    pipes = [fd for _ in range(3) for fd in os.pipe()]
    before = descriptors()
    with pytest.raises(FileNotFoundError):
        upgrade.replace_image(handover(*pipes))
    assert descriptors() == before
    assert not any(map(os.get_inheritable, pipes))
    for fd in pipes:
        os.close(fd)


def test_the_new_image(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gets all of it back, and takes care that its own children do not inherit it."""
    pipes = [fd for _ in range(3) for fd in os.pipe()]
    taken: dict[str, str] = {}

    def execve(_path: str, _words: list[str], environment: dict[str, str]) -> None:
        assert all(map(os.get_inheritable, pipes[:5]))
        taken[upgrade.HANDOVER] = str(os.dup(int(environment[upgrade.HANDOVER])))
        raise OSError("not really")

    monkeypatch.setattr(os, "execve", execve)
    with pytest.raises(OSError, match="not really"):
        upgrade.replace_image(handover(*pipes))
    for fd in pipes:
        os.set_inheritable(fd, True)
    assert upgrade.received(taken) == handover(*pipes)
    assert taken == {}
    assert not any(map(os.get_inheritable, pipes[:5]))
    assert upgrade.received(taken) is None
    for fd in pipes:
        os.close(fd)


def test_beginning_a_rehearsal(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """The same command line in a process of its own, which cannot speak for us to systemd or into the access log."""
    program = "import os, signal; print(sorted(n for n in os.environ if n in ('GATEWAY_REHEARSAL', 'NOTIFY_SOCKET'))); "
    program += "print(signal.getsignal(signal.SIGTERM) == signal.SIG_DFL)"
    monkeypatch.setattr(sys, "orig_argv", ["python", "-c", program])
    monkeypatch.setenv("NOTIFY_SOCKET", "/nowhere")
    pid = upgrade.begin_rehearsal(["a:1"])
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    said = capfd.readouterr()
    assert said.out == ""
    assert said.err == "['GATEWAY_REHEARSAL']\nTrue\n"
