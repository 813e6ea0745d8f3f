"""The house rules of docs/architecture.md, read from the syntax trees: floors, sizes, names, mirror, key = module.

They are cheap to keep and dear to win back. A rule that is in the way of something good is changed here, in the open,
with its reason; it is never worked around.
"""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "gateway"

FLOORS = {
    0: ("http",),
    1: (
        "exchange", "errors", "schema", "hooks", "flow", "eager", "deadlines", "metrics", "patterns", "field_edits", "hash_key",
        "log_lines",
    ),
    2: ("rules", "cache", "limits"),
    3: ("filters",),
    4: ("routing", "route_match", "route_conditions", "route_settings", "split", "pipeline"),
    5: ("server", "upstream", "state"),
    6: (
        "proxy", "upstream_head", "request_sender", "delivery", "finished", "recent_errors", "tunnel", "spool",
        "log_writer", "admin",
    ),
    7: (
        "supervisor", "supervision", "app", "changeover", "worker", "refusals", "control", "health_checks", "operations", "maintenance", "reload", "site", "logs",
        "watch", "serving", "cli", "usage", "check", "loops", "explain", "certs", "ctl", "ctl_shown", "ctl_usage",
        "admin_client", "config", "development", "__main__",
    ),
}  # fmt: skip
FLOOR_OF = {name: floor for floor, names in FLOORS.items() for name in names}
# What a floor may import beyond its own files; the wires (5) cannot know policy (3, 4).
MAY_IMPORT = {0: (), 1: (0,), 2: (0, 1), 3: (0, 1, 2), 4: (0, 1, 2, 3), 5: (0, 1, 2), 6: range(6), 7: range(7)}
# Floors whose members may import each other.
TOGETHER = {1, 4, 6, 7}
PURE = {0, 1, 2, 3, 4}  # no asyncio, sockets or clock
CLOCKS = {"asyncio", "socket", "time", "threading", "select", "selectors", "uvloop"}
# A lock is no clock: a site is built on a thread, and registers its metrics while the loop counts.
LOCKS = {("metrics", "threading")}

MOST_LINES_OF_A_FILE = 400
MOST_LINES_OF_A_FUNCTION = 60
MOST_PARAMETERS = 6

FORBIDDEN_WORDS = {
    "manager", "handler", "helper", "helpers", "util", "utils", "common", "base", "impl", "context", "data", "info",
    "backend", "object", "blacklist", "whitelist",
}  # fmt: skip
# Words that others chose: asyncio, ssl, RFC 9112 (chunk-data), X.509 (common name), web servers (Common Log Format).
ALLOWED_NAMES = {
    "data", "DATA", "DATA_END", "data_received", "get_extra_info", "context", "context_for", "make_context", "common",
    "_common_time", "_common_second",
}  # fmt: skip

# Test folders that mirror no module: code shared by tests, and tests of the whole.
NO_MIRROR = {"kit", "wire", "scenarios", "soak", "security", "property", "bench", "examples"}
# Features that are asked by other means than hooks, so that they have no place in the order of hooks.
WITHOUT_HOOKS = {"error_pages"}  # Shared.error_reply
# Modules that need no test file of their own, and why.
UNTESTED = {
    "__main__": "one line; tests/test_cli.py runs it",
    "config/__init__": "one lazy import; tests/test_cli.py runs it",
}


class Module(NamedTuple):
    """One file of the package: its path, its dotted name below `gateway`, its floor and its tree."""

    path: Path
    name: str
    floor: int | None
    tree: ast.Module

    def __str__(self) -> str:
        return str(self.path.relative_to(ROOT))


def read(path: Path) -> Module:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    name = ".".join(part for part in parts if part != "__init__")
    return Module(path, name, FLOOR_OF.get(parts[0]), ast.parse(path.read_text(), str(path)))


MODULES = [read(path) for path in sorted(PACKAGE.rglob("*.py"))]
BELOW_ROOT = [module for module in MODULES if module.name]


def imports(module: Module) -> Iterator[tuple[int, str]]:
    """Line and dotted name of everything the module imports; relative imports count as what they resolve to."""
    package = ["gateway", *module.name.split(".")]
    if module.path.name != "__init__.py":
        package.pop()
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            yield node.lineno, ".".join(part for part in (start, node.module) if part)


def typing_only(module: Module) -> set[int]:
    """Lines below `if TYPE_CHECKING:`, which import nothing at run time."""
    lines: set[int] = set()
    for node in ast.walk(module.tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            lines.update(range(node.lineno, (node.body[-1].end_lineno or node.lineno) + 1))
    return lines


def report(offences: list[str]) -> None:
    if offences:
        pytest.fail("\n".join(offences), pytrace=False)


def test_every_module_has_a_floor() -> None:
    """A new file belongs to a floor of the table before it imports anything."""
    report([f"{module}: no floor in FLOORS" for module in BELOW_ROOT if module.floor is None])


def test_imports_go_down_only() -> None:
    """A module imports lower floors, its own package, and on some floors its neighbours."""
    offences = []
    for module in BELOW_ROOT:
        own = module.name.split(".")[0]
        types = typing_only(module)
        for line, name in imports(module):
            parts = name.split(".")
            if parts[0] != "gateway" or len(parts) == 1 or line in types or module.floor is None:
                continue
            floor = FLOOR_OF.get(parts[1], -1)
            neighbour = parts[1] == own or (floor == module.floor and floor in TOGETHER)
            if not neighbour and floor not in MAY_IMPORT[module.floor]:
                offences.append(f"{module}:{line}: floor {module.floor} imports {name} (floor {floor})")
    report(offences)


def test_features_do_not_import_each_other() -> None:
    """One feature, one file: what two features share lives on a lower floor."""
    report(
        [
            f"{module}:{line}: imports {name}"
            for module in BELOW_ROOT
            if module.name.startswith("filters.")
            for line, name in imports(module)
            if name.startswith("gateway.filters.")
        ]
    )


def test_decisions_have_no_clock_and_no_sockets() -> None:
    """Floors 0 to 4 decide as plain function calls; time comes in as a parameter."""
    report(
        [
            f"{module}:{line}: imports {name}"
            for module in BELOW_ROOT
            if module.floor in PURE
            for line, name in imports(module)
            if name.split(".")[0] in CLOCKS and line not in typing_only(module) and (module.name, name) not in LOCKS
        ]
    )


def test_words_need_the_standard_library_only() -> None:
    """Floor 0 imports nothing from outside but the parser, and the parser is imported in one file."""
    allowed = {"http/head.py": "httptools", "http/template.py": ""}
    offences = []
    for module in MODULES:
        place = str(module.path.relative_to(PACKAGE))
        for line, name in imports(module):
            top = name.split(".")[0]
            if top == "httptools" and allowed.get(place) != "httptools":
                offences.append(f"{module}:{line}: httptools is imported in gateway/http/head.py only")
            elif module.floor == 0 and top in {"pydantic", "yaml", "orjson", "aiohttp", "re2", "structlog"}:
                offences.append(f"{module}:{line}: floor 0 imports {top}")
    report(offences)


def test_pydantic_comes_through_schema() -> None:
    """Only schema.py and config/ know the library that validates configuration."""
    report(
        [
            f"{module}:{line}: import from gateway.schema, not {name}"
            for module in BELOW_ROOT
            for line, name in imports(module)
            if name.split(".")[0] in {"pydantic", "pydantic_core"}
            and module.name != "schema"
            and not module.name.startswith("config")
        ]
    )


def test_no_file_is_longer_than_the_ceiling() -> None:
    """A file that grows past the ceiling holds two ideas."""
    sizes = {
        path: path.read_text().count("\n") for folder in (PACKAGE, ROOT / "tests") for path in folder.rglob("*.py")
    }
    report(
        [f"{path.relative_to(ROOT)}: {lines} lines" for path, lines in sizes.items() if lines > MOST_LINES_OF_A_FILE]
    )


def functions(module: Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(module.tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def test_no_function_is_longer_than_the_ceiling() -> None:
    """Sixty lines, docstring included, unless it only holds nested functions that keep the ceiling themselves."""
    offences = []
    for module in MODULES:
        for function in functions(module):
            nested = sum(
                (node.end_lineno or 0) - node.lineno + 1
                for node in function.body
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            )
            lines = (function.end_lineno or 0) - function.lineno + 1 - nested
            if lines > MOST_LINES_OF_A_FUNCTION:
                offences.append(f"{module}:{function.lineno}: {function.name} has {lines} lines")
    report(offences)


def test_no_function_takes_more_parameters_than_the_ceiling() -> None:
    """More than six want to be a frozen struct; `self` and `cls` are not counted."""
    offences = []
    for module in MODULES:
        for function in functions(module):
            arguments = function.args
            names = [a.arg for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
            count = len(names) - (names[:1] in (["self"], ["cls"]))
            if count > MOST_PARAMETERS:
                offences.append(f"{module}:{function.lineno}: {function.name} takes {count}")
    report(offences)


def named(module: Module) -> Iterator[tuple[int, str]]:
    """Line and name of every class, function, parameter and variable the module defines."""
    yield 1, module.path.stem
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.lineno, node.name
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id


def words(name: str) -> set[str]:
    return {word.lower() for part in name.split("_") for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+", part)}


def test_names_say_what_a_thing_is() -> None:
    """No manager, helper or common: a name that fits everything names nothing."""
    offences = set()
    for module in MODULES:
        for line, name in named(module):
            bad = words(name) & FORBIDDEN_WORDS
            if (bad and name not in ALLOWED_NAMES) or name == "process":
                offences.add(f"{module}:{line}: {name}")
    report(sorted(offences))


def test_every_module_says_what_it_is() -> None:
    """A module begins with a docstring: what it is, its place in the journey, the rule it keeps."""
    report(
        [f"{module}: no docstring" for module in BELOW_ROOT if module.tree.body and not ast.get_docstring(module.tree)]
    )


def test_every_test_says_what_it_shows() -> None:
    """A test has one sentence, so that a failed run reads like a list of broken promises."""
    report(
        [
            f"{path.relative_to(ROOT)}:{node.lineno}: {node.name} has no docstring"
            for path in (ROOT / "tests").rglob("test_*.py")
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            and node.name.startswith("test")
            and not ast.get_docstring(node)
        ]
    )


def mirror_of(module: Module) -> Path:
    """tests/http/test_head.py for gateway/http/head.py; tests/<package>/test_init.py for a package itself."""
    relative = module.path.relative_to(PACKAGE)
    stem = "init" if relative.stem == "__init__" else relative.stem
    return ROOT / "tests" / relative.parent / f"test_{stem}.py"


def has_code(module: Module) -> bool:
    """Whether it does anything: constructors, representations and a Protocol's bare signatures do not count."""
    return any(
        function.name not in {"__init__", "__repr__"}
        and not all(
            isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant) for statement in function.body
        )
        for function in functions(module)
    )


def test_every_module_has_its_test() -> None:
    """A module with a function in it has the test file of its name; tests/x/test_y*.py may split it by aspect."""
    offences = []
    for module in BELOW_ROOT:
        place = module.path.relative_to(PACKAGE).with_suffix("").as_posix()
        test = mirror_of(module)
        if has_code(module) and place not in UNTESTED and not list(test.parent.glob(f"{test.stem}*.py")):
            offences.append(f"{module}: expected {test.relative_to(ROOT)}")
    report(offences)


def test_every_test_has_its_module() -> None:
    """A test file is named for the module it tests, or lives in a folder for tests of the whole."""
    expected = [mirror_of(module) for module in MODULES]
    offences = []
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        folder = path.relative_to(ROOT / "tests").parts[0]
        if folder in NO_MIRROR or path == Path(__file__):
            continue
        if not any(path.parent == test.parent and path.stem.startswith(test.stem) for test in expected):
            offences.append(f"{path.relative_to(ROOT)}: no module of that name")
    report(offences)


def test_key_is_module() -> None:
    """Each feature is one file, one line of ORDER and, when it has a Config, one configuration key of the same name."""
    order = importlib.import_module("gateway.filters").ORDER
    files = {path.stem for path in (PACKAGE / "filters").glob("*.py")} - {"__init__"}
    offences = [f"gateway/filters/{name}.py is missing, and ORDER names it" for name in order if name not in files]
    offences += [f"gateway/filters/{name}.py is not in ORDER" for name in sorted(files - set(order) - WITHOUT_HOOKS)]
    assert len(set(order)) == len(order), "ORDER names a feature twice"

    site = importlib.import_module("gateway.config.model").SiteConfig
    route = importlib.import_module("gateway.routing").RouteConfig
    keys = set(site.model_fields) | set(route.model_fields)
    for name in sorted(files):
        feature = importlib.import_module(f"gateway.filters.{name}")
        own = vars(feature).get("Config")
        if own is not None and own.__module__ == feature.__name__ and name not in keys:
            offences.append(
                f"gateway/filters/{name}.py has a Config, and neither a site nor a route has the key {name}"
            )
    report(offences)


def test_every_cause_is_documented() -> None:
    """Each row of the table of causes stands in the reference, with its status and token."""
    causes = importlib.import_module("gateway.errors").Cause
    page = (ROOT / "docs/reference/errors.md").read_text()
    rows = {line.split("|")[1].strip(): line for line in page.splitlines() if line.startswith("| `")}
    offences = []
    for cause in causes:
        row = rows.get(f"`{cause.word}`", "")
        if str(cause.status) not in row or cause.token not in row:
            offences.append(f"docs/reference/errors.md: {cause.word} {cause.status} {cause.token}: make docs")
    report(offences)


def test_nothing_speaks_of_the_workshop() -> None:
    """The repository names no package index and no path of the machine it was written on."""
    suffixes = {".py", ".md", ".toml", ".lock", ".yaml", ".sh", ""}
    forbidden = re.compile(
        r"--(?:index-url|extra-index-url|find-links|trusted-host)[ =]|/work/(?:main|shared)|/opt/(?:pypi|wheels)"
    )
    offences = []
    for folder in ("", "gateway", "docs", "tools", "examples", "deploy", "bench", ".ci", "tests"):
        top = ROOT / folder
        for path in top.glob("*") if not folder else top.rglob("*"):
            if not path.is_file() or path.suffix not in suffixes or path in {Path(__file__), ROOT / "tools/lock.sh"}:
                continue
            text = path.read_text(errors="replace")
            offences += [f"{path.relative_to(ROOT)}: {found[0]}" for found in forbidden.finditer(text)]
    report(offences)
