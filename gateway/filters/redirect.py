"""Redirects: answers that send the client elsewhere.

An `admit` hook of routes with `redirect:`; the target is a template, compiled at load. The rule: a client can fill
the variables of a target but never choose its host, so no route becomes an open redirect.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from gateway.exchange import Exchange, Verdict
from gateway.hooks import Hooks, Shared
from gateway.http.message import Response
from gateway.http.template import compile_uri, split_template, uri_bytes
from gateway.schema import AfterValidator, BeforeValidator, Model, Short

_NAMES_A_HOST = frozenset({"host", "authority"})
_IN_AUTHORITY = _NAMES_A_HOST | {"country", "tier", "listener", "route", "upstream"}  # words of ours, or checked
_BEGINS_WITH_SLASH = frozenset({"path", "uri"})
_NO_HOST = Response(400, [(b"content-type", b"text/plain; charset=utf-8")], body=b"This request names no host.\n")


def _read_target(text: str) -> str:
    pieces = split_template(text)
    for part in text.split("#", 1):
        compile_uri(part)
    first, is_variable = pieces[0] if pieces else ("", False)
    if is_variable and first == "scheme" and len(pieces) > 1 and pieces[1][0].startswith("://"):
        _check_authority(text, [(pieces[1][0][3:], False), *pieces[2:]])
    elif not is_variable and first.lower().startswith(("http://", "https://")):
        _check_authority(text, [(first.partition("://")[2], False), *pieces[1:]])
    elif not is_variable and first.startswith("//"):
        raise ValueError(f"{text!r}: write the scheme too, as in https:{text}")
    elif not (first in _BEGINS_WITH_SLASH if is_variable else first.startswith("/")):
        raise ValueError(f"{text!r} is not a target: it begins with https://, http://, /, ${{path}} or ${{uri}}")
    return text


def _check_authority(text: str, pieces: list[tuple[str, bool]]) -> None:
    """The host of an absolute target is written by the operator, up to words that no client can choose."""
    host = ""
    for piece, is_variable in pieces:
        if not is_variable:
            part = piece.replace("?", "/").replace("#", "/").partition("/")
            host += part[0]
            if part[1]:
                break
        elif piece in _IN_AUTHORITY:
            host += "x"
        elif piece in _BEGINS_WITH_SLASH:
            break
        else:
            raise ValueError(f"{text!r}: ${{{piece}}} would let a client choose the host: put a slash before it")
    if not host:
        raise ValueError(f"{text!r} names no host: write for example https://${{host}}${{uri}}")


class Config(Model):
    """Where to send the client."""

    to: Annotated[str, AfterValidator(_read_target)]
    """The target: `https://new.example.com${uri}`, `/moved/here`, `https://${host}/x`. Variables are escaped."""
    status: Literal[301, 302, 303, 307, 308] = 308
    """308 (permanent) and 307 (for now) keep method and body; 301 and 302 are read as GET; 303 always is."""
    keep_query: bool = True
    """Whether the query of the request goes on to a target that does not place it itself."""


def _from_target(value: object) -> object:
    return {"to": value} if isinstance(value, str) else value


ConfigOrTarget: TypeAlias = Annotated[
    Config,
    BeforeValidator(_from_target),
    Short("string"),
]


def build(config: Config, shared: Shared) -> Hooks:
    """One admit hook; a target without variables and query is one prepared reply."""
    before, mark, fragment = config.to.partition("#")
    target = compile_uri(before)
    tail = (compile_uri(mark + fragment).constant or b"") if mark else b""
    keep_query = config.keep_query and not {"query", "uri"} & set(target.variables)
    joint = b"&" if "?" in before else b"?"
    relative = "://" not in before
    wants_host = not _NAMES_A_HOST.isdisjoint(target.variables)
    status, rule, render = config.status, config.to, target.render
    prepared = None
    if target.constant is not None and not (relative and target.constant.startswith(b"//")):
        prepared = Verdict("redirect", rule, Response(status, [(b"location", target.constant + tail)], body=b""))

    def admit(exchange: Exchange) -> Verdict:
        request = exchange.request
        if prepared is not None and not (keep_query and request.query):
            return prepared
        if wants_host and not request.host:  # HTTP/1.0 without Host: "https:///x" would lead to the host x
            return Verdict("redirect", rule, _NO_HOST)
        location = render(exchange)
        if relative and location.startswith(b"//"):  # a path "//host/x" would be read as another host
            location = b"/" + location.lstrip(b"/")
        if keep_query and request.query:
            location = b"%b%b%b" % (location, joint, uri_bytes(request.query))
        return Verdict("redirect", rule, Response(status, [(b"location", location + tail)], body=b""))

    return Hooks(admit=admit)
