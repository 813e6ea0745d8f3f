"""The command `gateway`: what it says, to whom, and with which exit code."""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway import __version__, cli
from gateway.config import load
from tests.kit.process import until

ROOT = Path(__file__).resolve().parent.parent
GOOD = """\
listeners:
  - bind: 127.0.0.1:8080
upstreams:
  app: {endpoints: ["http://127.0.0.1:3000"]}
routes:
  - name: old
    match: {path: /old}
    redirect: /new
  - name: all
    match: {path: /*}
    upstream: app
"""
BAD = GOOD.replace("upstream: app", "upstream: apq").replace("bind:", "bidn:")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(GOOD)
    return path


def test_version_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """`--version` names the program and its version on standard output."""
    assert cli.main(["--version"]) == cli.CLEAN
    assert capsys.readouterr().out == f"gateway {__version__}\n"


def test_nothing_typed_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a command the help goes to standard error, with the code for wrong usage."""
    assert cli.main([]) == cli.BAD_USAGE
    assert "gateway run --to http://127.0.0.1:3000" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["run", "check", "schema", "explain", "certs"])
def test_help_teaches_by_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each command's help holds at least one line that can be typed as it stands."""
    assert cli.main([command, "--help"]) == cli.CLEAN
    assert f"  gateway {command}" in capsys.readouterr().out


def test_start_of_the_command_imports_little() -> None:
    """Reading the command line imports neither the loop nor the libraries of any command."""
    code = "import sys; from gateway.cli import main; main(['--version']); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert not {"asyncio", "uvloop", "pydantic", "aiohttp", "yaml", "ssl"} & set(loaded.split())


def test_check_counts_what_is_right(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A good file gets one line on standard output and code 0."""
    assert cli.main(["check", "-c", str(config)]) == cli.CLEAN
    assert capsys.readouterr().out.startswith(f"{config}: ok: 1 listener, 2 routes, 1 upstream, ")


def test_check_says_every_mistake(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A bad file gets each mistake as file:line:column on standard error, their number, and code 1."""
    config.write_text(BAD)
    assert cli.main(["check", "-c", str(config)]) == cli.BAD_CONFIGURATION
    told = capsys.readouterr()
    assert told.out == ""
    lines = told.err.splitlines()
    assert any(line.startswith(f"{config}:2:") for line in lines)
    assert any(line.startswith(f"{config}:11:") and "apq" in line for line in lines)
    assert lines[-1] == f"{len(lines) - 1} errors"


def test_check_says_what_only_building_finds_in_the_same_run(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Errors by line, then warnings, then how many there are of each."""
    more = "  - {name: two, match: {path: /*}, upstream: app}\nerror_pages: {templates: {404: gone.html}}\n"
    config.write_text(GOOD.replace("bind:", "bidn:") + more)
    assert cli.main(["check", "-c", str(config)]) == cli.BAD_CONFIGURATION
    lines = capsys.readouterr().err.replace(f"{config}:", "").splitlines()
    assert [line.split(": ")[:2] for line in lines] == [
        ["2:5", "listeners[0].bidn"],
        ["13:32", "error_pages.templates.404"],
        ["warning", "12:5"],
        ["2 errors, 1 warning"],
    ]


def test_check_takes_the_file_without_a_flag(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As people type it; two files are one too many."""
    assert cli.main(["check", str(config)]) == cli.CLEAN
    assert capsys.readouterr().out.startswith(f"{config}: ok: ")
    assert cli.main(["check", str(config), "-c", str(config)]) == cli.BAD_USAGE


def test_strict_makes_warnings_count(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Code 1, and the line says why; without warnings it changes nothing."""
    assert cli.main(["check", "--strict", str(config)]) == cli.CLEAN
    config.write_text(GOOD + "admin: {bind: 0.0.0.0:9090}\n")
    assert cli.main(["check", str(config)]) == cli.CLEAN
    capsys.readouterr()
    assert cli.main(["check", "--strict", str(config)]) == cli.BAD_CONFIGURATION
    told = capsys.readouterr()
    assert told.err.startswith(f"warning: {config}:12:15: admin.bind: other machines may read all of it")
    assert told.out == f"{config}: not ok with --strict: 1 listener, 2 routes, 1 upstream, 1 warning\n"


def test_what_is_mistyped_is_usage(capsys: pytest.CaptureFixture[str]) -> None:
    """One sentence on standard error, and the code for wrong usage."""
    assert cli.main(["chek"]) == cli.BAD_USAGE
    assert capsys.readouterr().err == "There is no command chek: did you mean check? `gateway --help` lists them.\n"


def test_missing_file_is_usage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without config.yaml and without -c, the sentence shows how to begin."""
    monkeypatch.chdir(tmp_path)
    assert cli.main(["run"]) == cli.BAD_USAGE
    assert "gateway run --to" in capsys.readouterr().err
    assert cli.main(["run", "-c", "nowhere.yaml"]) == cli.BAD_CONFIGURATION
    assert "nowhere.yaml" in capsys.readouterr().err


def test_flags_that_contradict_are_usage(capsys: pytest.CaptureFixture[str]) -> None:
    """--listen belongs to --to, and --to excludes -c."""
    assert cli.main(["run", "--listen", "127.0.0.1:1"]) == cli.BAD_USAGE
    assert cli.main(["run", "--to", "http://127.0.0.1:3000", "-c", "x.yaml"]) == cli.BAD_USAGE
    assert "Either --to URL or -c FILE" in capsys.readouterr().err


def test_a_wrong_flag_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """What is wrong with the URL of --to is told by the name of the flag."""
    assert cli.main(["run", "--to", "ftp://127.0.0.1"]) == cli.BAD_CONFIGURATION
    assert "--to" in capsys.readouterr().err


@pytest.mark.parametrize("of", ["config", "rules"])
def test_schema_is_json(of: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The schema is a JSON document that describes a mapping."""
    assert cli.main(["schema", of]) == cli.CLEAN
    schema = json.loads(capsys.readouterr().out)
    assert schema["type"] == "object"
    assert "routes" in schema["properties"]


def test_explain_an_upstream(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A request that would be forwarded shows its listener, normalised path, route and upstream."""
    assert cli.main(["explain", "GET", "http://shop.example.com/a/../b?c", "-c", str(config)]) == cli.CLEAN
    told = capsys.readouterr().out
    assert "http on 127.0.0.1:8080" in told
    assert "GET shop.example.com/b" in told
    assert "'all'" in told
    assert "app: 127.0.0.1:3000" in told


def test_explain_an_answer(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A request that the gateway answers shows the status, the filter and where it sends the client."""
    assert cli.main(["explain", "GET", "/old", "-c", str(config)]) == cli.CLEAN
    told = capsys.readouterr().out
    assert "answer" in told
    assert "by redirect" in told
    assert "/new" in told


def test_explain_a_refusal(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What the wire would refuse is refused here by the same reader, with its status."""
    ambiguous = ["-H", "Content-Length: 1", "-H", "Transfer-Encoding: chunked"]
    assert cli.main(["explain", "POST", "/", *ambiguous, "-c", str(config)]) == cli.CLEAN
    assert "400" in capsys.readouterr().out


@pytest.mark.parametrize("url", ["shop.example.com", "ftp://a/b", "http://[::1", "http://a:port/"])
def test_explain_wants_a_url(url: str, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is no URL is usage, and the sentence shows what is one."""
    assert cli.main(["explain", "GET", url, "-c", str(config)]) == cli.BAD_USAGE
    assert "is not a URL" in capsys.readouterr().err


def test_certs_without_tls(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A configuration without TLS serves no certificate, which is no error."""
    assert cli.main(["certs", "-c", str(config)]) == cli.CLEAN
    assert "No listener has `tls`" in capsys.readouterr().err


def test_certs_made_and_listed(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Development certificates are made in a folder, and listed with their names, issuer and days."""
    folder = config.parent / "certs"
    assert cli.main(["certs", "--make", str(folder)]) == cli.CLEAN
    assert list(folder.glob("*.pem"))
    config.write_text(GOOD.replace("127.0.0.1:8080\n", "127.0.0.1:8443\n    tls: {certificates: certs/}\n"))
    capsys.readouterr()
    assert cli.main(["certs", "-c", str(config)]) == cli.CLEAN
    told = capsys.readouterr().out
    assert "localhost" in told
    assert "days left" in told


def test_certs_without_a_file_asks_a_gateway(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """At the usual admin address; if none is there, both ways out are named."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli, "DEFAULT_ADMIN", f"127.0.0.1:{free_port()}")
    assert cli.main(["certs"]) == cli.BAD_USAGE
    told = capsys.readouterr().err
    assert told.startswith(
        "There is no config.yaml here, so a gateway was looked for. No gateway answers at 127.0.0.1:"
    )
    assert "-c FILE" in told
    assert "--admin" in told


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("9090", "--admin: 9090 is a port alone: write for example 0.0.0.0:9090"),
        ("unix:/nowhere/admin.sock", "No gateway answers at unix:/nowhere/admin.sock: No such file or directory."),
    ],
)
def test_certs_of_a_gateway_that_is_not_there(
    address: str, said: str, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The address is told, whatever files there are."""
    assert cli.main(["certs", "--admin", address, "-c", str(config)]) == cli.BAD_USAGE
    assert capsys.readouterr().err.startswith(said)


def test_the_banner_shows_commands_for_unix_sockets(tmp_path: Path) -> None:
    """No URL leads there."""
    config = tmp_path / "config.yaml"
    text = GOOD.replace("127.0.0.1:8080", "unix:/run/a b.sock") + "admin: {bind: 'unix:/run/a.sock'}\n"
    config.write_text(text)
    _first, *lines = cli._banner(load(config)).splitlines()
    assert lines == [
        "  curl --unix-socket '/run/a b.sock' http://localhost/",
        "  curl --unix-socket /run/a.sock http://localhost/metrics  admin: health and metrics",
    ]


@pytest.mark.parametrize(
    ("number", "address", "said"),
    [
        (
            errno.EADDRINUSE,
            "unix:/run/a.sock",
            "taken by another process; see which one with: ss -lxp | grep /run/a.sock",
        ),
        (errno.EACCES, "0.0.0.0:80", "allow it to everyone with: sudo sysctl net.ipv4.ip_unprivileged_port_start=80"),
        (errno.EADDRNOTAVAIL, "203.0.113.9:80", "is not an address of this machine; see which are with: ip -brief"),
        (errno.EAFNOSUPPORT, "[::1]:80", "this machine has no IPv6: write 0.0.0.0:80 for every address"),
        (socket.EAI_NONAME, "a.test:80", "cannot resolve; see what it stands for with: getent hosts a.test"),
        (errno.ENOENT, "unix:/no/a.sock", "there is no folder /no; make it with: mkdir -p /no"),
        (errno.EACCES, "unix:/root/a.sock", "Cannot listen on unix:/root/a.sock: Permission denied."),
        (errno.EMFILE, "0.0.0.0:80", "Cannot listen on 0.0.0.0:80: Too many open files."),
    ],
)
def test_why_an_address_cannot_be_listened_on(number: int, address: str, said: str) -> None:
    """One sentence, with the command that tells more or mends it."""
    reason = os.strerror(number) if number > 0 else "Name or service not known"
    told = cli._why_not(OSError(number, reason, address))
    assert told.startswith((address, "Cannot listen on "))
    assert said in told


def test_the_banner_names_every_address(tmp_path: Path) -> None:
    """Listeners with what is special about them, and both listeners of the admin."""
    config = tmp_path / "config.yaml"
    config.write_text(
        GOOD.replace("127.0.0.1:8080\n", "127.0.0.1:8080\n    proxy_protocol: {trusted: [10.0.0.0/8]}\n")
        + "admin: {probe: 127.0.0.1:9091}\n"
    )
    _first, *lines = cli._banner(load(config)).splitlines()
    assert lines == [
        "  http://127.0.0.1:8080  (PROXY protocol)",
        "  http://127.0.0.1:9090/metrics  admin: health and metrics",
        "  http://127.0.0.1:9091/readyz  probe: health and metrics for other machines",
    ]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def gateway(*arguments: str, folder: Path = ROOT) -> Iterator[subprocess.Popen[str]]:
    child = subprocess.Popen(
        [sys.executable, "-m", "gateway", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield child
    finally:
        child.kill()
        child.communicate()


@pytest.mark.e2e
def test_a_taken_port_is_one_sentence() -> None:
    """A busy port ends `run` with code 3 and a sentence that says how to find out who has it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with gateway("run", "--to", "http://127.0.0.1:9", "--listen", f"127.0.0.1:{port}") as child:
            _out, err = child.communicate(timeout=20)
    assert child.returncode == cli.CANNOT_LISTEN
    assert err == f"127.0.0.1:{port} is taken by another process; see which one with: ss -ltnp 'sport = :{port}'\n"


@pytest.mark.e2e
def test_run_tells_every_mistake_at_once(config: Path) -> None:
    """Certificates that are missing do not hide what else cannot be built."""
    tls = "127.0.0.1:0\n    tls: {certificates: gone/}\n"
    config.write_text(GOOD.replace("127.0.0.1:8080\n", tls) + "error_pages: {templates: {404: gone.html}}\n")
    with gateway("run", "-c", str(config)) as child:
        _out, err = child.communicate(timeout=20)
    assert child.returncode == cli.BAD_CONFIGURATION
    assert [line.split(": ")[1] for line in err.splitlines()[:-1]] == [
        "listeners[0].tls.certificates",
        "error_pages.templates.404",
    ]
    assert err.endswith("\n2 errors\n")


@pytest.mark.e2e
def test_certs_of_a_gateway_that_runs_without_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Asked at its admin address, over a Unix socket."""
    certs, admin = tmp_path / "certs", f"unix:{tmp_path}/admin.sock"
    assert cli.main(["certs", "--make", str(certs)]) == cli.CLEAN
    arguments = ("run", "--to", "http://127.0.0.1:9", "--tls-listen", "127.0.0.1:0", "--admin", admin)
    with gateway(*arguments, folder=tmp_path) as child:
        assert child.stderr is not None
        assert "1 route" in child.stderr.readline()
        until(Path(admin.removeprefix("unix:")).exists)
        capsys.readouterr()
        assert cli.main(["certs", "--admin", admin]) == cli.CLEAN
    assert capsys.readouterr().out.startswith("localhost, 127.0.0.1, ::1\n    396 days left  issuer: CN=Edge gateway")


@pytest.mark.e2e
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_run_says_what_listens_and_drains(number: signal.Signals) -> None:
    """`run --to` serves at once, names its listeners, and ends with code 0 and no traceback when told to."""
    port, admin = free_port(), free_port()
    where = ("--listen", f"127.0.0.1:{port}", "--admin", f"127.0.0.1:{admin}")
    with gateway("run", "--to", f"http://127.0.0.1:{free_port()}", *where) as child:
        assert child.stderr is not None
        banner = child.stderr.readline() + child.stderr.readline() + child.stderr.readline()
        assert f"http://127.0.0.1:{port}" in banner
        assert f"http://127.0.0.1:{admin}/metrics" in banner
        request = urllib.request.Request(f"http://127.0.0.1:{port}/")
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=10)
        assert refused.value.code == 502
        refused.value.close()
        began = time.monotonic()
        child.send_signal(number)
        _out, err = child.communicate(timeout=20)
    assert child.returncode == cli.CLEAN
    assert "Traceback" not in err
    assert time.monotonic() - began < 5
