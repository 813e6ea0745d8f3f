"""Content-Security-Policy: read, checked and rendered at load time (CSP Level 3).

`filters/security_headers.py` turns an operator's mapping or text into the field with it. The rule: what browsers would
silently ignore (a misspelt directive, an unquoted keyword, a second copy) is an error that says what to write.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence

_SOURCE_DIRECTIVES = frozenset(
    {
        "base-uri", "child-src", "connect-src", "default-src", "fenced-frame-src", "font-src", "form-action",
        "frame-ancestors", "frame-src", "img-src", "manifest-src", "media-src", "object-src", "prefetch-src",
        "script-src", "script-src-attr", "script-src-elem", "style-src", "style-src-attr", "style-src-elem",
        "worker-src",
    }
)  # fmt: skip
_BARE = frozenset({"block-all-mixed-content", "upgrade-insecure-requests"})
_OTHER = frozenset({"report-to", "report-uri", "require-trusted-types-for", "sandbox", "trusted-types", "webrtc"})
DIRECTIVES = _SOURCE_DIRECTIVES | _BARE | _OTHER

_KEYWORDS = frozenset(
    {
        "inline-speculation-rules", "none", "report-sample", "self", "strict-dynamic", "trusted-types-eval",
        "unsafe-eval", "unsafe-hashes", "unsafe-inline", "wasm-unsafe-eval",
    }
)  # fmt: skip
_SANDBOX = frozenset(
    {
        "allow-downloads", "allow-forms", "allow-modals", "allow-orientation-lock", "allow-pointer-lock",
        "allow-popups", "allow-popups-to-escape-sandbox", "allow-presentation", "allow-same-origin", "allow-scripts",
        "allow-storage-access-by-user-activation", "allow-top-navigation",
        "allow-top-navigation-by-user-activation", "allow-top-navigation-to-custom-protocols",
    }
)  # fmt: skip
_HASH = re.compile(r"sha(?:256|384|512)-[A-Za-z0-9+/_-]+={0,2}")
_NONCE = re.compile(r"nonce-.*", re.IGNORECASE)
_VISIBLE = re.compile(r"[\x21-\x7e]+")

Policy = dict[str, list[str]]


def _advice(word: str, known: frozenset[str], around: str = "") -> str:
    near = difflib.get_close_matches(word, known, 1, 0.7)
    return f": did you mean {around}{near[0]}{around}?" if near else ""


def parse_csp(text: str) -> tuple[Policy, list[str]]:
    """The policy in a field value, and its problems: a directive given twice, of which browsers ignore the second."""
    policy: Policy = {}
    problems = []
    for part in text.split(";"):
        words = part.split()
        if not words:
            continue
        name = words[0].lower()
        if name in policy:
            problems.append(f"{name} is given twice, and browsers ignore the second: join the two")
        policy.setdefault(name, words[1:])
    return policy, problems


def policy_of(value: Mapping[str, Sequence[str] | str | None]) -> Policy:
    """The policy in a mapping; a text is split at its spaces, no value (or an empty list) is a bare directive."""
    return {
        name: (words.split() if isinstance(words, str) else [word for item in words or () for word in item.split()])
        for name, words in value.items()
    }


def _check_source(directive: str, word: str) -> str:
    bare = word.strip("'")
    if word.startswith("'") != word.endswith("'") or word.count("'") not in (0, 2) or not bare:
        return f"{directive}: {word} has unbalanced quotes: write '{bare}'"
    quoted = word.startswith("'")
    if _NONCE.fullmatch(bare):
        return f"{directive}: a nonce that never changes protects nothing: remove {word}"
    if quoted:
        if bare.lower() in _KEYWORDS or _HASH.fullmatch(bare):
            return ""
        if "." in bare or ":" in bare or "*" in bare:
            return f"{directive}: only keywords and hashes are quoted: write {bare}"
        return f"{directive}: {word} is not a keyword" + _advice(bare.lower(), _KEYWORDS, "'")
    if bare.lower() in _KEYWORDS or _HASH.fullmatch(bare):
        # Unquoted it is the name of a host, and the browser blocks what was meant to be allowed.
        return f"{directive}: {word} would be read as a host: write '{bare}' with its quotes"
    return ""


def _check_directive(name: str, words: list[str]) -> list[str]:
    for word in words:
        if not _VISIBLE.fullmatch(word):
            return [f"{name}: {word!r} has characters that a header field cannot carry"]
        if ";" in word or "," in word:
            sign = ";" if ";" in word else ","
            return [f"{name}: {word} contains {sign!r}, which would end the directive: give each source by itself"]
    if name in _SOURCE_DIRECTIVES:
        problems = [problem for word in words if (problem := _check_source(name, word))]
        if not words:
            problems.append(f"{name} is empty: write 'none' (with its quotes) to allow nothing")
        elif len(words) > 1 and any(word.lower() == "'none'" for word in words):
            problems.append(f"{name}: 'none' allows nothing and stands alone: remove it or the others")
        return problems
    if name in _BARE:
        return [f"{name} takes no value"] if words else []
    if name == "sandbox":
        return [f"sandbox: unknown {word}" + _advice(word, _SANDBOX) for word in words if word not in _SANDBOX]
    if name == "require-trusted-types-for" and words != ["'script'"]:
        return ["require-trusted-types-for: write 'script' (with its quotes)"]
    if name in ("report-uri", "report-to") and not words:
        return [f"{name} needs a value: where reports go to"]
    if name == "webrtc" and words not in (["'allow'"], ["'block'"]):
        return ["webrtc: write 'allow' or 'block' (with its quotes)"]
    return []


def check_csp(policy: Policy) -> list[str]:
    """What is wrong with a policy: one sentence each, [] when browsers will understand all of it."""
    if not policy:
        return ["the policy is empty: write at least default-src"]
    problems = []
    for name, words in policy.items():
        if name not in DIRECTIVES:
            problems.append(f"{name} is not a directive" + _advice(name.lower(), DIRECTIVES))
        else:
            problems += _check_directive(name, words)
    return problems


def render_csp(policy: Policy) -> bytes:
    """The field's value; `policy` has passed check_csp."""
    return "; ".join(" ".join([name, *words]) for name, words in policy.items()).encode("ascii")
