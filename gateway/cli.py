"""The command `gateway`: run, check, schema, explain, certs.

It stands before the journey: it loads a configuration, hands it to `app`, and turns what went wrong into one sentence
and an exit code. Nothing is imported before the command that needs it is known, so that `gateway run` answers early
(docs/decisions/0004).
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from gateway import __version__
from gateway.usage import DEFAULT_ADMIN, DEFAULT_FILE, WrongUsage, make_parser, read_words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.admin_client import Door
    from gateway.check import Report
    from gateway.config import Loaded, Problem
    from gateway.server.settings import Bind

# Exit codes; 4 comes from app.run.
CLEAN = 0
BAD_CONFIGURATION = 1
DIFFERENT = 1  # of `diff --exit-code`
BAD_USAGE = 2
CANNOT_LISTEN = 3
DRAIN_CUT_SHORT = 4


class _Stop(Exception):
    """The command ends here with this code; `text` is for the person who typed it."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; the exit code. Never raises for what a person did wrong."""
    words = sys.argv[1:] if arguments is None else arguments
    if not words:
        make_parser()[0].print_help(sys.stderr)
        return BAD_USAGE
    try:
        options = read_words(words)
        command = _COMMANDS[options.command]
        code = command(options)
        sys.stdout.flush()
    except WrongUsage as wrong:
        _say(str(wrong))
        return BAD_USAGE
    except _Stop as stop:
        _say(stop.text)
        return stop.code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader left early (`gateway schema | head`): nothing is wrong, and nothing more can be written.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return CLEAN
    except SystemExit as leave:  # argparse: 0 for --help, 2 for usage
        return leave.code if isinstance(leave.code, int) else BAD_USAGE
    return code


def _say(text: str) -> None:
    print(f"{text}\n", end="", file=sys.stderr, flush=True)  # one write: whoever reads along sees all lines whole


@contextmanager
def _mistakes_told(loaded: Loaded | None = None) -> Iterator[None]:
    """Turns the mistakes of a configuration into the end of the command: a line each, and how many.

    What else is wrong with `loaded`, or with the part of the configuration that could be loaded, is told too.
    """
    from gateway.config import ConfigError  # noqa: PLC0415

    try:
        yield
    except ConfigError as error:
        from gateway.check import everything  # noqa: PLC0415

        report = everything(error, loaded)
        raise _Stop(BAD_CONFIGURATION, _told(report.errors, report.warnings)) from None


def _told(errors: Sequence[Problem], warnings: Sequence[str]) -> str:
    lines = [*map(str, errors), *(f"warning: {warning}" for warning in warnings)]
    counts = [_count(len(errors), "error"), _count(len(warnings), "warning")]
    return "\n".join([*lines, ", ".join(counts if warnings else counts[:1])])


def _load(options: argparse.Namespace) -> Loaded:
    """The configuration that the options name. Raises _Stop with every mistake in it."""
    from gateway.config import load, quick  # noqa: PLC0415

    to = getattr(options, "to", None)
    with _mistakes_told():
        if to is not None:
            return quick(to, options.listen, options.tls_listen, options.admin)
        path = Path(options.config or DEFAULT_FILE)
        if options.config is None and not path.is_file():
            raise _Stop(
                BAD_USAGE,
                f"There is no {DEFAULT_FILE} here: name one with -c FILE, or begin without one:\n"
                "  gateway run --to http://127.0.0.1:3000",
            )
        return load(path)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _refuse(text: str) -> NoReturn:
    raise _Stop(BAD_USAGE, text)


def _run(options: argparse.Namespace) -> int:
    if options.to is None and (options.listen or options.tls_listen or options.admin):
        _refuse("--listen, --tls-listen and --admin go with --to; a configuration file names its own listeners.")
    if options.to is not None and options.config is not None:
        _refuse("Either --to URL or -c FILE: a configuration file names its own upstreams.")
    loaded = _load(options)
    from gateway.config import load  # noqa: PLC0415
    from gateway.serving import serve  # noqa: PLC0415

    path = Path(options.config or DEFAULT_FILE)
    read = None if options.to is not None else lambda: load(path)
    try:
        with _mistakes_told(loaded):
            return serve(loaded, read, options.workers, lambda: _say(_banner(loaded)))
    except OSError as error:
        if error.filename is None:
            raise  # not about an address: a bug, or a machine in trouble, and the traceback says which
        raise _Stop(CANNOT_LISTEN, _why_not(error)) from None


def _banner(loaded: Loaded) -> str:
    config = loaded.config
    lines = [
        f"gateway {__version__}: {_count(len(config.routes), 'route')}, {_count(len(config.upstreams), 'upstream')}"
    ]
    for listener in config.listeners:
        note = "  (answers 308 to https)" if listener.redirect_to_https else ""
        note += "  (PROXY protocol)" if listener.proxy_protocol is not None else ""
        lines.append(f"  {_asked(listener.bind, is_tls=listener.tls is not None)}{note}")
    if config.admin.bind is not None:
        lines.append(
            f"  {_asked(config.admin.bind, '/metrics', is_tls=config.admin.tls is not None)}  admin: health and metrics"
        )
    if config.admin.probe is not None:
        lines.append(f"  {_asked(config.admin.probe, '/readyz')}  probe: health and metrics for other machines")
    return "\n".join(lines)


def _asked(bind: Bind, path: str = "", *, is_tls: bool = False) -> str:
    """How to ask for a page there: a URL, or for a Unix socket a command that works."""
    scheme = "https" if is_tls else "http"
    if bind.path:
        return f"curl --unix-socket {shlex.quote(bind.path)} {scheme}://localhost{path or '/'}"
    return f"{scheme}://{bind}{path}"


def _why_not(error: OSError) -> str:
    """One sentence about a socket that could not be opened, with the command that tells more or mends it."""
    import errno  # noqa: PLC0415

    where = str(error.filename or "an address of the configuration")
    port = where.rpartition(":")[2]
    if error.errno == errno.EADDRINUSE:
        look = f"ss -ltnp 'sport = :{port}'" if port.isdigit() else f"ss -lxp | grep {where.removeprefix('unix:')}"
        return f"{where} is taken by another process; see which one with: {look}"
    if error.errno == errno.EACCES and port.isdigit():
        mend = f"sudo sysctl net.ipv4.ip_unprivileged_port_start={port}"
        return f"{where} is a low port, which only root may open; allow it to everyone with: {mend}"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{where} is not an address of this machine; see which are with: ip -brief address"
    if error.errno == errno.EAFNOSUPPORT:
        return f"{where} is an IPv6 address, and this machine has no IPv6: write 0.0.0.0:{port} for every address"
    if error.errno is not None and error.errno < 0:  # of getaddrinfo(3), whose numbers are not the system's
        name = where.rpartition(":")[0]
        return f"{where} is a name that this machine cannot resolve; see what it stands for with: getent hosts {name}"
    if where.startswith("unix:") and error.errno == errno.ENOENT:
        folder = Path(where.removeprefix("unix:")).parent
        return f"{where} cannot be made, for there is no folder {folder}; make it with: mkdir -p {folder}"
    return f"Cannot listen on {where}: {error.strerror or error}."


def _check(options: argparse.Namespace) -> int:
    if options.file is not None and options.config is not None:
        _refuse("Either FILE or -c FILE, not both.")
    options.config = options.file or options.config
    loaded, report = _checked(options)
    for warning in report.warnings:
        _say(f"warning: {warning}")
    config = loaded.config
    counts = (
        _count(len(config.listeners), "listener"),
        _count(len(config.routes), "route"),
        _count(len(config.upstreams), "upstream"),
        _count(len(report.warnings), "warning"),
    )
    is_wrong = options.strict and report.warnings
    said = "not ok with --strict" if is_wrong else "ok"
    print(f"{options.config or DEFAULT_FILE}: {said}: {', '.join(counts)}")
    return BAD_CONFIGURATION if is_wrong else CLEAN


def _checked(options: argparse.Namespace) -> tuple[Loaded, Report]:
    """The configuration, built as `gateway run` would. Raises _Stop with every mistake in it."""
    loaded = _load(options)
    from gateway.check import rehearse  # noqa: PLC0415

    report = rehearse(loaded)
    if report.errors:
        raise _Stop(BAD_CONFIGURATION, _told(report.errors, report.warnings))
    return loaded, report


def _schema(options: argparse.Namespace) -> int:
    import json  # noqa: PLC0415

    from gateway.config import schema  # noqa: PLC0415

    print(json.dumps(schema(options.of), indent=2))
    return CLEAN


def _diff(options: argparse.Namespace) -> int:
    from gateway.config import load  # noqa: PLC0415
    from gateway.config.difference import differences  # noqa: PLC0415

    with _mistakes_told():
        found = differences(load(Path(options.old)), load(Path(options.new)))
    for difference in found:
        print(difference)
    if not found:
        _say("They mean the same.")
    return DIFFERENT if found and options.exit_code else CLEAN


def _explain(options: argparse.Namespace) -> int:
    loaded, report = _checked(options)
    from gateway.explain import NotARequest, explain  # noqa: PLC0415

    if report.site is None:
        return BAD_CONFIGURATION
    try:
        print("\n".join(explain(loaded, report.site, (options.method, options.url), options.header)))
    except NotARequest as error:
        _refuse(str(error))
    return CLEAN


def _certs(options: argparse.Namespace) -> int:
    if options.make is not None:
        from gateway.development import main as make  # noqa: PLC0415

        return make([options.make])
    import time  # noqa: PLC0415

    from gateway.admin_client import NoAnswer  # noqa: PLC0415
    from gateway.certs import from_files, from_gateway, listing  # noqa: PLC0415

    has_file = options.config is not None or Path(DEFAULT_FILE).is_file()
    if options.admin is not None or not has_file:
        try:
            rows = from_gateway(_door(options.admin or DEFAULT_ADMIN))
        except NoAnswer as error:
            if options.admin is None:
                _refuse(
                    f"There is no {DEFAULT_FILE} here, so a gateway was looked for. {error}\n"
                    "Name a file with -c FILE, or the admin address of a gateway that runs with --admin ADDR."
                )
            _refuse(str(error))
    else:
        loaded = _load(options)
        with _mistakes_told(loaded):
            rows = from_files(loaded, lambda text: _say(f"warning: {text}"))
    if not rows:
        _say("No listener has `tls`, so no certificate is served.")
    for line in listing(rows, time.time()):
        print(line)
    return CLEAN


def _ctl(options: argparse.Namespace) -> int:
    from gateway.ctl import run  # noqa: PLC0415

    outcome = run(options)
    if outcome.out:
        print(outcome.out)
    if outcome.err:
        _say(outcome.err)
    return outcome.code


def _door(text: str) -> Door:
    from gateway.admin_client import Door, parse_door, trust  # noqa: PLC0415

    try:
        bind, is_tls = parse_door(text)
        return Door(bind, trust(None, None) if is_tls else None)
    except ValueError as error:
        _refuse(f"--admin: {error}.")


_COMMANDS = {
    "run": _run,
    "check": _check,
    "schema": _schema,
    "diff": _diff,
    "explain": _explain,
    "certs": _certs,
    "ctl": _ctl,
    "reload": _ctl,
}
