"""Fixed answers: a status, a body, fields.

An `admit` hook of routes with `respond:`. The rule: the answer is made once, at load, and never edited, for
the pipeline copies a reply before anything is added to it.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

from gateway.exchange import Exchange, Verdict
from gateway.field_edits import FieldPairs, compile_pairs
from gateway.hooks import Hooks, Shared
from gateway.http.message import Response
from gateway.http.status import REASONS
from gateway.http.template import check_value
from gateway.schema import AfterValidator, BeforeValidator, Model, Short, model_validator

_WITHOUT_BODY = frozenset({204, 205, 304})  # RFC 9110 §15.3.5, §15.3.6, §15.4.5
MAX_BODY = 1 << 20  # characters: against a page that belongs onto an upstream, and into every worker's memory


def _read_status(status: int) -> int:
    if status < 200 or status not in REASONS:
        raise ValueError(f"{status} is not a final status: write for example 200, 404 or 503")
    return status


def _read_type(text: str) -> str:
    check_value(text)
    if "/" not in text:
        raise ValueError(f"{text!r} is not a media type: write for example text/html; charset=utf-8")
    return text


class Config(Model):
    """The answer."""

    status: Annotated[int, AfterValidator(_read_status)] = 200
    """Status, 200 to 599."""
    body: str = ""
    """Body, as it stands (UTF-8, no variables)."""
    content_type: Annotated[str, AfterValidator(_read_type)] = "text/plain; charset=utf-8"
    """Content-Type; sent if there is a body."""
    headers: FieldPairs = {}
    """Further fields, constant. For variables use the route's `response_headers`."""

    @model_validator(mode="after")
    def _whole(self) -> Config:
        if self.body and self.status in _WITHOUT_BODY:
            raise ValueError(f"an answer {self.status} has no body")
        if len(self.body) > MAX_BODY:
            raise ValueError(f"a body of {len(self.body)} characters: at most {MAX_BODY} are allowed here")
        if "content-type" in self.headers:
            raise ValueError("the media type goes under `content_type`")
        varied = [name.decode() for name, _render in compile_pairs(self.headers).rendered]
        if varied:
            raise ValueError(f"{varied[0]!r} holds a variable: write it under the route's `response_headers`")
        return self


def _from_status(value: object) -> object:
    return {"status": value} if isinstance(value, int) and not isinstance(value, bool) else value


ConfigOrStatus: TypeAlias = Annotated[
    Config,
    BeforeValidator(_from_status),
    Short("integer"),
]


def build(config: Config, shared: Shared) -> Hooks:
    """One admit hook; the wire leaves the body out for HEAD."""
    fields = [(b"content-type", config.content_type.encode())] if config.body else []
    fields += compile_pairs(config.headers).constant
    reply = Response(config.status, fields, body=config.body.encode())
    rule = str(config.status)

    def admit(exchange: Exchange) -> Verdict:
        return Verdict("respond", rule, reply)

    return Hooks(admit=admit)
