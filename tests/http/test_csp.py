"""Content-Security-Policy: what browsers would ignore silently is an error with advice."""

from __future__ import annotations

import pytest

from gateway.http.csp import check_csp, parse_csp, policy_of, render_csp


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ({"defualt-src": ["'self'"]}, "defualt-src is not a directive: did you mean default-src?"),
        ({"nothing-like-it": []}, "nothing-like-it is not a directive"),
        ({"default-src": ["self"]}, "default-src: self would be read as a host: write 'self' with its quotes"),
        ({"script-src": ["unsafe-inline"]}, "write 'unsafe-inline' with its quotes"),
        ({"script-src": ["sha256-AAAA"]}, "write 'sha256-AAAA' with its quotes"),
        ({"default-src": ["none"]}, "write 'none' with its quotes"),
        ({"default-src": ["'none'", "https://a.example"]}, "'none' allows nothing and stands alone"),
        ({"default-src": ["'slef'"]}, "'slef' is not a keyword: did you mean 'self'?"),
        ({"img-src": ["'https://a.example'"]}, "only keywords and hashes are quoted: write https://a.example"),
        ({"img-src": ["'self"]}, "'self has unbalanced quotes: write 'self'"),
        ({"img-src": ["''"]}, "unbalanced quotes"),
        ({"default-src": ["'self'; script-src *"]}, "contains ';'"),
        ({"default-src": ["'self',"]}, "contains ','"),
        ({"default-src": []}, "default-src is empty: write 'none'"),
        ({"default-src": ["https://exämple.com"]}, "characters that a header field cannot carry"),
        ({"default-src": ["a\x00b"]}, "characters that a header field cannot carry"),
        ({"script-src": ["'nonce-abc'"]}, "a nonce that never changes protects nothing: remove 'nonce-abc'"),
        ({"upgrade-insecure-requests": ["1"]}, "upgrade-insecure-requests takes no value"),
        ({"sandbox": ["allow-script"]}, "sandbox: unknown allow-script: did you mean allow-scripts?"),
        ({"require-trusted-types-for": ["script"]}, "write 'script' (with its quotes)"),
        ({"report-to": []}, "report-to needs a value"),
        ({"webrtc": ["allow"]}, "webrtc: write 'allow' or 'block'"),
        ({}, "the policy is empty"),
    ],
)
def test_problems(policy: dict[str, list[str]], message: str) -> None:
    """Each slip has its sentence."""
    problems = check_csp(policy_of(policy))
    assert len(problems) == 1
    assert message in problems[0]


def test_a_sound_policy_has_no_problems() -> None:
    """Every kind of source expression passes, and the field is rendered in the operator's order."""
    policy = policy_of(
        {
            "default-src": "'self' https://*.example.com:443/path",
            "script-src": ["'strict-dynamic'", "'sha256-q1Z+/w=='", "'unsafe-inline' https:"],
            "img-src": ["data:", "blob:", "*"],
            "object-src": ["'none'"],
            "sandbox": None,
            "upgrade-insecure-requests": None,
            "report-to": ["csp"],
            "trusted-types": ["my-policy", "'allow-duplicates'"],
        }
    )
    assert check_csp(policy) == []
    assert render_csp(policy) == (
        b"default-src 'self' https://*.example.com:443/path; script-src 'strict-dynamic' 'sha256-q1Z+/w==' "
        b"'unsafe-inline' https:; img-src data: blob: *; object-src 'none'; sandbox; upgrade-insecure-requests; "
        b"report-to csp; trusted-types my-policy 'allow-duplicates'"
    )


def test_text_is_read_as_browsers_read_it() -> None:
    """Directives between semicolons, names in any case; a second copy is a problem since browsers ignore it."""
    policy, problems = parse_csp(" Default-Src 'self' ;; img-src * ; default-src *;")
    assert policy == {"default-src": ["'self'"], "img-src": ["*"]}
    assert problems == ["default-src is given twice, and browsers ignore the second: join the two"]


def test_all_problems_come_at_once() -> None:
    """One load shows every slip."""
    assert len(check_csp({"img-sr": [], "default-src": ["self", "'none'"]})) == 3
