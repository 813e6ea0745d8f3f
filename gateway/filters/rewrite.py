"""Changes of the path on its way upstream: strip, replace or add a prefix, or a regular expression.

A `prepare` hook that edits the request line. The rule: what comes out is again a normalised absolute path, and the
query is kept.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any, TypeAlias
from urllib.parse import quote as percent_encode

from gateway.errors import Cause, ClientFault
from gateway.exchange import Exchange
from gateway.hooks import Hooks, Shared, UpstreamHead
from gateway.http.message import Malformed
from gateway.http.path import PathRules, normalise
from gateway.patterns import Regex, compile_regex
from gateway.schema import AfterValidator, Field, Model, model_validator

_GROUP = re.compile(r"\\(.)", re.DOTALL)
_ASCII = "".join(map(chr, range(0x21, 0x7F)))
_NO_RULES = PathRules()

Step: TypeAlias = Callable[[bytes], bytes]


def _read_prefix(text: str) -> str:
    if not text.startswith("/"):
        raise ValueError(f"{text!r}: a prefix begins with a slash: write /{text}")
    if "*" in text:
        raise ValueError(f"{text!r}: a prefix is plain text: leave the * out")
    _check_path(text)
    return text.rstrip("/")


def _check_path(text: str) -> None:
    if "?" in text or "#" in text:
        raise ValueError(f"{text!r}: the query is kept as it is and cannot be written here")
    plain = percent_encode(text, safe=_ASCII).encode()
    try:
        if normalise(plain, _NO_RULES) != plain:
            raise ValueError(f"{text!r}: write {normalise(plain, _NO_RULES).decode()}, the form that paths have here")
    except Malformed as fault:
        raise ValueError(f"{text!r} is not a path: {fault.why}") from None


def _read_pattern(text: str) -> str:
    compile_regex(text)
    return text


_Prefix: TypeAlias = Annotated[str, AfterValidator(_read_prefix)]


class ReplacePrefix(Model):
    """One prefix for another."""

    old: _Prefix = Field(alias="from")
    """The prefix to replace, at a segment boundary: `/old` is in `/old/x` and not in `/older`."""
    to: _Prefix
    """What stands there instead."""


class ReplaceRegex(Model):
    """A path for a path."""

    pattern: Annotated[str, AfterValidator(_read_pattern)]
    """Regular expression (RE2, linear time) that the whole path must match; other paths stay as they are."""
    to: str
    """The new path; `\\1` to `\\9` are the groups of the pattern, `\\\\` is a backslash."""

    @model_validator(mode="after")
    def _fits(self) -> ReplaceRegex:
        if not self.to.startswith("/"):
            raise ValueError(f"{self.to!r}: a path begins with a slash: write /{self.to}")
        groups = compile_regex(self.pattern).groups
        for found in _GROUP.finditer(self.to + ("\\" if self.to.endswith("\\") else "")):
            if not found[1].isdecimal() or found[1] == "0":
                raise ValueError(f"{found[0]!r} is not a group: write \\1 to \\9")
            if int(found[1]) > groups:
                raise ValueError(f"{found[0]!r}: the pattern has {groups} group{'' if groups == 1 else 's'}")
        _check_path(_GROUP.sub("x", self.to))
        return self


class Config(Model):
    """What to change. `strip_prefix`, `replace_prefix` and `regex` exclude each other; `add_prefix` comes last."""

    strip_prefix: _Prefix | None = None
    """A prefix to take away, at a segment boundary; paths without it stay as they are."""
    replace_prefix: ReplacePrefix | None = None
    """A prefix to replace: `{from: /old, to: /new}`."""
    regex: ReplaceRegex | None = None
    """A path to replace: `{pattern: '/v1/(.*)', to: '/api/\\1'}`."""
    add_prefix: _Prefix | None = None
    """A prefix to put before the path."""

    @model_validator(mode="after")
    def _one(self) -> Config:
        found = [key for key in ("strip_prefix", "replace_prefix", "regex") if getattr(self, key) is not None]
        if len(found) > 1:
            raise ValueError(f"only one of `strip_prefix`, `replace_prefix`, `regex`: found {' and '.join(found)}")
        return self


def build(config: Config, shared: Shared) -> Hooks:
    """One prepare hook that runs the configured steps in order."""
    steps: list[Step] = []
    if config.strip_prefix:
        steps.append(_replace_prefix(config.strip_prefix, ""))
    if config.replace_prefix is not None:
        steps.append(_replace_prefix(config.replace_prefix.old, config.replace_prefix.to))
    if config.regex is not None:
        steps.append(_replace_regex(compile_regex(config.regex.pattern), config.regex.to))
    if config.add_prefix:
        steps.append(_add_prefix(config.add_prefix))
    if not steps:
        return Hooks()

    def prepare(exchange: Exchange, head: UpstreamHead) -> None:
        path, mark, query = head.target.partition(b"?")
        if path[:1] != b"/":  # OPTIONS *: there is no path to rewrite
            return
        for step in steps:
            path = step(path)
        head.target = b"%b?%b" % (path, query) if mark else path

    return Hooks(prepare=prepare)


def _replace_prefix(old: str, new: str) -> Step:
    whole, start = old.encode(), old.encode() + b"/"
    instead, cut = new.encode(), len(whole)

    def step(path: bytes) -> bytes:
        if path.startswith(start):
            return instead + path[cut:]
        return (instead or b"/") if path == whole else path

    return step


def _add_prefix(prefix: str) -> Step:
    before = prefix.encode()
    return lambda path: before + path


def _replace_regex(pattern: Regex, to: str) -> Step:
    parts: list[Any] = []
    at = 0
    for found in _GROUP.finditer(to):
        parts += [to[at : found.start()].encode(), int(found[1])]
        at = found.end()
    parts.append(to[at:].encode())

    def step(path: bytes) -> bytes:
        match = pattern.fullmatch(path)
        if match is None:
            return path
        new = b"".join([(match.group(part) or b"") if isinstance(part, int) else part for part in parts])
        # Groups cut anywhere: "/p(.*)" to "/\1" makes "/../x" of "/p../x", and half an escape of a whole one.
        try:
            return normalise(new, _NO_RULES)
        except Malformed as fault:
            raise ClientFault(Cause.MALFORMED_REQUEST, f"the rewritten path has {fault.why}") from None

    return step
