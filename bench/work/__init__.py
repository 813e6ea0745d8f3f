"""The workloads, one file each: `run(stage, peers, effort) -> rows`.

WORK in run.py names them in the order of issue and table. A workload starts the peers it needs and ends them.
"""
