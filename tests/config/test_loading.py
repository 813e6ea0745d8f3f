"""Loading from files and from flags: what can be wrong with the files themselves, and what is handed on."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.config import ConfigError, load, quick
from gateway.config.document import MAX_FILE_BYTES
from gateway.config.parcel import pack, unpack

APP = "upstreams: {app: {endpoints: [http://127.0.0.1:3000]}}\nroutes: [{upstream: app}]\n"


def write(folder: Path, **files: str) -> Path:
    """config.yaml, or files below rules/; the path of config.yaml."""
    for name, text in files.items():
        path = folder / ("config.yaml" if name == "config" else f"rules/{name}.yaml")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder / "config.yaml"


def errors(path: Path, **environ: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(path, environ=environ)
    return [str(problem).replace(f"{path.parent}/", "") for problem in caught.value.problems]


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    """One sentence, no traceback."""
    (message,) = errors(tmp_path / "config.yaml")
    assert message.startswith(
        "config.yaml: there is no such file: write one, name another with -c, or run `gateway run"
    )


def test_a_folder_is_not_a_file(tmp_path: Path) -> None:
    """It says which file was probably meant."""
    (message,) = errors(tmp_path)
    assert "this is a folder: name the file in it, for example" in message


def test_an_unreadable_file_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the system's reason is."""

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    path = write(tmp_path, config=APP)
    monkeypatch.setattr(Path, "open", refuse)
    (message,) = errors(path)
    assert (
        message
        == "config.yaml: the file cannot be read (Permission denied): let the user that runs the gateway read it"
    )


def test_names_that_cannot_be_files() -> None:
    """A NUL in a path is an error like any other."""
    with pytest.raises(ConfigError):
        load(Path("a\0b"))


def test_a_file_that_is_too_large_is_not_read_whole(tmp_path: Path) -> None:
    """A log or a disk image given by mistake."""
    path = tmp_path / "config.yaml"
    path.write_bytes(b"#" * (MAX_FILE_BYTES + 1))
    assert errors(path) == ["config.yaml: the file is larger than 4 MiB: is it a configuration?"]


def test_what_is_handed_on(tmp_path: Path) -> None:
    """The values, where relative paths start, and every file and folder that a change of would matter."""
    (tmp_path / "key").write_text("s3cret")
    path = write(
        tmp_path,
        config=APP + "log: {level: '${env:LEVEL:-debug}'}\n",
        more="routes: [{respond: 204, match: {path: /x}}]\n",
    )
    (tmp_path / "rules/more.yaml").write_text("routes: [{respond: {body: '${file:key}'}, match: {path: /x}}]\n")
    loaded = load(path, environ={})
    assert loaded.config.log.level == "debug"
    assert loaded.folder == tmp_path
    assert set(loaded.watched) == {path, tmp_path / "rules", tmp_path / "rules/more.yaml", tmp_path / "key"}
    assert loaded.warnings == ()


def test_positions_are_kept_for_later_steps(tmp_path: Path) -> None:
    """What only building finds is told with a place too, and without secrets."""
    path = write(tmp_path, config=APP, more="routes:\n  - {respond: {body: '${env:TEXT}'}, match: {path: /x}}\n")
    loaded = load(path, environ={"TEXT": "hunter2"})
    assert loaded.position_of(("routes", 0, "upstream")) == (str(path), 2, 21)
    problem = loaded.problem(("routes", 1, "respond", "body"), "'hunter2' cannot be sent")
    assert str(problem) == f"{tmp_path}/rules/more.yaml:2:22: routes[0].respond.body: '${{env:TEXT}}' cannot be sent"
    assert loaded.problem(("nowhere",), "x").place == (str(path), 1, 1)


@pytest.mark.parametrize(
    ("path", "message", "said"),
    [
        (("upstreams", "app"), "tls.ca: is gone", "1:53: upstreams.app.tls.ca: is gone"),
        (("upstreams", "app"), "upstreams.app: tls.ca: is gone", "1:53: upstreams.app.tls.ca: is gone"),
        (("upstreams", "app"), "app.tls: is odd", "1:48: upstreams.app.tls: is odd"),
        (("upstreams", "app"), "tls.key: is gone", "1:18: upstreams.app: tls.key: is gone"),
        (("upstreams", "app"), "ca.pem: is gone", "1:18: upstreams.app: ca.pem: is gone"),
        (("error_pages",), "error_pages.templates.404: is gone", "2:32: error_pages.templates.404: is gone"),
        (("error_pages", "format"), "error_pages.format: is odd", "2:14: error_pages.format: is odd"),
    ],
)
def test_keys_at_the_begin_of_a_message_lead_to_the_place(
    tmp_path: Path, path: tuple[str, ...], message: str, said: str
) -> None:
    """As far as the file has them; they are said once."""
    text = "upstreams: {app: {endpoints: [https://a], tls: {ca: x}}}\nerror_pages: {templates: {404: a.html}}\n"
    loaded = load(write(tmp_path, config=text))
    assert str(loaded.problem(path, message)).removeprefix(f"{tmp_path}/config.yaml:") == said


def test_without_positions_a_message_keeps_its_keys(tmp_path: Path) -> None:
    """A configuration that was handed to another process, or that came from flags."""
    message = "upstreams.app: tls.ca: is gone"
    loaded = unpack(pack(load(write(tmp_path, config=APP))))
    assert str(loaded.problem(("upstreams", "app"), message)) == f"{tmp_path}/config.yaml: {message}"
    assert str(quick("http://a", [], [], None).problem(("upstreams", "app"), message)) == f"--to: {message}"


def test_nothing_of_it_shows_a_secret(tmp_path: Path) -> None:
    """Neither the repr of what was loaded nor that of the values."""
    path = write(tmp_path, config=APP + "access_log: {output: '${env:SECRET}'}\n")
    loaded = load(path, environ={"SECRET": "hunter2"})
    assert loaded.config.access_log.output == "hunter2"  # type: ignore[union-attr]
    assert "hunter2" not in repr(loaded) + str(loaded.config) + repr(loaded.config)


def test_a_reference_is_read_as_the_key_wants_it(tmp_path: Path) -> None:
    """Digits as a number or as text, in quotes or not."""
    text = APP + "downstream: {max_fields: '${env:N}', max_connections: '${env:N}'}\naccess_log:\n  output: ${env:N}\n"
    config = load(write(tmp_path, config=text), environ={"N": "50"}).config
    assert (config.downstream.max_fields, config.downstream.max_connections) == (50, 50)
    assert config.access_log.output == "50"  # type: ignore[union-attr]


def test_a_reference_that_fits_neither_way_is_told_as_written(tmp_path: Path) -> None:
    """And only once."""
    text = APP + "downstream:\n  max_fields: ${env:N}\n  max_line: ${env:N}\n"
    assert errors(write(tmp_path, config=text), N="true") == [
        "config.yaml:4:15: downstream.max_fields: expected a whole number, found `${env:N}`",
        "config.yaml:5:13: downstream.max_line: the value of `${env:N}` is not accepted here",
    ]


def test_cross_checks_wait_until_everything_can_be_read(tmp_path: Path) -> None:
    """An upstream that may stand behind a syntax error is not called missing."""
    path = write(tmp_path, config="routes: [{upstream: app, nam: x}]\n", more="upstreams: [\n")
    assert [message.split(": ", 1)[1] for message in errors(path)] == [
        "routes[0].nam: unknown key `nam`: did you mean `name`?",
        "a value is missing here",
    ]


def test_rules_are_read_in_order_and_hidden_ones_are_not(tmp_path: Path) -> None:
    """Mounted config maps keep their versions in folders that begin with dots."""
    rule = "routes: [{{respond: 204, match: {{path: /{0}}}}}]\n"
    path = write(tmp_path, config=APP, **{name: rule.format(name) for name in ("b", "a", "z/a", ".hidden", "..data/a")})
    paths = [route.match.path for route in load(path, environ={}).config.routes]
    assert paths == [None, ["/a"], ["/b"], ["/z/a"]]


def test_a_rules_folder_of_a_thousand_files_is_a_mistake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is surely a mount of something else."""
    monkeypatch.setattr("gateway.config.loading.MAX_RULES_FILES", 2)
    path = write(tmp_path, config=APP, a="", b="", c="")
    assert errors(path) == ["rules: more than 2 files: is this the rules folder?"]


def test_quick_is_a_whole_configuration() -> None:
    """`gateway run --to URL`: one upstream, one route, the default listener."""
    loaded = quick("http://127.0.0.1:3000", [], [], None)
    assert [str(listener.bind) for listener in loaded.config.listeners] == ["0.0.0.0:8080"]
    assert loaded.config.routes[0].upstream == "app"
    assert loaded.config.upstreams["app"].endpoints[0].url == "http://127.0.0.1:3000"
    assert loaded.warnings == ()
    assert loaded.watched == ()


def test_quick_takes_a_backend_as_a_browser_shows_it() -> None:
    """With a slash at its end."""
    assert quick("http://127.0.0.1:3000/", [], [], None).config.upstreams["app"].endpoints[0].url[-5:] == ":3000"


def test_quick_takes_its_flags() -> None:
    """http, https and the admin's address, each where it was said."""
    loaded = quick("unix:/run/app.sock", ["127.0.0.1:80", ":81"], ["127.0.0.1:443"], "127.0.0.1:1")
    listeners = loaded.config.listeners
    assert [str(listener.bind) for listener in listeners] == ["127.0.0.1:80", "[::]:81", "127.0.0.1:443"]
    assert [listener.tls is not None for listener in listeners] == [False, False, True]
    assert str(loaded.config.admin.bind) == "127.0.0.1:1"


def test_quick_names_the_flags() -> None:
    """All that is wrong at once, without paths of a file that does not exist."""
    with pytest.raises(ConfigError) as caught:
        quick("app:3000", ["8080"], [":1", ":1"], "here")
    assert [str(problem).split(":")[0] for problem in caught.value.problems] == [
        "--admin", "--listen", "--tls-listen", "--to",
    ]  # fmt: skip
    assert "'app:3000' is not an endpoint" in str(caught.value)


def test_the_environment_is_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the process, as it is when the file is read."""
    monkeypatch.setitem(os.environ, "GATEWAY_TEST_LEVEL", "error")
    path = write(tmp_path, config=APP + "log:\n  level: ${env:GATEWAY_TEST_LEVEL}\n")
    assert load(path).config.log.level == "error"
