"""Error answers: one HTML page, one problem document, one line of text, negotiated by Accept.

The house hands `build_error_reply` to the pipeline and to every filter that refuses a request. The rule: the client
learns the status, a public sentence and the request id, never what happened inside, and nothing it sent is echoed.
"""

from __future__ import annotations

import base64
import difflib
import hashlib
import html
import re
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import orjson

from gateway.exchange import Exchange
from gateway.hooks import Shared
from gateway.http.accept import negotiate
from gateway.http.message import Fields, Response
from gateway.http.status import REASONS
from gateway.schema import BeforeValidator, Duration, Field, Model, one_or_many

# By token (RFC 9209 §2.3) where it says more than the status, and by status.
_SENTENCES: dict[str | int, str] = {
    "connection_limit_reached": "Too many requests are under way. Please try again in a moment.",
    "proxy_loop_detected": "This request has come back to where it started.",
    400: "The request could not be understood.",
    401: "Please sign in first.",
    403: "Access is not allowed.",
    404: "There is nothing at this address.",
    405: "This method is not allowed here.",
    406: "There is no form of this page that the client accepts.",
    408: "The request took too long to arrive.",
    410: "What was at this address is gone for good.",
    411: "The request must say how long its body is.",
    413: "The body of the request is too large.",
    414: "The address is too long.",
    415: "This kind of content is not accepted here.",
    417: "What the request expects cannot be met.",
    421: "This host is not served here.",
    422: "The content of the request could not be processed.",
    429: "Too many requests. Please wait a little and try again.",
    431: "The header of the request is too large.",
    451: "This is not available for legal reasons.",
    500: "Something went wrong. It is not your fault.",
    501: "This method is not supported.",
    502: "The service behind this address gave no valid answer.",
    503: "The service is not available just now. Please try again in a moment.",
    504: "The service behind this address took too long to answer.",
    505: "This version of HTTP is not supported.",
    508: "This request has come back to where it started.",
}
_CLIENT, _SERVER = "The request could not be served.", "Something went wrong. It is not your fault."

_STYLE = (
    ":root{color-scheme:light dark}"
    "body{margin:0;min-height:100vh;display:grid;place-items:center;"
    "font:1.0625rem/1.6 system-ui,sans-serif;color:CanvasText;background:Canvas}"
    "main{max-width:34rem;padding:2rem}"
    "h1{margin:0 0 .5rem;font-size:1.75rem;line-height:1.25}"
    "b{color:GrayText;font-weight:500}"
    "p{margin:0 0 1rem}small,code{font-size:.875rem;overflow-wrap:anywhere}"
)
_PAGE = (
    '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
    '<meta name="viewport" content="width=device-width,initial-scale=1">\n<meta name="robots" content="noindex">\n'
    f"<title>${{status}} ${{title}}</title>\n<style>{_STYLE}</style>\n</head>\n"
    "<body>\n<main>\n<h1><b>${status}</b> ${title}</h1>\n<p>${detail}</p>\n"
)
_PAGE_ID = "<p><small>Request id <code>${request_id}</code></small></p>\n"
_PAGE_END = "</main>\n</body>\n</html>\n"
_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest())
_PAGE_POLICY = (
    b"default-src 'none'; style-src 'sha256-" + _HASH + b"'; img-src 'self'; base-uri 'none'; form-action 'none'; "
    b"frame-ancestors 'self'"
)

_KINDS = ("json", "html", "text")  # the order that decides for clients that accept all alike: programs, mostly
_TYPES = {
    "json": b"application/problem+json",
    "html": b"text/html; charset=utf-8",
    "text": b"text/plain; charset=utf-8",
}
_OFFERS = (
    (b"application/problem+json", b"application/json"),
    (b"text/html", b"application/xhtml+xml"),
    (b"text/plain",),
)
_SUFFIXES = {".html": "html", ".htm": "html", ".json": "json", ".txt": "text"}

LARGEST_TEMPLATE = 1 << 20  # against a wrong path: it is held in memory and sent whole
REMEMBERED = 256  # Accept values whose choice is remembered; against a flood of invented ones the oldest are forgotten
LONGEST_DETAIL = 500  # with `detail: true`; what is told came from parsers and the network

_VARIABLE = re.compile(r"\$(\$\{)|\$\{([^}]*)\}")
_VARIABLES = ("status", "title", "detail", "request_id")
_KEY = re.compile(r"[45](?:\d\d|xx)|default")


def _keys(value: object) -> object:
    """Keys as text: YAML reads 404 as a number."""
    if not isinstance(value, dict):
        return value
    found: dict[str, object] = {}
    for key, paths in value.items():
        name = str(key).lower()
        if not _KEY.fullmatch(name):
            raise ValueError(f"{key!r} is not a status: write for example 404, 5xx or default")
        found[name] = one_or_many(paths)
    return found


Templates: TypeAlias = Annotated[dict[str, list[str]], BeforeValidator(_keys)]


class Config(Model):
    """What clients see when the gateway itself must answer with an error."""

    templates: Templates = {}
    """Own pages by status (`404`), class (`5xx`) or `default`: a path, or a list with one path per form, which its
    suffix tells (.html, .json, .txt). `${status}`, `${title}`, `${detail}` and `${request_id}` are filled in, escaped
    for the form; `$${` writes a literal `${`."""
    format: Literal["auto", "html", "json", "text"] = "auto"
    """`auto` follows the client's Accept field; JSON is an RFC 9457 problem document."""
    detail: bool = False
    """Tell the client the cause as well, in the gateway's own words: for development, and for callers you trust."""
    retry_after: Duration = Field(default="5s")
    """Retry-After of 503 answers; 0 for none."""


# The pieces of a body between which the request id stands; pieces of a body without one.
_Pieces = tuple[list[bytes], bytes]


def build_error_reply(
    config: Config, shared: Shared, make_id: Callable[[], bytes] | None = None
) -> Callable[..., Response]:
    """A function (exchange, status, token, detail, message) -> Response, whose body and fields the caller may change.

    `token` is a Cause's, or any other word; `detail` is shown only with `config.detail`; an operator's `message`
    replaces our own sentence. An exchange that has no id yet
    is given one by `make_id`. Raises ValueError with a line for each template that cannot be read or names an unknown
    variable.
    """
    templates = _load(config, shared)
    own = {kind: _page_fields(kind, config) for kind in _KINDS}
    foreign = {kind: [field for field in own[kind] if field[0] != b"content-security-policy"] for kind in _KINDS}
    wait = b"%d" % config.retry_after if config.retry_after else b""
    known: dict[tuple[str, int, str], _Pieces] = {}

    @lru_cache(maxsize=REMEMBERED)
    def choose(accept: bytes | None) -> str:
        return _KINDS[negotiate(accept, _OFFERS)]

    def error_reply(exchange: Exchange, status: int, token: str, detail: str, message: str = "") -> Response:
        if config.format != "auto":
            kind: str = config.format
        else:
            accept = exchange.request.index.get(b"accept")
            # Against filling the memory with long values: those are read anew each time.
            kind = choose(accept) if accept is None or len(accept) <= 256 else choose.__wrapped__(accept)
        template = templates.get((kind, status))
        if message:
            pieces, plain = _prepare(kind, status, template, message)
        elif config.detail:
            # Lone surrogates, left by decoding what was no text, cannot be written as UTF-8.
            more = detail[:LONGEST_DETAIL].encode("utf-8", "replace").decode("utf-8")
            sentence = _sentence(status, token)
            pieces, plain = _prepare(kind, status, template, f"{sentence} ({more})" if more else sentence, token)
        else:
            key = (kind, status, token if token in _SENTENCES else "")
            prepared = known.get(key)
            if prepared is None:
                known[key] = prepared = _prepare(kind, status, template, _sentence(status, token))
            pieces, plain = prepared
        if make_id is not None and not exchange.id:
            exchange.id = make_id()
        name = exchange.id
        if name and not name.isalnum():
            name = _escape(kind, name.decode("latin-1")).encode()
        body = name.join(pieces) if name else plain
        fields: Fields = (own if template is None else foreign)[kind].copy()
        if status == 503 and wait:
            fields.append((b"retry-after", wait))
        return Response(status, fields, reason=REASONS.get(status, b""), body=body)

    return error_reply


def _page_fields(kind: str, config: Config) -> Fields:
    fields = [(b"content-type", _TYPES[kind]), (b"cache-control", b"no-store")]
    if config.format == "auto":
        fields.append((b"vary", b"accept"))
    if kind == "html":
        fields.append((b"content-security-policy", _PAGE_POLICY))
    return fields


def _sentence(status: int, token: str) -> str:
    return _SENTENCES.get(token) or _SENTENCES.get(status) or (_SERVER if status >= 500 else _CLIENT)


def _escape(kind: str, text: str) -> str:
    if kind == "html":
        return html.escape(text)
    return orjson.dumps(text)[1:-1].decode() if kind == "json" else text


def _prepare(kind: str, status: int, template: str | None, told: str, cause: str = "") -> _Pieces:
    """The body around the request id, and the body without one."""
    title = REASONS.get(status, b"Error").decode("ascii")
    if template is not None:
        values = {"status": str(status), "title": title, "detail": told}
        pieces = _fill(template, {name: _escape(kind, value) for name, value in values.items()})
        return pieces, b"".join(pieces)
    if kind == "json":
        problem: dict[str, object] = {"type": "about:blank", "title": title, "status": status, "detail": told}
        if cause:
            problem["cause"] = cause
        plain = orjson.dumps(problem)
        return [plain[:-1] + b',"instance":"urn:request:', b'","request_id":"', b'"}'], plain
    if kind == "text":
        start = f"{status} {title}\n{told}\n".encode()
        return [start + b"Request id: ", b"\n"], start
    values = {"status": str(status), "title": html.escape(title), "detail": html.escape(told)}
    return _fill(_PAGE + _PAGE_ID + _PAGE_END, values), b"".join(_fill(_PAGE + _PAGE_END, values))


def _fill(template: str, values: dict[str, str]) -> list[bytes]:
    """The template with `values` in it, split where the request id stands."""
    pieces = [""]
    at = 0
    for found in _VARIABLE.finditer(template):
        pieces[-1] += template[at : found.start()]
        at = found.end()
        if found[1]:
            pieces[-1] += found[1]
        elif found[2] == "request_id":
            pieces.append("")
        else:
            pieces[-1] += values[found[2]]
    pieces[-1] += template[at:]
    return [piece.encode() for piece in pieces]


def _load(config: Config, shared: Shared) -> dict[tuple[str, int], str]:
    """Templates by form and status: the exact status before the class before `default`."""
    found: dict[tuple[str, int], str] = {}
    problems: list[str] = []
    for key in sorted(config.templates, key=lambda name: (name == "default", name.endswith("xx"))):
        for path in config.templates[key]:
            kind = _SUFFIXES.get(Path(path).suffix.lower(), "")
            where = f"error_pages.templates.{key}"
            try:
                if not kind:
                    raise ValueError(f"{where}: {path!r} must end in .html, .json or .txt")
                text = _read(where, shared.folder / path)
            except ValueError as error:
                problems.append(str(error))
                continue
            statuses = [int(key)] if key.isdigit() else range(400, 600)
            for status in statuses:
                if key in ("default", str(status), f"{status // 100}xx"):
                    found.setdefault((kind, status), text)
    if problems:
        raise ValueError("\n".join(problems))
    return found


def _read(where: str, path: Path) -> str:
    try:
        if path.stat().st_size > LARGEST_TEMPLATE:
            raise ValueError(f"{where}: {path} is larger than 1 MiB")
        text = path.read_text("utf-8")
    except OSError as error:
        raise ValueError(f"{where}: cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{where}: {path} is not UTF-8 text") from None
    problems: list[str] = []
    for variable in _VARIABLE.finditer(text):
        name = variable[2]
        if variable[1] is None and name not in _VARIABLES:
            near = difflib.get_close_matches(name, _VARIABLES, 1)
            advice = f"did you mean ${{{near[0]}}}?" if near else "write $${ for a literal ${"
            line = text.count("\n", 0, variable.start()) + 1
            problems.append(f"{where}: {path}:{line}: ${{{name}}} is not known: {advice}")
    if problems:
        raise ValueError("\n".join(problems))
    return text
