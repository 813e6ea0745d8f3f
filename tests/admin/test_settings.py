"""AdminConfig: safe unless told otherwise."""

from __future__ import annotations

import pytest

from gateway.admin.settings import SHORTEST_TOKEN, AdminConfig, is_exposed
from gateway.server.settings import Bind, parse_bind


def test_by_default_only_this_machine_is_answered() -> None:
    """Loopback, no probe listener, no further names."""
    config = AdminConfig()
    assert (str(config.bind), config.probe, config.hosts) == ("127.0.0.1:9090", None, [])
    assert not is_exposed(config.bind)


@pytest.mark.parametrize(
    ("text", "exposed"),
    [
        ("127.0.0.1:9090", False),
        ("127.1.2.3:9090", False),
        ("[::1]:9090", False),
        ("localhost:9090", False),
        ("unix:/run/admin.sock", False),
        ("0.0.0.0:9090", True),
        (":9090", True),
        ("10.0.0.1:9090", True),
        ("admin.internal:9090", True),
    ],
)
def test_what_other_machines_may_reach(text: str, exposed: bool) -> None:
    """Everything but loopback and Unix sockets; a name may be anything."""
    assert is_exposed(parse_bind(text)) is exposed


def test_a_token_is_long_and_can_be_sent() -> None:
    """Short ones are guessed, and others do not fit into the field; an empty reference is none. No value is shown."""
    assert AdminConfig(token="a" * SHORTEST_TOKEN).token
    assert not AdminConfig(token="").token
    for token in ("secret", "has blanks in it, many", "has\nlines-and-lines", "ünlaut" * 5, "=" * 20):
        with pytest.raises(ValueError, match="openssl rand -hex 32") as caught:
            AdminConfig(token=token)
        assert token not in str(caught.value).partition("[")[0]


def test_tls_needs_an_address() -> None:
    """On a Unix socket, or nowhere, it would be forgotten silently."""
    tls = {"certificate": "a.pem"}
    assert AdminConfig.model_validate({"tls": tls}).tls is not None
    for bind in (None, "unix:/run/admin.sock"):
        with pytest.raises(ValueError, match="goes with an address"):
            AdminConfig.model_validate({"bind": bind, "tls": tls})


def test_null_switches_off() -> None:
    """`bind: null` is allowed, and exposes nothing."""
    assert AdminConfig.model_validate({"bind": None}).bind is None
    assert not is_exposed(None)
    assert AdminConfig.model_validate({"probe": "0.0.0.0:9091"}).probe == Bind("0.0.0.0", 9091)
