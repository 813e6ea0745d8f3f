"""Whole-process runs of the gateway beside its peers, for the same work on the same core.

`python -m bench` is the way in; each workload is a module of `bench/work`, each peer a module of `bench/peers`.
Everything runs on the loopback interface and ends with the processes that were started here, and only those.
"""
