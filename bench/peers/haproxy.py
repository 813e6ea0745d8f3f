"""HAProxy with one thread, its log on standard output (a file), and the same fields as nginx.

Without -q: that would close the output, and the log with it.
"""

from __future__ import annotations

import json
import re
import subprocess

from bench.peers import DENIAL, RESPONSE_FIELDS, Peer, Ports, find_program, make_folder
from bench.processes import Started, raise_descriptors
from bench.stage import Stage

# What a line of the gateway's log says, under the same names; the captured fields are host, user agent and referer.
_FACTS = {
    "time": "%tr", "request_id": "%ID", "client": "%ci", "method": "%HM", "scheme": "%[ssl_fc,iif(https,http)]",
    "host": "%[capture.req.hdr(0)]", "path": "%HP", "query": "%HQ", "protocol": "%HV", "status": "%ST",
    "bytes_in": "%U", "bytes_out": "%B", "duration_ms": "%Ta", "user_agent": "%{+E}[capture.req.hdr(1)]",
    "referer": "%{+E}[capture.req.hdr(2)]", "upstream": "%si:%sp", "upstream_ms": "%Tr",
}  # fmt: skip


def find() -> Peer | None:
    program = find_program("haproxy")
    if program is None:
        return None
    said = subprocess.run([program, "-v"], capture_output=True, text=True, check=False).stdout
    version = re.search(r"version ([\d.]+)", said)
    return Peer("haproxy", version[1] if version else "?", lambda stage, ports: _start(program, stage, ports))


def _start(program: str, stage: Stage, ports: Ports) -> Started:
    folder = make_folder(stage, "haproxy")
    configuration = folder / "haproxy.cfg"
    configuration.write_text(_configuration(stage, ports))
    command = [program, "-db", "-f", str(configuration)]
    return Started("haproxy", command, core=stage.cores.proxy, output=folder / "output")


def _configuration(stage: Stage, ports: Ports) -> str:
    added = "\n".join(f'  http-after-response set-header {name} "{value}"' for name, value in RESPONSE_FIELDS.items())
    denial = DENIAL.strip().replace(" ", "\\ ")
    return f"""
global
  nbthread 1
  maxconn {raise_descriptors() // 2 - 200}
  log stdout len 4096 format raw local0
  ssl-default-bind-options ssl-min-ver TLSv1.2
defaults
  mode http
  log global
  option forwardfor
  timeout connect 3s
  timeout client 75s
  timeout server 60s
  timeout http-request 10s
  timeout http-keep-alive 75s
frontend front
  bind 127.0.0.1:{ports.plain} backlog 4096
  bind 127.0.0.1:{ports.tls} ssl crt {stage.pair.together} backlog 4096
  http-request capture req.hdr(host) len 128
  http-request capture req.hdr(user-agent) len 256
  http-request capture req.hdr(referer) len 256
  log-format '{json.dumps(_FACTS)}'
  unique-id-format %{{+X}}o\\ %ci:%cp_%fi:%fp_%Ts_%rt:%pid
  http-request set-header X-Request-ID %[unique-id]
  http-request set-header X-Forwarded-Proto %[ssl_fc,iif(https,http)]
  http-request set-header X-Forwarded-Host %[req.hdr(host)]
{added}
  http-after-response set-header X-Request-ID %[unique-id]
  http-request return status 403 content-type text/plain string {denial} if {{ path /denied }}
  http-request redirect location https://localhost/elsewhere code 308 if {{ path /moved }}
  use_backend streams if {{ path_beg /stream }}
  default_backend small
backend small
  http-reuse always
  server origin 127.0.0.1:{stage.origin_port} pool-max-conn 64
backend streams
  http-reuse always
  server origin 127.0.0.1:{stage.stream_port} pool-max-conn 64
"""
