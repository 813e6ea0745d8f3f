"""The access log: one line for every exchange that is over.

A `log` hook, last of all, on local replies and refused bytes too. The rule: no client can forge or hide a line, and no
line holds what the operator keeps secret; the usual line is rendered in one go, an unusual one field by field.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Literal, NamedTuple, TypeAlias

from gateway.exchange import Connection, Exchange, Verdict
from gateway.hooks import Hooks, Shared
from gateway.log_lines import (
    PLAIN,
    REDACTED,
    Value,
    combined_line,
    json_line,
    logfmt_line,
    make_redactor,
    quoted,
    text,
)
from gateway.schema import Field, Model, model_validator

# Longer lines tear when several processes write into one pipe (PIPE_BUF, pipe(7)): their values are cut, ever shorter.
MOST_OF_A_LINE = 4096
_CUTS = (1024, 256, 64, 16)  # bytes of one value

FieldName = Literal[
    "time", "request_id", "client", "method", "scheme", "host", "path", "query", "protocol", "status", "bytes_in",
    "bytes_out", "duration_ms", "route", "user_agent", "referer", "upstream", "upstream_ms", "attempts", "peer",
    "verdict", "rule", "cause", "error", "detail", "tls", "ja4", "trace_id",
]  # fmt: skip


class Config(Model):
    """One line per exchange, on by default. `access_log: off` on a route switches it off there."""

    format: Literal["json", "combined", "logfmt"] = "json"
    """`json` lines, `logfmt`, or the `combined` format of Apache and nginx, whose layout is fixed."""
    output: str = Field(default="stdout", min_length=1)
    """`stdout`, `stderr`, or the path of a file (created with mode 0640; USR1 opens it anew after a rotation)."""
    fields: list[FieldName] | None = Field(default=None, min_length=1)
    """Which fields a line has, in this order; all of them if nothing is said."""
    headers: list[str] = []
    """Names of further request fields to log."""
    sample: float = Field(default=1.0, ge=0.0, le=1.0)
    """The share of exchanges to log: 0.1 is every tenth. Failed exchanges and statuses from 500 are always logged."""
    redact_query: list[str] = Field(
        default=[
            "access_token", "api_key", "apikey", "auth", "client_secret", "id_token", "key", "passwd", "password",
            "refresh_token", "secret", "session", "sig", "signature", "token",
        ]
    )  # fmt: skip
    """Query keys whose values are replaced by `[redacted]`, in the query and in the Referer, whose user and password
    always are."""
    redact_headers: list[str] = Field(default=["authorization", "cookie", "proxy-authorization", "x-api-key"])
    """Of the fields named under `headers`, those whose values are replaced by `[redacted]`."""

    @model_validator(mode="after")
    def _combined_is_fixed(self) -> Config:
        if self.format == "combined" and (self.fields is not None or self.headers):
            raise ValueError("the combined format has a fixed layout: remove `fields` and `headers`, or write logfmt")
        return self


Setting: TypeAlias = Literal["off"] | Config


class _Moment(NamedTuple):
    """What a line needs to know beside its exchange: when, how long, and how much of a value may be shown."""

    wall: float
    seconds: float
    most: int


_Getter: TypeAlias = Callable[[Exchange, _Moment], Value | None]


def build(config: Setting, shared: Shared) -> Hooks:
    """The hook of one route. Raises ValueError if the output cannot be opened."""
    if config == "off" or shared.now is None or shared.wall is None:
        return Hooks()
    now, wall, write = shared.now, shared.wall, _open(config, shared)
    render = _renderer(config, shared.route)
    if config.format == "json" and config.fields is None and not config.headers:
        render = _quick_renderer(config, shared, render)

    def log(exchange: Exchange) -> None:
        ended = exchange.ended
        write(render(exchange, wall() - now() + ended, ended - exchange.started))

    return Hooks(log=log if config.sample == 1.0 else _sampled(log, config.sample))


def _open(config: Config, shared: Shared) -> Callable[[bytes], None]:
    output = config.output if config.output in {"stdout", "stderr"} else str(shared.folder / config.output)
    if shared.open_log is None:
        return _discard
    try:
        return shared.open_log(output)
    except OSError as error:
        raise ValueError(f"output: cannot open the access log {output}: {os.strerror(error.errno or 0)}") from error


def _discard(_line: bytes) -> None:
    """Where there is nothing to write to: `gateway check` and `gateway explain`."""


def _sampled(log: Callable[[Exchange], None], share: float) -> Callable[[Exchange], None]:
    credit = 0.0

    def sampled(exchange: Exchange) -> None:
        nonlocal credit
        if exchange.fault is None and _status(exchange) < 500:
            credit += share
            if credit < 1.0:
                return
            credit -= 1.0
        log(exchange)

    return sampled


_Render: TypeAlias = Callable[[Exchange, float, float], bytes]


def _renderer(config: Config, route: str) -> _Render:
    """Renders any selection in any format, field by field: (exchange, wall clock, duration) -> line."""
    names: tuple[str, ...] = tuple(config.fields or FieldName.__args__)  # type: ignore[attr-defined]
    getters = _getters(config, route)
    chosen = [(name, getters[name]) for name in names]
    if config.headers:
        chosen.append(("headers", getters["headers"]))
    encode = json_line if config.format == "json" else logfmt_line
    if config.format == "combined":
        encode = combined_line
        chosen = [(name, _common_time if name == "time" else getters[name]) for name in names]

    def render(exchange: Exchange, wall: float, seconds: float) -> bytes:
        line = b""
        for most in _CUTS:
            moment = _Moment(wall, max(0.0, seconds), most)
            values = {}
            for name, getter in chosen:
                value = getter(exchange, moment)
                if value is not None:
                    values[name] = value
            line = encode(values)
            if len(line) <= MOST_OF_A_LINE:
                break
        return line

    return render


def _getters(config: Config, route: str) -> dict[str, _Getter]:
    """How to read each field of an exchange; None leaves the field out."""
    redact = make_redactor(config.redact_query) or bytes
    secret = frozenset(name.lower() for name in config.redact_headers)
    headers = [(name.lower(), name.lower().encode()) for name in config.headers]

    def shown(name: str, value: bytes) -> bytes:
        if name in secret:
            return REDACTED
        return _redact_url(value, redact) if name == "referer" else value

    def fields(exchange: Exchange, moment: _Moment) -> dict[str, str]:
        index = exchange.request.index
        return {name: text(shown(name, index[key]), moment.most) for name, key in headers if key in index}

    def referer(exchange: Exchange, moment: _Moment) -> str:
        return text(_redact_url(exchange.request.index.get(b"referer", b""), redact), moment.most)

    return {
        "time": lambda _exchange, moment: _time_text(moment.wall),
        "request_id": lambda exchange, moment: text(exchange.id, moment.most),
        "client": lambda exchange, moment: text(exchange.client or "unix", moment.most),
        "method": lambda exchange, moment: text(exchange.request.method, moment.most),
        "scheme": lambda exchange, moment: text(exchange.scheme, moment.most),
        "host": lambda exchange, moment: text(exchange.request.host, moment.most),
        "path": lambda exchange, moment: text(exchange.request.path, moment.most),
        "query": lambda exchange, moment: text(redact(exchange.request.query or b""), moment.most),
        "protocol": lambda exchange, _moment: f"HTTP/1.{exchange.request.minor}",
        "status": lambda exchange, _moment: _status(exchange),
        "bytes_in": lambda exchange, _moment: exchange.received,
        "bytes_out": lambda exchange, _moment: exchange.sent,
        "duration_ms": lambda _exchange, moment: int(moment.seconds * 1e6) / 1000,
        "route": lambda _exchange, _moment: route,
        "user_agent": lambda exchange, moment: text(exchange.request.index.get(b"user-agent", b""), moment.most),
        "referer": referer,
        "headers": fields,
        **_OPTIONAL,
    }


# Fields that a line has only when there is something to say.
_OPTIONAL: dict[str, _Getter] = {
    "upstream": lambda exchange, moment: text(exchange.endpoint, moment.most) if exchange.endpoint else None,
    "upstream_ms": lambda exchange, _moment: int(exchange.upstream_seconds * 1e6) / 1000 if exchange.endpoint else None,
    "attempts": lambda exchange, _moment: exchange.attempts if exchange.endpoint else None,
    "peer": lambda exchange, moment: (
        text(exchange.connection.peer, moment.most) if exchange.connection.peer != exchange.client else None
    ),
    "verdict": lambda exchange, _moment: text(exchange.verdict.by, 256) if exchange.verdict else None,
    "rule": lambda exchange, _moment: text(exchange.verdict.rule, 256) if exchange.verdict else None,
    "cause": lambda exchange, _moment: exchange.fault.cause.word if exchange.fault else None,
    "error": lambda exchange, _moment: exchange.fault.cause.token if exchange.fault else None,
    "detail": lambda exchange, _moment: (
        text(exchange.fault.detail, 256) if exchange.fault and exchange.fault.detail else None
    ),
    "tls": lambda exchange, _moment: exchange.connection.tls.version if exchange.connection.tls else None,
    "ja4": lambda exchange, _moment: text(exchange.connection.tls.ja4, 256) if exchange.connection.tls else None,
    "trace_id": lambda exchange, _moment: text(exchange.trace[3:35], 32) if exchange.trace else None,
}


def _status(exchange: Exchange) -> int:
    """The status that was sent, or would have been: 499 if the client left before."""
    if exchange.response is not None:
        return exchange.response.status
    return 499 if exchange.fault is None else exchange.fault.cause.status


def _redact_url(url: bytes, redact: Callable[[bytes], bytes]) -> bytes:
    """A Referer with its secrets gone: user and password, and those of its query and fragment."""
    page, mark, fragment = url.partition(b"#")
    where, question, query = page.partition(b"?")
    scheme, slashes, rest = where.partition(b"//")
    host, slash, path = rest.partition(b"/")
    if b"@" in host:
        where = scheme + slashes + REDACTED + b"@" + host.rpartition(b"@")[2] + slash + path
    return where + question + redact(query) + mark + redact(fragment)


def _time_text(wall: float) -> str:
    """RFC 3339 with milliseconds, UTC."""
    second, milliseconds = divmod(int(wall * 1000), 1000)
    return f"{_second_text(second)}.{milliseconds:03d}Z"


@lru_cache(maxsize=2)
def _second_text(second: int) -> str:
    return f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%S}"


def _common_time(_exchange: Exchange, moment: _Moment) -> str:
    return _common_second(int(moment.wall))


@lru_cache(maxsize=2)
def _common_second(second: int) -> str:
    return f"{datetime.fromtimestamp(second, UTC):%d/%b/%Y:%H:%M:%S +0000}"


_VERDICT = {name: _OPTIONAL[name] for name in ("verdict", "rule")}
_UNUSUAL = {name: _OPTIONAL[name] for name in ("peer", "verdict", "rule", "cause", "error", "detail")}
_TLS = {name: _OPTIONAL[name] for name in ("tls", "ja4")}
_TRACE = {"trace_id": _OPTIONAL["trace_id"]}
_SCHEMES = {"http": b"http", "https": b"https"}
# Remembered pieces; against endpoints whose addresses change for ever, and rules that name what a client sent.
_MOST_REMEMBERED = 1000
_LONGEST_WORDS = 1024  # bytes of a user agent and a referer that are remembered together: 2 MB in all


def _quick_renderer(config: Config, shared: Shared, render: _Render) -> _Render:
    """The default line in one formatting, several times faster; `render` says what it must look like.

    Every value that a client or a peer may have chosen is checked byte by byte, all in one pass: if one of them does
    not stand for itself in JSON, or the line is too long, `render` writes the line.
    """
    redact = make_redactor(config.redact_query) or bytes
    template = (
        b'{"time":"%b","request_id":"%b","client":"%b","method":"%b","scheme":"%b","host":"%b","path":"%b",'
        b'"query":"%b","protocol":"HTTP/1.%d","status":%d,"bytes_in":%d,"bytes_out":%d,"duration_ms":%d.%03d,'
        b'"route":' + quoted(text(shared.route, 256)).encode().replace(b"%", b"%%") + b"%b%b}\n"
    )
    endpoints: dict[str, bytes] = {}
    words: dict[tuple[bytes, bytes], bytes] = shared.memory.setdefault(("access_log", *config.redact_query), {})
    verdicts: dict[tuple[str, str], bytes] = {}
    stamped, stamp = 0, b""

    def quick(exchange: Exchange, wall: float, seconds: float) -> bytes:
        nonlocal stamped, stamp
        milliseconds = int(wall * 1000)
        if milliseconds != stamped:
            stamped, stamp = milliseconds, _time_text(wall).encode()
        request = exchange.request
        index = request.index
        agent, referer = index.get(b"user-agent", b""), index.get(b"referer", b"")
        said = words.get((agent, referer))
        if said is None:
            if len(words) >= _MOST_REMEMBERED:
                words.clear()
            said = words[agent, referer] = _words(agent, referer, redact)
        query = redact(request.query) if request.query else b""
        one, method, host, path = exchange.id, request.method, request.host, request.path
        client = exchange.client.encode("utf-8", "replace") or b"unix"
        scheme = _SCHEMES.get(exchange.scheme)
        if scheme is None or not said or b"".join((one, client, method, host, path, query)).translate(None, PLAIN):
            return render(exchange, wall, seconds)
        tail = b""
        endpoint = exchange.endpoint
        if endpoint:
            took = int(exchange.upstream_seconds * 1000000.0)
            name = endpoints.get(endpoint) or _remember(endpoints, endpoint)
            tail = b'%b%d.%03d,"attempts":%d' % (name, took // 1000, took % 1000, exchange.attempts)
        connection = exchange.connection
        verdict = exchange.verdict
        if exchange.fault is not None or exchange.client != connection.peer:
            tail += _fragment(_UNUSUAL, exchange)
        elif verdict is not None:
            tail += verdicts.get((verdict.by, verdict.rule)) or _remember_verdict(verdicts, exchange, verdict)
        if connection.tls is not None:
            tail += connection.identity.get("access_log") or _describe(connection, exchange)
        if exchange.trace:
            tail += _fragment(_TRACE, exchange)
        response = exchange.response
        took = int(seconds * 1000000.0) if seconds > 0.0 else 0
        line = template % (
            stamp, one, client, method, scheme, host, path, query, request.minor,
            _status(exchange) if response is None else response.status,
            exchange.received, exchange.sent, took // 1000, took % 1000, said, tail,
        )  # fmt: skip
        return line if len(line) <= MOST_OF_A_LINE else render(exchange, wall, seconds)

    return quick


def _words(agent: bytes, referer: bytes, redact: Callable[[bytes], bytes]) -> bytes:
    """What a client says of itself, as part of a line; b"" if `render` must write the line."""
    if referer:
        referer = _redact_url(referer, redact)
    if len(agent) + len(referer) > _LONGEST_WORDS or (agent + referer).translate(None, PLAIN):
        return b""
    return b',"user_agent":"%b","referer":"%b"' % (agent, referer)


def _fragment(getters: dict[str, _Getter], exchange: Exchange) -> bytes:
    """`,"name":"value"` for each of `getters` that has something to say."""
    moment = _Moment(0.0, 0.0, _CUTS[0])
    values = {name: value for name, get in getters.items() if (value := get(exchange, moment)) is not None}
    return b"," + json_line(values)[1:-2] if values else b""


def _remember(endpoints: dict[str, bytes], endpoint: str) -> bytes:
    if len(endpoints) >= _MOST_REMEMBERED:
        endpoints.clear()
    name = endpoints[endpoint] = b',"upstream":%b,"upstream_ms":' % quoted(text(endpoint, _CUTS[0])).encode()
    return name


def _remember_verdict(verdicts: dict[tuple[str, str], bytes], exchange: Exchange, verdict: Verdict) -> bytes:
    if len(verdicts) >= _MOST_REMEMBERED:
        verdicts.clear()
    piece = verdicts[verdict.by, verdict.rule] = _fragment(_VERDICT, exchange)
    return piece


def _describe(connection: Connection, exchange: Exchange) -> bytes:
    tls = connection.identity["access_log"] = _fragment(_TLS, exchange)
    return bytes(tls)
