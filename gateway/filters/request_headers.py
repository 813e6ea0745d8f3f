"""Edits of the fields that go upstream: `set`, `add`, `remove`, with variables.

A `prepare` hook, after `forwarded` has said who the client is. The rule: a name that is set or removed comes from
nobody else, neither from the client nor from another feature.
"""

from __future__ import annotations

from operator import itemgetter

from gateway.exchange import Exchange
from gateway.field_edits import FieldNames, FieldPairs, check_apart, compile_pairs
from gateway.hooks import Hooks, Shared, UpstreamHead
from gateway.http.fields import without
from gateway.schema import Model, model_validator

_names_of = itemgetter(0)


class Config(Model):
    """Edits of request fields. Values may hold variables, such as `${client}` or `${header:X-Version}`."""

    set: FieldPairs = {}
    """Fields to set, whatever was there; a value that comes out empty removes the field."""
    add: FieldPairs = {}
    """Fields to add beside those of the same name; a value that comes out empty adds nothing."""
    remove: FieldNames = []
    """Names of fields to remove."""

    @model_validator(mode="after")
    def _apart(self) -> Config:
        check_apart(self.set, self.add, self.remove)
        return self


def build(config: Config, shared: Shared) -> Hooks:
    """Names that go are dropped while the client's fields are copied; the hook adds, and drops what features added."""
    gone = frozenset(name.encode() for name in (*config.set, *config.remove))
    constant, rendered = compile_pairs({**config.set, **config.add})
    if not gone and not constant and not rendered:
        return Hooks()

    def prepare(exchange: Exchange, head: UpstreamHead) -> None:
        fields = head.fields
        if gone and not gone.isdisjoint(map(_names_of, fields)):
            head.fields = fields = without(fields, gone)
        fields += constant
        for name, render in rendered:
            value = render(exchange)
            if value:
                fields.append((name, value))

    return Hooks(prepare=prepare, drop_request=gone)
