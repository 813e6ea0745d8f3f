"""Everything that is wrong, in one run: what loading, building and the certificates say, and what is surely not meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.check import Report, everything, rehearse
from gateway.config import ConfigError, load, quick
from gateway.development import make_development_certificates

APP = "upstreams: {app: {endpoints: [http://app:3000]}}\n"


def check(folder: Path, text: str) -> Report:
    path = folder / "config.yaml"
    path.write_text(text)
    try:
        return rehearse(load(path, environ={}))
    except ConfigError as error:
        return everything(error)


def places(report: Report) -> list[str]:
    return [f"{problem.line}: {problem.path}" for problem in report.errors]


def test_what_is_right_is_built(tmp_path: Path) -> None:
    """The site is handed on, for whoever wants to ask it."""
    report = check(tmp_path, APP + "routes: [{upstream: app}]\n")
    assert (report.errors, report.warnings) == ((), ())
    assert report.site is not None
    assert [route.upstream for route in report.site.routes] == ["app"]


def test_mistakes_of_every_kind_in_one_run(tmp_path: Path) -> None:
    """A key, a value, a name, a certificate, a template: none of them hides another."""
    report = check(
        tmp_path,
        "listeners:\n- {bind: 80, tls: {certificates: nowhere/}}\n" + APP + "routes:\n"
        "- {upstream: ap, nam: x}\n"
        "- {upstream: app, access_log: {output: nowhere/a.log}}\n"
        "error_pages: {templates: {404: gone.html}}\n",
    )
    assert report.site is None
    assert places(report) == [
        "2: listeners[0].bind",
        "2: listeners[0].tls.certificates",
        "5: routes[0].upstream",
        "5: routes[0].nam",
        "6: routes[1].access_log.output",
        "7: error_pages.templates.404",
    ]


def test_a_file_that_cannot_be_read_leaves_nothing_to_build(tmp_path: Path) -> None:
    """Its one mistake is told, and defaults are not judged in its place."""
    report = check(tmp_path, "listeners: [\n")
    assert len(report.errors) == 1
    assert report.warnings == ()


def test_what_stands_in_rules_files_is_built_although_config_yaml_is_broken(tmp_path: Path) -> None:
    """Each file is read for itself."""
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules/a.yaml").write_text("upstreams: {a: {endpoints: [https://a], tls: {ca: gone.pem}}}\n")
    report = check(tmp_path, "routes: [\n")
    assert [problem.path for problem in report.errors] == ["", "upstreams.a.tls.ca"]


def test_flags_are_checked_like_a_file() -> None:
    """The backend and the certificates, each by its flag."""
    with pytest.raises(ConfigError) as wrong:
        quick("app:3000", [], ["127.0.0.1:8443"], None)
    report = everything(wrong.value)
    assert [problem.file for problem in report.errors] == ["--tls-listen", "--to"]


def test_what_a_start_met_is_told_with_the_rest(tmp_path: Path) -> None:
    """A start ends at the first stage that fails; the others are gone through for what they would say."""
    path = tmp_path / "config.yaml"
    path.write_text("listeners: [{bind: ':443', tls: {certificates: no/}}]\nerror_pages: {templates: {404: no.html}}\n")
    loaded = load(path)
    met = ConfigError([loaded.problem(("error_pages",), "met first")])
    assert len(everything(met, loaded).errors) == 3
    assert everything(met).errors == met.problems


def test_warnings_have_places_and_come_in_their_order(tmp_path: Path) -> None:
    """Those of the file, of building, of the certificates, and of redirects that never end."""
    make_development_certificates(tmp_path / "certs", wall=0.0)
    text = (
        "real_ip: {trusted: [0.0.0.0/0]}\n"
        "listeners: [{bind: '127.0.0.1:8443', tls: {default: x.test}}]\n"
        "upstreams: {app: {endpoints: [https://app], tls: {verify: false}}}\n"
        "routes:\n"
        "- {upstream: app}\n- {upstream: app, name: again}\n- {match: {path: /a/*}, redirect: /a/b}\n"
        "forwarded: {obfuscate: true}\nadmin: {bind: ':9090'}\n"
    )
    path = tmp_path / "config.yaml"
    found = [warning.removeprefix(f"{path}:") for warning in check(tmp_path, text).warnings]
    assert [warning.split(": ")[:2] for warning in found] == [
        ["1:21", "real_ip.trusted[0]"],
        ["2:43", "listeners[0].tls"],
        ["2:53", "listeners[0].tls.default"],
        ["3:59", "upstreams.app.tls.verify"],
        ["6:3", "routes[1]"],
        ["7:35", "routes[2].redirect"],
        ["8:24", "forwarded.obfuscate"],
        ["9:15", "admin.bind"],
    ]
    assert found[4].endswith(f"'/*' (*, /*) at {path}:5:3 takes all that it would match")


def test_warnings_are_sorted_by_number(tmp_path: Path) -> None:
    """Line 10 comes after line 9."""
    routes = "".join(f"- {{upstream: app, match: {{path: /{at // 2}}}}}\n" for at in range(12))
    found = check(tmp_path, APP + "routes:\n" + routes).warnings
    lines = [int(warning.split(":")[1]) for warning in found]
    assert lines == sorted(lines) == [4, 6, 8, 10, 12, 14]


def test_a_mistake_makes_no_warning_of_another(tmp_path: Path) -> None:
    """Routes that a mistake may have made alike are not called duplicates."""
    report = check(tmp_path, APP + "routes:\n- {upstream: app, path: /a}\n- {upstream: app, match: {path: 3}}\n")
    assert len(report.errors) == 2
    assert report.warnings == ()


def test_redirects_are_followed_only_through_a_whole_site(tmp_path: Path) -> None:
    """What a mistake took out may be what ends the walk."""
    routes = "routes: [{match: {path: /a/*}, redirect: /a/b}]\n"
    assert len(check(tmp_path, routes).warnings) == 1
    report = check(tmp_path, routes + "error_pages: {detail: maybe}\n")
    assert (len(report.errors), report.warnings) == (1, ())


def test_nothing_is_written(tmp_path: Path) -> None:
    """An access log is not made by looking whether it could be."""
    check(tmp_path, APP + "routes: [{upstream: app}]\naccess_log: {output: a.log}\n")
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]
