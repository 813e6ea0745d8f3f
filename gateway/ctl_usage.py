"""What may be typed after `gateway ctl`, and what `--help` says of it.

Part of the parser of `usage.py`; `ctl.py` does what was asked for. The rule: nothing is imported here that takes time,
for this is read whichever command was typed.
"""

from __future__ import annotations

import argparse
from typing import Any

CTL = """\
Look into a running gateway, and steer it, over its admin listener.

examples:
  gateway ctl status
  gateway ctl upstreams
  gateway ctl errors                                 the last requests that failed, with their ids
  gateway ctl reload
  gateway ctl drain app 10.0.0.5:3000                no new requests there
  gateway ctl weight app 10.0.0.5:3000 5
  gateway ctl log-level debug --for 5m
  gateway ctl maintenance on --message 'Back at noon.' --retry-after 30m
  gateway ctl status --admin unix:/run/gateway/admin.sock --json

The address is admin.bind of config.yaml, or --admin; the token is admin.token, or stands in state_dir, or in the file
that --token-file names.

exit codes:
  0 done   1 refused, and why   2 the command line is wrong   3 no gateway answers
"""
RELOAD = """\
Have a running gateway read its configuration again, and wait until it is in force, or refused: the same as
`gateway ctl reload`.

examples:
  gateway reload
  gateway check && gateway reload

exit codes:
  0 in force   1 refused, and every mistake   2 the command line is wrong   3 no gateway answers
"""
_LEVELS = ("debug", "info", "warning", "error")


def add_ctl(ctl: argparse.ArgumentParser, layout: Any) -> None:
    """Gives the parser of `gateway ctl` its words; `layout` is the house's formatter."""
    words = ctl.add_subparsers(dest="order", required=True, metavar="WHAT", title="what")

    def order(name: str, summary: str) -> argparse.ArgumentParser:
        parser = words.add_parser(name, help=summary, description=summary, formatter_class=layout, allow_abbrev=False)
        add_address(parser)
        parser.add_argument("--json", action="store_true", help="print the answer as it came, for programs")
        return parser

    order("status", "what is being served")
    order("routes", "what is matched, and where it leads")
    order("upstreams", "endpoints, how they are, and their connections")
    order("errors", "the last requests that failed, with their ids")
    order("reload", "read the configuration again")
    for name, summary in (
        ("drain", "send no new requests to an endpoint"),
        ("undrain", "send requests to it again"),
        ("weight", "change its share of the requests"),
    ):
        parser = order(name, summary)
        parser.add_argument("upstream", metavar="UPSTREAM")
        parser.add_argument("endpoint", metavar="ENDPOINT", help="as `gateway ctl upstreams` names it")
        if name == "weight":
            parser.add_argument("weight", metavar="N", type=int, help="0 to 1000, in proportion to the others")
    log_level = order("log-level", "tell more or less in the gateway's own log, for a while")
    log_level.add_argument("level", metavar="LEVEL", choices=_LEVELS, help=", ".join(_LEVELS))
    log_level.add_argument("--for", metavar="TIME", dest="length", default="10m", help="then as before (default: 10m)")
    maintenance = order("maintenance", "answer requests with 503 and a page")
    maintenance.add_argument("switch", metavar="on|off", choices=("on", "off"))
    maintenance.add_argument("--route", metavar="NAME", help="of one route only")
    maintenance.add_argument("--message", metavar="TEXT", default="", help="what visitors read")
    maintenance.add_argument("--retry-after", metavar="TIME", default="0s", help="when programs should come again")


def add_address(parser: argparse.ArgumentParser) -> None:
    """How the gateway is found, and who asks."""
    parser.add_argument("-c", "--config", metavar="FILE", help="the configuration (default: config.yaml)")
    parser.add_argument("--admin", metavar="ADDR", help="its admin address (default: admin.bind, or 127.0.0.1:9090)")
    parser.add_argument("--token-file", metavar="FILE", help="a file with the token, to change something")
    parser.add_argument("--ca", metavar="FILE", help="whom to trust at an https:// address")
    parser.add_argument("--cert", metavar="FILE", help="our certificate and its key, where the gateway wants one")
