"""Edits of the fields that go to the client: `set`, `add`, `remove`, with variables.

Constants are baked into the plan and cost nothing per request; what has variables is a `deliver` hook, which runs on
local replies too. The rule: a name that is set is set once, whatever the origin sent.
"""

from __future__ import annotations

from gateway.exchange import Exchange
from gateway.field_edits import FieldNames, FieldPairs, check_apart, compile_pairs
from gateway.hooks import Hooks, Shared
from gateway.http.message import Response
from gateway.schema import Model, model_validator


class Config(Model):
    """Edits of response fields. Values may hold variables, such as `${request_id}` or `${header:Origin}`."""

    set: FieldPairs = {}
    """Fields to set, whatever the origin sent; a value that comes out empty removes the field."""
    add: FieldPairs = {}
    """Fields to add beside those of the same name; a value that comes out empty adds nothing."""
    remove: FieldNames = []
    """Names of fields to remove."""

    @model_validator(mode="after")
    def _apart(self) -> Config:
        check_apart(self.set, self.add, self.remove)
        return self


def build(config: Config, shared: Shared) -> Hooks:
    """Constant `set` and `remove` become part of the plan; the hook exists for `add` and for variables only."""
    replaced, added = compile_pairs(config.set), compile_pairs(config.add)
    set_here = frozenset(name for name, _render in replaced.rendered)
    constant = tuple(added.constant)
    rendered = replaced.rendered + added.rendered

    def deliver(exchange: Exchange, response: Response) -> None:
        # A new list always: a prepared reply shares its fields with other exchanges.
        fields = [field for field in response.fields if field[0] not in set_here]
        fields += constant
        for name, render in rendered:
            value = render(exchange)
            if value:
                fields.append((name, value))
        response.fields = fields

    return Hooks(
        deliver=deliver if constant or rendered else None,
        drop_response=set_here.union(name.encode() for name in config.remove),
        set_response=tuple(replaced.constant),
    )
