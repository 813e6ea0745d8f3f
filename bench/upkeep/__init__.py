"""What the gateway's upkeep costs its clients: reloads, deaths of processes, upgrades, more than one worker.

Each measurement is bounded and judged by its bar. `python -m bench reload kills upgrade workers build cost` runs them;
their short forms are tests (tests/scenarios/test_upkeep.py).
"""
