"""Error answers: negotiated, small, escaped, with the request id, and silent about the inside."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError

from gateway.errors import Cause
from gateway.exchange import Connection, Exchange
from gateway.filters.error_pages import Config, build_error_reply
from gateway.hooks import Shared
from gateway.http.message import Request, Response
from tests.kit.exchanges import make_exchange

BROWSER = "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
Reply = Callable[[Exchange, int, str, str], Response]


def reply_of(settings: dict[str, object] | None = None, folder: Path | None = None) -> Reply:
    shared = Shared(folder=folder or Path("/nowhere"))
    return build_error_reply(Config.model_validate(settings or {}), shared)


def text(response: Response) -> str:
    assert response.body is not None
    assert response.length == len(response.body)
    return response.body.decode()


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ([], "application/problem+json"),
        (["Accept: */*"], "application/problem+json"),
        (["Accept: application/json, text/plain, */*"], "application/problem+json"),
        ([BROWSER], "text/html; charset=utf-8"),
        (["Accept: text/plain"], "text/plain; charset=utf-8"),
        (["Accept: image/png"], "application/problem+json"),
        ([f"Accept: text/html, {'x/y, ' * 60}a/b"], "text/html; charset=utf-8"),
    ],
)
def test_the_form_follows_accept(fields: list[str], kind: str) -> None:
    """Pages for browsers, problem documents for programs, and caches are told that it depends."""
    response = reply_of()(make_exchange("GET /", "h", *fields), 404, "", "")
    found = dict(response.fields)
    assert found[b"content-type"] == kind.encode()
    assert found[b"vary"] == b"accept"
    assert found[b"cache-control"] == b"no-store"
    assert (response.status, response.reason) == (404, b"Not Found")


@pytest.mark.parametrize("form", ["html", "json", "text"])
def test_a_fixed_form(form: str) -> None:
    """Configured, it is what everyone gets, and does not vary."""
    response = reply_of({"format": form})(make_exchange("GET /", "h", "Accept: image/png"), 404, "", "")
    assert form in dict(response.fields)[b"content-type"].decode().replace("plain", "text")
    assert b"vary" not in dict(response.fields)


def test_the_problem_document() -> None:
    """RFC 9457: about:blank with the status' own title, a public sentence, and the request id as the instance."""
    response = reply_of()(make_exchange(), 404, "destination_not_found", "no route in /etc/secret")
    assert json.loads(text(response)) == {
        "type": "about:blank",
        "title": "Not Found",
        "status": 404,
        "detail": "There is nothing at this address.",
        "instance": "urn:request:id-1",
        "request_id": "id-1",
    }


def test_the_page() -> None:
    """Complete, without scripts or anything to fetch, for eyes and screen readers, in light and dark."""
    response = reply_of()(make_exchange("GET /", "h", BROWSER), 503, "destination_unavailable", "")
    page = text(response)
    assert page.startswith("<!doctype html>")
    assert '<html lang="en">' in page
    assert "<title>503 Service Unavailable</title>" in page
    assert page.count("<h1>") == page.count("<main>") == 1
    assert "color-scheme:light dark" in page
    assert 'name="viewport"' in page
    assert "<code>id-1</code>" in page
    assert re.search(r"<script|<img|<link|https?:|\son\w+=|\sstyle=|\$\{", page) is None
    assert len(page) < 1500


def test_the_pages_own_policy() -> None:
    """The style that the page holds is the only thing that its Content-Security-Policy allows."""
    response = reply_of()(make_exchange("GET /", "h", BROWSER), 404, "", "")
    policy = dict(response.fields)[b"content-security-policy"].decode()
    style = re.search("<style>(.*)</style>", text(response))
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'")


def test_text() -> None:
    """Three lines for a terminal."""
    response = reply_of()(make_exchange("GET /", "h", "Accept: text/plain"), 404, "", "")
    assert text(response) == "404 Not Found\nThere is nothing at this address.\nRequest id: id-1\n"


@pytest.mark.parametrize("cause", [cause for cause in Cause if cause.status != 499], ids=lambda cause: cause.word)
@pytest.mark.parametrize("accept", ["text/html", "application/json", "text/plain"])
def test_every_cause_has_a_sentence_and_tells_nothing(cause: Cause, accept: str) -> None:
    """Neither the cause nor its detail reaches the client."""
    secret = "connect() to 10.1.2.3:5432 as postgres failed"
    body = text(reply_of()(make_exchange("GET /", "h", f"Accept: {accept}"), cause.status, cause.token, secret))
    assert "10.1.2.3" not in body
    assert "postgres" not in body
    assert cause.word not in body
    if cause.token != "-":
        assert cause.token not in body
    assert re.search(r"[A-Z][^<>\"]+\.", body) is not None


def test_the_cause_can_be_told() -> None:
    """With `detail: true` token and detail are shown, escaped and cut; nothing of one request shows in the next."""
    reply = reply_of({"detail": True})
    problem = json.loads(text(reply(make_exchange(), 502, "http_protocol_error", 'a "quoted"\x00 detail' + "x" * 5000)))
    assert problem["cause"] == "http_protocol_error"
    assert 'a "quoted"\x00 detail' in problem["detail"]
    assert len(problem["detail"]) < 700
    page = text(reply(make_exchange("GET /", "h", BROWSER), 502, "x", "<script>alert(1)</script>"))
    assert "&lt;script&gt;" in page
    assert "<script>" not in page
    assert "alert" not in text(reply(make_exchange("GET /", "h", BROWSER), 502, "x", ""))
    assert json.loads(text(reply(make_exchange(), 502, "other_token", "")))["cause"] == "other_token"
    assert "(a?b)" in text(reply(make_exchange(), 502, "x", "a\udc80b"))


def test_nothing_of_the_request_is_echoed() -> None:
    """Path, query, host and fields of the client do not come back."""
    for accept in ("text/html", "application/json", "text/plain"):
        exchange = make_exchange(
            "GET /evil?q=evil",
            "evil.example",
            f"Accept: {accept}, evil/evil",
            "User-Agent: evil",
            "Referer: http://evil/",
        )
        response = reply_of()(exchange, 404, "", "")
        assert "evil" not in text(response)
        assert b"evil" not in b"".join(value for _name, value in response.fields)


def test_a_hostile_id_is_escaped() -> None:
    """Ids are checked where they are taken over; the page does not rely on it."""
    exchange = make_exchange("GET /", "h", BROWSER)
    exchange.id = b'"><script>'
    assert "<script>" not in text(reply_of()(exchange, 404, "", ""))
    exchange = make_exchange()
    exchange.id = b'a"b\\c'
    assert json.loads(text(reply_of()(exchange, 404, "", "")))["request_id"] == 'a"b\\c'


def stub() -> Exchange:
    return Exchange(Connection("192.0.2.1", 1, "127.0.0.1:80", ":80", 0.0), Request(b"", b"", b"", None, 1), 0.0)


def test_bytes_that_are_no_request() -> None:
    """Without fields and without an id the answer simply lacks them."""
    assert json.loads(text(reply_of()(stub(), 400, "http_request_error", "bad"))).keys() == {
        "type", "title", "status", "detail",
    }  # fmt: skip
    for form, mark in (("html", "Request id"), ("text", "Request id"), ("json", "request_id")):
        assert mark not in text(reply_of({"format": form})(stub(), 400, "", ""))


def test_an_exchange_without_an_id_is_given_one() -> None:
    """By the maker that the house hands over, and written where the log will find it."""
    reply = build_error_reply(Config(), Shared(), lambda: b"MADE")
    exchange = stub()
    assert json.loads(text(reply(exchange, 400, "", "")))["request_id"] == "MADE"
    assert exchange.id == b"MADE"
    named = make_exchange()
    assert json.loads(text(reply(named, 400, "", "")))["request_id"] == "id-1"


def test_retry_after() -> None:
    """On 503 only, as configured."""
    for settings, status, expected in (
        ({}, 503, b"5"),
        ({}, 502, None),
        ({"retry_after": "2m"}, 503, b"120"),
        ({"retry_after": 0}, 503, None),
    ):
        assert dict(reply_of(settings)(make_exchange(), status, "", "").fields).get(b"retry-after") == expected


def test_answers_are_not_shared() -> None:
    """Whoever edits an answer edits that one."""
    reply = reply_of()
    first = reply(make_exchange(), 404, "", "")
    first.fields.append((b"x", b"y"))
    assert b"x" not in dict(reply(make_exchange(), 404, "", "").fields)


def test_unknown_statuses_have_an_answer_too() -> None:
    """A status outside the table is the client's or the server's."""
    for status, word in ((418, "could not be served"), (499, "could not be served"), (599, "went wrong")):
        assert word in text(reply_of()(make_exchange(), status, "", ""))


@pytest.fixture
def pages(tmp_path: Path) -> Path:
    (tmp_path / "404.html").write_text("<p>${status} ${title}: ${detail} (${request_id}) $${js} ${request_id}</p>")
    (tmp_path / "any.html").write_text("<p>any ${status}</p>")
    (tmp_path / "server.html").write_text("<p>server ${status}</p>")
    (tmp_path / "any.json").write_text('{"error": {"code": ${status}, "text": "${detail}", "id": "${request_id}"}}')
    return tmp_path


def test_templates(pages: Path) -> None:
    """Filled in and escaped; the exact status before the class before the default; other forms keep our own."""
    reply = reply_of({"templates": {404: "404.html", "5xx": "server.html", "default": ["any.html", "any.json"]}}, pages)

    def get(status: int, accept: str) -> str:
        return text(reply(make_exchange("GET /", "h", f"Accept: {accept}"), status, "", ""))

    page = get(404, "text/html")
    assert page == "<p>404 Not Found: There is nothing at this address. (id-1) ${js} id-1</p>"
    assert get(502, "text/html") == "<p>server 502</p>"
    assert get(403, "text/html") == "<p>any 403</p>"
    assert json.loads(get(403, "application/json"))["error"]["code"] == 403
    assert get(403, "text/plain").startswith("403 Forbidden\n")


def test_a_template_brings_no_policy_of_ours(pages: Path) -> None:
    """Its author decides what it may load."""
    reply = reply_of({"templates": {404: "404.html"}}, pages)
    assert b"content-security-policy" not in dict(reply(make_exchange("GET /", "h", BROWSER), 404, "", "").fields)
    assert b"content-security-policy" in dict(reply(make_exchange("GET /", "h", BROWSER), 403, "", "").fields)


def test_a_json_template_is_escaped_as_json(pages: Path) -> None:
    """Quotes in an id or a detail cannot leave their string."""
    reply = reply_of({"templates": {"default": "any.json"}, "detail": True}, pages)
    exchange = make_exchange()
    exchange.id = b'a"b'
    problem = json.loads(text(reply(exchange, 502, "t", 'say "hi"\\')))
    assert problem["error"]["id"] == 'a"b'
    assert 'say "hi"\\' in problem["error"]["text"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.html", None, "cannot read"),
        ("x.css", b"", "must end in .html, .json or .txt"),
        ("x.html", b"\xff\xfe", "not UTF-8"),
        ("x.html", b"x" * (1 << 20) + b"y", "larger than 1 MiB"),
        ("x.html", b"\n${staus}", r"x.html:2: \$\{staus\} is not known: did you mean \$\{status\}\?"),
        ("x.html", b"${}", "write .* for a literal"),
    ],
)
def test_templates_that_cannot_be_used(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    """Found at load, with the key and the file."""
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=r"error_pages\.templates\.404: .*" + message):
        reply_of({"templates": {"404": name}}, tmp_path)


def test_every_template_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    """One line for each file, and for each unknown variable in it."""
    (tmp_path / "x.html").write_text("${a}\n${b}")
    with pytest.raises(ValueError, match="is not known") as wrong:
        reply_of({"templates": {"404": "x.html", "503": ["gone.txt", "x.css"], "default": "x.html"}}, tmp_path)
    lines = [line.split(": ")[:2] for line in str(wrong.value).splitlines()]
    assert [(key.rpartition(".")[2], said.removeprefix(f"{tmp_path}/")) for key, said in lines] == [
        ("404", "x.html:1"),
        ("404", "x.html:2"),
        ("503", f"cannot read {tmp_path}/gone.txt"),
        ("503", "'x.css' must end in .html, .json or .txt"),
        ("default", "x.html:1"),
        ("default", "x.html:2"),
    ]


@pytest.mark.parametrize("key", ["200", "40x", "6xx", "errors", "4040"])
def test_keys_that_are_no_error(key: str) -> None:
    """A status, a class or `default`."""
    with pytest.raises(ValidationError, match="is not a status"):
        Config.model_validate({"templates": {key: "x.html"}})
