"""What the answers of the admin listener look like, as JSON Schema (2020-12, as OpenAPI 3.1 has it).

Named in the table, published in /openapi.json. The rule: what is required here is always there; there may be more, so
that a client of today reads the answers of a later gateway.
"""

from __future__ import annotations

from typing import Any, TypeAlias

Schema: TypeAlias = dict[str, Any]


def _record(required: dict[str, Schema], optional: dict[str, Schema] | None = None) -> Schema:
    return {"type": "object", "properties": required | (optional or {}), "required": list(required)}


def _list(of: Schema) -> Schema:
    return {"type": "array", "items": of}


def _said(text: str, schema: Schema) -> Schema:
    return schema | {"description": text}


TEXT: Schema = {"type": "string"}
FLAG: Schema = {"type": "boolean"}
WHOLE: Schema = {"type": "integer"}
NUMBER: Schema = {"type": "number"}
ANYTHING: Schema = {"type": "object"}

ALIVE = _record({"status": TEXT})
READY = _record({"status": TEXT}, {"reasons": _list(TEXT)})

STATUS = _record(
    {
        "version": TEXT,
        "ready": FLAG,
        "reasons": _list(TEXT),
        "generation": _said("of the configuration in force", WHOLE),
        "last_reload": _record({"at": _said("seconds since the epoch", NUMBER), "ok": FLAG, "text": TEXT}),
    },
    {
        "uptime_seconds": NUMBER,
        "connections": WHOLE,
        "draining": FLAG,
        "listeners": _list(TEXT),
        "routes": WHOLE,
        "workers": _list(ANYTHING),
    },
)
ROUTES = _list(
    _record(
        {"name": TEXT, "match": _said("as configured; empty for every request", ANYTHING)},
        {
            "description": TEXT,
            "upstream": TEXT,
            "split": ANYTHING,
            "redirect": ANYTHING,
            "respond": ANYTHING,
            "maintenance": FLAG,
        },
    )
)
UPSTREAMS = _list(
    _record(
        {
            "name": TEXT,
            "endpoints": _list(
                _record(
                    {
                        "name": _said("as in logs and metrics", TEXT),
                        "weight": WHOLE,
                        "connections": _said("of all workers: idle, active, connecting, queued", ANYTHING),
                    },
                    {
                        "healthy": _said("what active checks say; absent without them", FLAG),
                        "ejected": _said("left out because of what its answers were like", FLAG),
                        "drained": _said("gets no new requests until it is undrained", FLAG),
                    },
                )
            ),
        }
    )
)
CERTIFICATES = _list(
    _record(
        {
            "names": _list(TEXT),
            "issuer": TEXT,
            "not_before": TEXT,
            "not_after": TEXT,
            "path": TEXT,
            "fingerprint": _said("SHA-256, hexadecimal", TEXT),
            "is_development": FLAG,
            "kind": _said("of its key", TEXT),
            "problem": _said("what is wrong with its files; it is served as it was", TEXT),
        }
    )
)
ERRORS = _list(
    _record(
        {
            "at": _said("when the exchange was over, seconds since the epoch", NUMBER),
            "request_id": TEXT,
            "client": TEXT,
            "method": TEXT,
            "host": TEXT,
            "path": _said("without the query", TEXT),
            "route": TEXT,
            "upstream": TEXT,
            "endpoint": TEXT,
            "attempts": WHOLE,
            "status": _said("that the client saw", WHOLE),
            "cause": TEXT,
            "error": _said("an error type of RFC 9209", TEXT),
            "detail": TEXT,
            "seconds": NUMBER,
        }
    )
)
CHANGE = _record(
    {"before": _said("what was so", ANYTHING), "after": _said("what is so now; the same if it was already", ANYTHING)}
)
PROBLEM = _record(
    {"type": TEXT, "title": TEXT, "status": WHOLE},
    {
        "detail": TEXT,
        "errors": _list(_record({"detail": TEXT}, {"pointer": _said("place in the request body", TEXT)})),
    },
)
