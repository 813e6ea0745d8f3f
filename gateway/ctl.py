"""`gateway ctl` and `gateway reload`: asks a running gateway over its admin listener, and says what it answered.

Called by `cli.py`. The rule: a thin client; what may be done, and whether it was, is the gateway's to say, and the exit
code repeats it. A configuration that is wrong is read as far as it goes: it is what one wants to know about.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from gateway import __version__
from gateway.admin.settings import AdminConfig
from gateway.admin.token_file import NAME, TokenUnusable, read
from gateway.admin_client import PATIENCE, Answer, Door, NoAnswer, Question, ask, parse_door, trust
from gateway.config import ConfigError, load
from gateway.ctl_shown import shown
from gateway.usage import DEFAULT_FILE

DONE = 0
REFUSED = 1
BAD_USAGE = 2
NOBODY_THERE = 3
# For a reload: workers are given a minute to build what is new, and then some seconds to take it up.
LONG_PATIENCE = 180.0


class Outcome(NamedTuple):
    """How it ended: the exit code, and what goes to standard output and to standard error."""

    code: int
    out: str = ""
    err: str = ""


class _Known(NamedTuple):
    """What a configuration tells of its gateway."""

    admin: AdminConfig
    state_dir: Path | None
    folder: Path


class _Wrong(Exception):
    """It ends here, before anybody is asked."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


def run(options: argparse.Namespace) -> Outcome:
    """Does what was typed (ctl_usage.py). Never raises for what a person, or the gateway, did wrong."""
    order = "reload" if options.command == "reload" else options.order
    wanted = _WANTED[order](options)
    try:
        known = _known(options)
        door = _door(options, known)
        token = _token(options, known) if wanted.method != "GET" else ""
    except _Wrong as wrong:
        return Outcome(wrong.code, err=str(wrong))
    try:
        patience = LONG_PATIENCE if order == "reload" else PATIENCE
        answer = ask(door, wanted, token, patience)
    except NoAnswer as error:
        return Outcome(NOBODY_THERE, err=f"{error}{_advice(options)}")
    as_json = getattr(options, "json", False)
    out = json.dumps(answer.value, indent=2) if as_json else ""
    if answer.status != 200:
        return Outcome(REFUSED, out, _refusal(answer))
    try:
        return Outcome(DONE, out or shown(order, answer.value))
    except (AttributeError, KeyError, TypeError, ValueError):
        return Outcome(NOBODY_THERE, err=f"What answers at {door} is not a gateway of this version ({__version__}).")


# -- where, and as whom -----------------------------------------------------------------------------------------------


def _known(options: argparse.Namespace) -> _Known:
    path = Path(options.config or DEFAULT_FILE)
    if not path.is_file():
        if options.config is not None:
            raise _Wrong(BAD_USAGE, f"-c: there is no file {path}.")
        return _Known(AdminConfig(), None, path.parent)
    try:
        config = load(path).config
    except ConfigError as error:
        if error.sound is None:
            return _Known(AdminConfig(), None, path.parent)
        config = error.sound.config
    return _Known(config.admin, path.parent / config.state_dir if config.state_dir else None, path.parent)


def _door(options: argparse.Namespace, known: _Known) -> Door:
    tls = known.admin.tls
    if options.admin is not None:
        try:
            bind, is_tls = parse_door(options.admin)
        except ValueError as error:
            raise _Wrong(BAD_USAGE, f"--admin: {error}.") from None
    elif known.admin.bind is None:
        raise _Wrong(BAD_USAGE, "This configuration has no admin listener: give it `admin: {bind: 127.0.0.1:9090}`.")
    else:
        bind, is_tls = known.admin.bind, tls is not None
    if not is_tls:
        return Door(bind)
    own = (
        known.folder / tls.certificate if tls is not None else None
    )  # of the listener itself: as good as its authority
    try:
        return Door(bind, trust(Path(options.ca) if options.ca else own, Path(options.cert) if options.cert else None))
    except NoAnswer as error:
        raise _Wrong(BAD_USAGE, str(error)) from None


def _token(options: argparse.Namespace, known: _Known) -> str:
    """ "" where none is known: then the gateway says what it wants."""
    if options.token_file is not None:
        try:
            return Path(options.token_file).read_text().strip()
        except (OSError, ValueError) as error:
            raise _Wrong(BAD_USAGE, f"--token-file: {options.token_file} cannot be read: {_reason(error)}.") from None
    if known.admin.token or known.state_dir is None:
        return known.admin.token or ""
    path = known.state_dir / NAME
    try:
        return read(path)
    except FileNotFoundError:
        return ""
    except (OSError, TokenUnusable) as error:
        advice = "run this as the gateway's user, or name another file with --token-file FILE"
        raise _Wrong(REFUSED, f"The token cannot be read from {path}: {_reason(error)}: {advice}.") from None


def _reason(error: Exception) -> str:
    return os.strerror(error.errno or 0) if isinstance(error, OSError) else str(error)


def _advice(options: argparse.Namespace) -> str:
    if options.admin is not None:
        return " Is it running?"
    return (
        " Is it running? Its admin address is admin.bind of its configuration: name that with -c FILE, or --admin ADDR."
    )


# -- what -------------------------------------------------------------------------------------------------------------


def _endpoint(what: str) -> Callable[[argparse.Namespace], Question]:
    def wanted(options: argparse.Namespace) -> Question:
        path = f"/upstreams/{quote(options.upstream, safe='')}/endpoints/{quote(options.endpoint, safe='')}/{what}"
        return Question("PUT", path, {"weight": options.weight}) if what == "weight" else Question("POST", path)

    return wanted


def _maintenance(options: argparse.Namespace) -> Question:
    path = f"/routes/{quote(options.route, safe='')}/maintenance" if options.route else "/maintenance"
    if options.switch == "off":
        return Question("DELETE", path)
    return Question("PUT", path, {"on": True, "message": options.message, "retry_after": options.retry_after})


_WANTED: dict[str, Callable[[argparse.Namespace], Question]] = {
    "status": lambda _: Question("GET", "/status"),
    "routes": lambda _: Question("GET", "/routes"),
    "upstreams": lambda _: Question("GET", "/upstreams"),
    "errors": lambda _: Question("GET", "/errors"),
    "reload": lambda _: Question("POST", "/reload"),
    "drain": _endpoint("drain"),
    "undrain": _endpoint("undrain"),
    "weight": _endpoint("weight"),
    "log-level": lambda options: Question("PUT", "/log/level", {"level": options.level, "for": options.length}),
    "maintenance": _maintenance,
}


def _refusal(answer: Answer) -> str:
    problem = answer.value if isinstance(answer.value, dict) else {}
    lines = [f"Refused: {problem.get('detail') or problem.get('title') or answer.status}."]
    lines += [f"{one.get('pointer', '')} {one.get('detail', '')}".strip() for one in problem.get("errors", ())]
    if answer.status == 401:
        lines.append("Name the file that holds the token with --token-file FILE.")
    return "\n".join(lines)
