"""The parts of the supervisor: signals, forking, back-off, sockets, crew, stopping, systemd, upgrade.

`gateway/supervisor.py` puts them together; a request never comes here. The rule: no event loop, no threads and nothing
that waits for anybody, so that whatever the children do, the parent goes on.
"""
