"""Whatever a configuration file holds, loading it gives values or a ConfigError, and never shows a secret."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.config import ConfigError, SiteConfig, load, redacted
from gateway.config.descriptions import keys_below
from gateway.schema import Model

SECRET = "hunter2-xyzzy"


def load_text(content: bytes) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder, "config.yaml")
        path.write_bytes(content)
        try:
            loaded = load(path, environ={"SECRET": SECRET})
        except ConfigError as error:
            problems = error.problems
            shown = "".join(map(str, problems))
        else:
            problems = loaded.warnings
            shown = json.dumps(redacted(loaded.config)) + repr(loaded) + "".join(map(str, problems))
            assert isinstance(loaded.config, SiteConfig)
    assert SECRET not in shown
    assert all("\n" not in str(problem) for problem in problems)


def all_keys(model: type[Model], seen: set[type[Model]]) -> set[str]:
    keys: set[str] = set()
    for key in keys_below(model):
        keys.add(key.path.removesuffix("[]").removesuffix(".NAME"))
        if key.model is not None and key.model not in seen:
            seen.add(key.model)
            keys |= all_keys(key.model, seen)
    return keys


KEYS = sorted(all_keys(SiteConfig, set()))
scalars = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12)
    | st.sampled_from([
        "${env:SECRET}", "x${env:SECRET}y", "${env:GONE:-1}", "http://${env:SECRET}", "10s", "1 MiB", "app", "/*",
        "off", "127.0.0.1:80", "http://127.0.0.1:3000", "10.0.0.0/8", "unix:/x", "${host}", "GET", "https://a/${uri}",
        "*.a.de",
    ])
)  # fmt: skip
names = st.sampled_from([*KEYS, "app"]) | st.text(max_size=6)


def nested(most: int) -> st.SearchStrategy[Any]:
    """Values of any shape with so many leaves at most."""
    return st.recursive(
        scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=6), max_leaves=most
    )


values, few = nested(24), nested(4)


def shaped(model: type[Model], depth: int = 0) -> st.SearchStrategy[dict[str, Any]]:
    """Mappings with the right keys and mostly wrong values."""
    fields: dict[str, st.SearchStrategy[Any]] = {}
    for key in keys_below(model):
        name = key.path.removesuffix("[]").removesuffix(".NAME")
        below = few
        if key.model is not None and depth < 3:
            inner = shaped(key.model, depth + 1)
            if key.path.endswith("[]"):
                below = st.lists(inner | few, max_size=3)
            elif key.path.endswith(".NAME"):
                below = st.dictionaries(st.sampled_from(["app", "web"]), inner | few, max_size=2)
            else:
                below = inner | few
        fields[name] = below
    return st.fixed_dictionaries({}, optional=fields)


@given(st.binary(max_size=300))
def test_any_bytes(content: bytes) -> None:
    """Noise."""
    load_text(content)


@given(st.text(alphabet=st.sampled_from(list("abk:-[]{}#&*!|>'\"%@`\\,? \n\t012.<~${}é\u2028")), max_size=120))
@settings(max_examples=3 * settings().max_examples)
def test_any_yaml_like_text(text: str) -> None:
    """Texts of the characters that mean something to YAML."""
    load_text(text.encode())


@given(values)
def test_any_values(value: object) -> None:
    """JSON, which is YAML, of any shape."""
    load_text(json.dumps(value).encode())


@given(shaped(SiteConfig))
@settings(
    max_examples=2 * settings().max_examples, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
def test_right_keys_with_any_values(value: dict[str, object]) -> None:
    """Deep enough to reach every feature's own validators."""
    load_text(json.dumps(value).encode())
