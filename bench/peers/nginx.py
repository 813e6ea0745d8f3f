"""nginx, the yardstick: one worker, an access log, eight fields added, five set, 64 upstream connections kept.

Every ratio of the table is to this configuration. What it leaves at nginx's default, our default does too.
"""

from __future__ import annotations

import json
import os
import re
import subprocess

from bench.peers import DENIAL, RESPONSE_FIELDS, Peer, Ports, find_program, make_folder
from bench.processes import Started
from bench.stage import Stage

# What a line of the gateway's log says, under the same names.
_FACTS = {
    "time": "$time_iso8601", "request_id": "$request_id", "client": "$remote_addr", "method": "$request_method",
    "scheme": "$scheme", "host": "$host", "path": "$uri", "query": "$args", "protocol": "$server_protocol",
    "status": "$status", "bytes_in": "$request_length", "bytes_out": "$body_bytes_sent", "duration": "$request_time",
    "user_agent": "$http_user_agent", "referer": "$http_referer", "upstream": "$upstream_addr",
    "upstream_time": "$upstream_header_time",
}  # fmt: skip


def find() -> Peer | None:
    program = find_program("nginx")
    if program is None:
        return None
    said = subprocess.run([program, "-v"], capture_output=True, text=True, check=False).stderr
    version = re.search(r"[\d.]+", said)
    return Peer("nginx", version[0] if version else "?", lambda stage, ports: _start(program, stage, ports))


def _start(program: str, stage: Stage, ports: Ports) -> Started:
    folder = make_folder(stage, "nginx")
    configuration = folder / "nginx.conf"
    configuration.write_text(_configuration(stage, ports, str(folder)))
    command = [program, "-p", str(folder), "-c", str(configuration), "-e", str(folder / "error.log")]
    return Started("nginx", command, core=stage.cores.proxy, output=folder / "output")


def _configuration(stage: Stage, ports: Ports, folder: str) -> str:
    added = "\n".join(f'    add_header {name} "{value}" always;' for name, value in RESPONSE_FIELDS.items())
    temporary = "\n".join(f"  {kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi"))
    return f"""
daemon off; worker_processes 1; pid {folder}/nginx.pid; worker_rlimit_nofile 32000;
{"user root;" if os.geteuid() == 0 else ""}
events {{ worker_connections 19000; }}
http {{
{temporary}
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  log_format facts escape=json '{json.dumps(_FACTS)}';
  access_log {folder}/access.log facts; error_log {folder}/error.log;
  server_tokens off; keepalive_requests 10000; keepalive_timeout 75s; client_max_body_size 0;
  upstream small {{ server 127.0.0.1:{stage.origin_port}; keepalive 64; }}
  upstream streams {{ server 127.0.0.1:{stage.stream_port}; keepalive 64; }}
  server {{
    listen 127.0.0.1:{ports.plain} backlog=4096;
    listen 127.0.0.1:{ports.tls} ssl backlog=4096;
    ssl_certificate {stage.pair.certificate}; ssl_certificate_key {stage.pair.key};
    ssl_protocols TLSv1.2 TLSv1.3; ssl_session_cache shared:tls:4m;
{added}
    add_header X-Request-ID $request_id always;
    proxy_http_version 1.1; proxy_set_header Connection "";
    proxy_set_header Host $http_host; proxy_set_header X-Forwarded-For $remote_addr;
    proxy_set_header X-Forwarded-Proto $scheme; proxy_set_header X-Forwarded-Host $http_host;
    proxy_set_header X-Request-ID $request_id;
    proxy_max_temp_file_size 0; proxy_request_buffering off;
    location / {{ proxy_pass http://small; }}
    location /stream {{ proxy_pass http://streams; }}
    location = /denied {{ default_type text/plain; return 403 "{DENIAL.strip()}\\n"; }}
    location = /moved {{ return 308 https://$host/elsewhere; }}
  }}
}}
"""
