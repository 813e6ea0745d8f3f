"""`gateway check`: everything that is wrong with a configuration, in one run, and what is surely not meant.

Called by `cli.py`, and by it when a start fails, so that `gateway run` tells no less. The rule: it builds what would be
served, certificates included, and opens, asks and writes nothing.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from gateway.config import ConfigError, Loaded, Problem
from gateway.log_writer import LogRehearsal
from gateway.loops import endless_redirects
from gateway.pipeline import Site
from gateway.site import Services, build_site, certificate_stores


class Report(NamedTuple):
    """Errors and warnings; `site` is None where there are errors."""

    errors: tuple[Problem, ...]
    warnings: tuple[str, ...]
    site: Site | None


def rehearse(loaded: Loaded) -> Report:
    """All that building finds in `loaded`, which may be the sound part of a wrong configuration."""
    errors: list[Problem] = []
    warnings = [str(warning) for warning in loaded.warnings]
    site = None
    try:
        site = build_site(loaded, Services(warn=warnings.append, logs=LogRehearsal()))
    except ConfigError as error:
        errors += error.problems
    try:
        certificate_stores(loaded, warnings.append)
    except ConfigError as error:
        errors += error.problems
    if errors or site is None or not loaded.is_sound(()):
        return Report(tuple(errors), _sorted(warnings), None)
    warnings += [str(loaded.problem(path, text)) for path, text in endless_redirects(loaded, site)]
    return Report((), _sorted(warnings), site)


def _sorted(warnings: list[str]) -> tuple[str, ...]:
    """Each once, by file, line and column."""

    def numbered(text: str) -> list[str]:
        return [piece.zfill(9) if piece.isdigit() else piece for piece in re.split("([0-9]+)", text)]

    return tuple(sorted(set(warnings), key=numbered))


def everything(error: ConfigError, loaded: Loaded | None = None) -> Report:
    """What else is wrong beside `error`, which loading raised, or building `loaded`."""
    rest = error.sound or loaded
    if rest is None:
        return Report(error.problems, (), None)
    found = rehearse(rest)
    return Report(ConfigError([*error.problems, *found.errors]).problems, found.warnings, None)
