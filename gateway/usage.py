"""What may be typed after `gateway`, and what `--help` says of it.

Asked by `cli.py`, which does what was asked for. The rule: each command's help shows lines that can be typed as they
stand, and what is mistyped is answered with what was probably meant.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable

from gateway import __version__
from gateway.ctl_usage import CTL, RELOAD, add_address, add_ctl

DEFAULT_FILE = "config.yaml"
MOST_WORKERS = 62  # as many as `workers` takes
DEFAULT_ADMIN = "127.0.0.1:9090"

ABOUT = """\
An edge gateway: it stands before any HTTP backend and adds TLS, routes, safe headers, access log and metrics.

Begin with no file at all, before whatever you have:
  gateway run --to http://127.0.0.1:3000

Then write config.yaml, and:
  gateway check                     every mistake in it, at once, with line and column
  gateway diff old.yaml new.yaml    what another configuration would change
  gateway explain GET /api/users    the route, plan and upstream a request would take
  gateway run                       serve it; Ctrl-C or SIGTERM drains and stops
"""
AFTERWORD = """\
exit codes:
  0 clean   1 the configuration is wrong   2 the command line is wrong   3 cannot listen   4 a drain was cut short
  5 the workers cannot start

`gateway COMMAND --help` shows examples of each command.
"""
RUN = """\
Serve until SIGTERM or Ctrl-C, then stop accepting, finish what is open, and end.

examples:
  gateway run                                             config.yaml of this folder
  gateway run -c /etc/gateway/config.yaml
  gateway run --to http://127.0.0.1:3000                  no file: safe defaults, on port 8080
  gateway run --to http://app:3000 --listen :80 --tls-listen :443
  gateway run --to unix:/run/app.sock --listen unix:/run/gateway.sock

ADDR is HOST:PORT, [IPV6]:PORT, :PORT for every address of this machine, or unix:/path.

With --tls-listen, certificates are read from certs/ of this folder; make one to develop with:
  gateway certs --make certs
"""
CHECK = """\
Read a configuration as `gateway run` would, and say every mistake as FILE:LINE:COLUMN, certificates and all files that
it names included. Nothing is opened, asked or changed. What works and is surely not meant is a warning.

Exit code 1 if there is a mistake; with --strict, if there is a warning too.

examples:
  gateway check
  gateway check /etc/gateway/config.yaml && systemctl reload gateway
  gateway check --strict            for a pipeline that lets nothing doubtful pass
"""
DIFF = """\
Say what another configuration would change: + comes, - goes, ~ changes. Comments, order and units make no difference; a
route is known by its name, an endpoint by its URL. Secrets are compared and not shown.

Exit code 0 whether they differ or not; with --exit-code, 1 if they differ and no mistake is in either.

examples:
  gateway diff config.yaml new.yaml
  git show HEAD:config.yaml > old.yaml && gateway diff old.yaml config.yaml
"""
SCHEMA = """\
Print the JSON Schema of the configuration, for editors that complete and check YAML.

examples:
  gateway schema > gateway.schema.json
  gateway schema rules > rules.schema.json      of the files in rules/

then, as the first line of config.yaml:
  # yaml-language-server: $schema=gateway.schema.json
"""
EXPLAIN = """\
Say what would happen to a request, without sending it: listener, route and why, plan, and upstream or answer.

examples:
  gateway explain GET https://shop.example.com/api/orders
  gateway explain POST /upload -H 'Host: files.example.com' -H 'Content-Length: 5000000'
"""
CERTS = """\
List the certificates that are served: names, days left, issuer, file.

They are read from the files that a configuration names. With --admin, or where there is no configuration, the running
gateway is asked at its admin address.

examples:
  gateway certs
  gateway certs -c /etc/gateway/config.yaml
  gateway certs --admin 127.0.0.1:9090
  gateway certs --make certs     a local authority and a certificate for localhost, to develop with
"""


class WrongUsage(Exception):
    """The command line cannot be understood; the message says what was probably meant."""


def read_words(words: list[str]) -> argparse.Namespace:
    """The options of `words`, `command` among them. Raises WrongUsage, or SystemExit where argparse has spoken."""
    parser, commands = make_parser()
    if words[0] == "help":
        words = [*words[1:2], "--help"]
    name = words[0]
    if name not in commands and not name.startswith("-"):
        raise WrongUsage(f"There is no command {name}{_meant(name, commands)} `gateway --help` lists them.")
    options, unknown = parser.parse_known_args(words)
    if unknown:
        name, word = options.command, unknown[0]
        shown = commands[name].format_usage()
        advice = _meant(word.partition("=")[0], re.findall(r"--?[a-z][a-z-]*", shown))
        if not word.startswith("-") and "-c FILE" in shown:
            advice = f": a configuration is named with -c {word}."
        raise WrongUsage(f"`gateway {name}` does not take {word}{advice} `gateway {name} --help` says what it takes.")
    return options


def _meant(word: str, known: Iterable[str]) -> str:
    import difflib  # noqa: PLC0415  # only for what was mistyped

    near = difflib.get_close_matches(word, list(known), 1)
    return f": did you mean {near[0]}?" if near else "."


def _count(text: str) -> int:
    number = int(text)
    if not 1 <= number <= MOST_WORKERS:
        raise argparse.ArgumentTypeError(f"{text} is no number of workers: 1 to {MOST_WORKERS}")
    return number


def make_parser() -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    """The parser, and that of each command."""
    top = argparse.ArgumentParser("gateway", description=ABOUT, epilog=AFTERWORD, formatter_class=_layout)
    top.add_argument("--version", action="version", version=f"gateway {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND", title="commands")

    def command(name: str, summary: str, text: str, *, with_file: bool = True) -> argparse.ArgumentParser:
        parser = commands.add_parser(name, help=summary, description=text, formatter_class=_layout, allow_abbrev=False)
        if with_file:
            parser.add_argument("-c", "--config", metavar="FILE", help=f"the configuration (default: {DEFAULT_FILE})")
        return parser

    run = command("run", "serve until stopped", RUN)
    run.add_argument("--to", metavar="URL", help="serve this backend with safe defaults, without a file")
    run.add_argument(
        "--listen",
        metavar="ADDR",
        action="append",
        default=[],
        help="with --to: take http here (default: 0.0.0.0:8080)",
    )
    run.add_argument("--tls-listen", metavar="ADDR", action="append", default=[], help="with --to: take https here")
    run.add_argument("--workers", metavar="N", type=_count, help="worker processes (default: `workers` of the file)")
    run.add_argument("--admin", metavar="ADDR", help=f"with --to: health and metrics (default: {DEFAULT_ADMIN})")

    check = command("check", "find every mistake in a configuration", CHECK)
    check.add_argument("file", metavar="FILE", nargs="?", help="the same as -c FILE")
    check.add_argument("--strict", action="store_true", help="warnings count as mistakes")

    diff = command("diff", "say what another configuration would change", DIFF, with_file=False)
    diff.add_argument("old", metavar="OLD")
    diff.add_argument("new", metavar="NEW")
    diff.add_argument("--exit-code", action="store_true", help="1 if they differ")

    explain = command("explain", "say what would happen to a request", EXPLAIN)
    explain.add_argument("method", metavar="METHOD")
    explain.add_argument("url", metavar="URL", help="whole, or only its path")
    explain.add_argument(
        "-H", "--header", metavar="'NAME: VALUE'", action="append", default=[], help="a field of the request; repeat"
    )

    certs = command("certs", "list the certificates that are served", CERTS)
    certs.add_argument(
        "--admin", metavar="ADDR", help=f"ask the gateway that runs there ({DEFAULT_ADMIN} without a file)"
    )
    certs.add_argument("--make", metavar="DIR", help="make certificates to develop with, in this folder")

    add_ctl(command("ctl", "look into a running gateway, and steer it", CTL, with_file=False), _layout)
    add_address(command("reload", "have a running gateway read its configuration again", RELOAD, with_file=False))

    schema = command("schema", "print the JSON Schema for editors", SCHEMA, with_file=False)
    schema.add_argument("of", nargs="?", choices=("config", "rules"), default="config", help="(default: config)")
    return top, dict(commands.choices)


def _layout(prog: str) -> argparse.HelpFormatter:
    return argparse.RawDescriptionHelpFormatter(prog, max_help_position=32)
