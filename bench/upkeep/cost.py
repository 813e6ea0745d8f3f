"""Cost: what a request costs more than it did before the gateway had more than one process, when nothing fails.

The conversations of bench/conversations.py are held by this tree and by the one of BEFORE in turn, each in a process of
its own; of each the fastest of all runs counts, for whatever slowed the others was not the code.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from bench.upkeep.subject import ROOT

BEFORE = "3670625"  # the last commit with one process
CONVERSATIONS = ("proxied", "denied")  # what it is judged by: the one all requests are like, and the shortest


def cost(folder: Path, rounds: int) -> dict[str, tuple[float, float]] | None:
    """Microseconds by conversation, before and now; None where that commit is not to be had."""
    before = folder / "before"
    made = subprocess.run(["git", "-C", str(ROOT), "worktree", "add", "--detach", str(before), BEFORE],
                          capture_output=True, check=False)  # fmt: skip
    if made.returncode:
        return None
    try:
        found: dict[Path, dict[str, float]] = {before: {}, ROOT: {}}
        for _ in range(rounds):
            for tree, fastest in found.items():
                for name, figure in _figures(tree, folder / "figures.json").items():
                    fastest[name] = min(figure, fastest.get(name, figure))
    finally:
        subprocess.run(["git", "-C", str(ROOT), "worktree", "remove", "--force", str(before)], check=False)
    return {name: (found[before][name], found[ROOT][name]) for name in CONVERSATIONS}


def _figures(tree: Path, file: Path) -> dict[str, float]:
    subprocess.run([sys.executable, "bench/conversations.py", *CONVERSATIONS, "--json", str(file)],
                   cwd=tree, env=os.environ | {"PYTHONPATH": ""}, stdout=subprocess.DEVNULL, check=True)  # fmt: skip
    figures: dict[str, float] = json.loads(file.read_text())
    return figures
