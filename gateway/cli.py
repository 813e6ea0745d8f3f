"""The command `gateway`: run, check, schema, explain, certs.

It stands before the journey: it loads a configuration, hands it to `app`, and turns what went wrong into one sentence
and an exit code. Nothing is imported before the command that needs it is known, so that `gateway run` answers early
(docs/decisions/0004).
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from gateway import __version__

if TYPE_CHECKING:
    from gateway.config import Loaded, Problem
    from gateway.pipeline import Site

# Exit codes; 4 comes from app.run.
CLEAN = 0
BAD_CONFIGURATION = 1
BAD_USAGE = 2
CANNOT_LISTEN = 3
DRAIN_CUT_SHORT = 4

DEFAULT_FILE = "config.yaml"
DAYS_TO_WORRY = 21  # of a certificate: three weekends to renew it by hand

ABOUT = """\
An edge gateway: it stands before any HTTP backend and adds TLS, routes, safe headers, access log and metrics.

Begin with no file at all, before whatever you have:
  gateway run --to http://127.0.0.1:3000

Then write config.yaml, and:
  gateway check                     every mistake in it, at once, with line and column
  gateway explain GET /api/users    the route, plan and upstream a request would take
  gateway run                       serve it; Ctrl-C or SIGTERM drains and stops
"""
AFTERWORD = """\
exit codes:
  0 clean   1 the configuration is wrong   2 the command line is wrong   3 cannot listen   4 a drain was cut short

`gateway COMMAND --help` shows examples of each command.
"""
RUN = """\
Serve until SIGTERM or Ctrl-C, then stop accepting, finish what is open, and end.

examples:
  gateway run                                             config.yaml of this folder
  gateway run -c /etc/gateway/config.yaml
  gateway run --to http://127.0.0.1:3000                  no file: safe defaults, on port 8080
  gateway run --to http://app:3000 --listen 0.0.0.0:80 --tls-listen 0.0.0.0:443

With --tls-listen, certificates are read from certs/ of this folder; make one to develop with:
  gateway certs --make certs
"""
CHECK = """\
Read a configuration as `gateway run` would, and say every mistake as FILE:LINE:COLUMN. Exit code 1 if there is one.

examples:
  gateway check
  gateway check -c /etc/gateway/config.yaml && systemctl reload gateway
"""
SCHEMA = """\
Print the JSON Schema of the configuration, for editors that complete and check YAML.

example:
  gateway schema > gateway.schema.json
  # then, as the first line of config.yaml:
  # yaml-language-server: $schema=gateway.schema.json
"""
EXPLAIN = """\
Say what would happen to a request, without sending it: listener, route and why, plan, and upstream or answer.

examples:
  gateway explain GET https://shop.example.com/api/orders
  gateway explain POST /upload -H 'Host: files.example.com' -H 'Content-Length: 5000000'
"""
CERTS = """\
List the certificates that are served: names, issuer, days left, file.

examples:
  gateway certs
  gateway certs -c /etc/gateway/config.yaml
  gateway certs --make certs     a local authority and a certificate for localhost, to develop with
"""


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
        _parser().print_help(sys.stderr)
        return BAD_USAGE
    try:
        options = _parser().parse_args(words)
        command = _COMMANDS[options.command]
        code = command(options)
        sys.stdout.flush()
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


def _parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        "gateway", description=ABOUT, epilog=AFTERWORD, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    top.add_argument("--version", action="version", version=f"gateway {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, summary: str, text: str) -> argparse.ArgumentParser:
        return commands.add_parser(
            name, help=summary, description=text, formatter_class=argparse.RawDescriptionHelpFormatter
        )

    def with_file(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("-c", "--config", metavar="FILE", help=f"the configuration (default: {DEFAULT_FILE})")

    run = command("run", "serve until stopped", RUN)
    with_file(run)
    run.add_argument("--to", metavar="URL", help="serve this backend with safe defaults, without a file")
    run.add_argument("--listen", metavar="ADDR:PORT", action="append", default=[], help="with --to: where to take http")
    run.add_argument("--tls-listen", metavar="ADDR:PORT", action="append", default=[], help="with --to: and https")
    run.add_argument("--admin", metavar="ADDR:PORT", help="with --to: health and metrics (default: 127.0.0.1:9090)")

    with_file(command("check", "find every mistake in a configuration", CHECK))
    schema = command("schema", "print the JSON Schema for editors", SCHEMA)
    schema.add_argument("of", nargs="?", choices=("config", "rules"), default="config", help="(default: config)")

    explain = command("explain", "say what would happen to a request", EXPLAIN)
    explain.add_argument("method", metavar="METHOD")
    explain.add_argument("url", metavar="URL", help="whole, or only its path")
    explain.add_argument(
        "-H", "--header", metavar="'NAME: VALUE'", action="append", default=[], help="a field of the request; repeat"
    )
    with_file(explain)

    certs = command("certs", "list the certificates that are served", CERTS)
    with_file(certs)
    certs.add_argument("--make", metavar="DIR", help="make certificates to develop with, in this folder")
    return top


@contextmanager
def _mistakes_told() -> Iterator[None]:
    """Turns the mistakes of a configuration into the end of the command: a line each, and how many."""
    from gateway.config import ConfigError  # noqa: PLC0415

    try:
        yield
    except ConfigError as error:
        lines = [str(problem) for problem in error.problems]
        raise _Stop(BAD_CONFIGURATION, "\n".join([*lines, _count(len(lines), "error")])) from None


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


def _build(loaded: Loaded, warnings: list[str]) -> Site:
    """The site as `gateway run` would build it, certificates included. Raises _Stop with what only building finds."""
    from gateway.config import ConfigError  # noqa: PLC0415
    from gateway.log_writer import LogRehearsal  # noqa: PLC0415
    from gateway.site import Services, build_site, certificate_stores  # noqa: PLC0415

    problems: list[Problem] = []
    site = None
    try:
        site = build_site(loaded, Services(warn=warnings.append, logs=LogRehearsal()))
    except ConfigError as error:
        problems += error.problems
    try:
        certificate_stores(loaded, warnings.append)
    except ConfigError as error:
        problems += error.problems
    with _mistakes_told():
        if problems or site is None:
            raise ConfigError(problems)
        return site


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
    from gateway import app  # noqa: PLC0415

    try:
        with _mistakes_told():
            return app.run(loaded, started=lambda: _say(_banner(loaded)))
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
        bind = str(listener.bind)
        scheme = "https" if listener.tls is not None else "http"
        note = "  (answers 308 to https)" if listener.redirect_to_https else ""
        note += "  (PROXY protocol)" if listener.proxy_protocol is not None else ""
        lines.append(f"  {bind}{note}" if bind.startswith("unix:") else f"  {scheme}://{bind}{note}")
    if config.admin.bind is not None:
        lines.append(f"  http://{config.admin.bind}/metrics  admin: health and metrics")
    if config.admin.probe is not None:
        lines.append(f"  http://{config.admin.probe}/readyz  probe: health and metrics for other machines")
    return "\n".join(lines)


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
    return f"Cannot listen on {where}: {os.strerror(error.errno) if error.errno else error}."


def _check(options: argparse.Namespace) -> int:
    loaded = _load(options)
    warnings: list[str] = []
    site = _build(loaded, warnings)
    warnings = [*map(str, loaded.warnings), *warnings]
    for warning in warnings:
        _say(f"warning: {warning}")
    counts = (
        _count(len(loaded.config.listeners), "listener"),
        _count(len(site.routes), "route"),
        _count(len(site.upstreams), "upstream"),
        _count(len(warnings), "warning"),
    )
    print(f"{options.config or DEFAULT_FILE}: ok: {', '.join(counts)}")
    return CLEAN


def _schema(options: argparse.Namespace) -> int:
    import json  # noqa: PLC0415

    from gateway.config import schema  # noqa: PLC0415

    print(json.dumps(schema(options.of), indent=2))
    return CLEAN


def _explain(options: argparse.Namespace) -> int:
    loaded = _load(options)
    from gateway.explain import NotARequest, explain  # noqa: PLC0415

    try:
        lines = explain(loaded, _build(loaded, []), (options.method, options.url), options.header)
        print("\n".join(lines))
    except NotARequest as error:
        _refuse(str(error))
    return CLEAN


def _certs(options: argparse.Namespace) -> int:
    if options.make is not None:
        from gateway.development import main as make  # noqa: PLC0415

        return make([options.make])
    import time  # noqa: PLC0415

    from gateway.site import certificate_stores  # noqa: PLC0415

    loaded = _load(options)
    with _mistakes_told():
        stores = certificate_stores(loaded, lambda text: _say(f"warning: {text}"))
    served = zip(loaded.config.listeners, stores, strict=True)
    rows = [(listener.bind, entry) for listener, store in served if store is not None for entry in store.entries()]
    if not rows:
        _say("No listener has `tls`, so no certificate is served.")
        return CLEAN
    now = time.time()
    for bind, entry in rows:
        days = int((entry.not_after.timestamp() - now) // 86400)
        left = f"{_count(days, 'day')} left" if days >= 0 else f"expired {_count(-days, 'day')} ago"
        worry = "  <-- renew" if days < DAYS_TO_WORRY else ""
        print(f"{bind}  {', '.join(entry.names)}")
        print(f"    {left}{worry}  issuer: {entry.issuer}  file: {entry.path}")
    return CLEAN


_COMMANDS = {"run": _run, "check": _check, "schema": _schema, "explain": _explain, "certs": _certs}
