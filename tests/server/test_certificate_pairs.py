"""Pairs: certificates and keys that belong together, chains in order, and what an operator should know."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding

from gateway.server.certificate_files import CertificateFault, parse_file
from gateway.server.certificate_pairs import DEVELOPMENT_MARK, Pair, describe, join_pairs, key_names, time_notes
from tests.kit.tls import Issued, issue, rsa_key

ROOT = issue(common="Root CA", ca=True)
MIDDLE = issue(common="Middle CA", ca=True, by=ROOT)
LEAF = issue("www.test", "test", by=MIDDLE)


def join(**files: bytes | Issued) -> tuple[list[Pair], list[str]]:
    """Pairs and faults of files by name, `a_pem` for a.pem; an Issued is its certificate alone."""
    paths = {Path(name.replace("_", ".")): content for name, content in files.items()}
    parsed = {
        path: parse_file(path, content.pem if isinstance(content, Issued) else content)
        for path, content in paths.items()
    }
    found = list(join_pairs(parsed))
    return [one for one in found if isinstance(one, Pair)], [
        str(one) for one in found if isinstance(one, CertificateFault)
    ]


def test_keys_are_found_by_what_they_are() -> None:
    """The key's public half decides, whatever the files are called; one file may hold all."""
    one, two = issue("one.test"), issue("two.test", key=rsa_key())
    pairs, faults = join(a_crt=one, b_pem=two, z_key=one.key_pem, y_key=two.key_pem)
    assert faults == []
    assert [(pair.path.name, pair.key_path.name, pair.kind) for pair in pairs] == [
        ("a.crt", "z.key", "ecdsa"),
        ("b.pem", "y.key", "rsa"),
    ]
    pairs, faults = join(all_pem=one.key_pem + one.pem)
    assert pairs[0].key_path == pairs[0].path
    assert faults == []


def test_certbot_and_its_four_files() -> None:
    """cert.pem, chain.pem, fullchain.pem and privkey.pem are one pair, with the chain, and no fault."""
    pairs, faults = join(cert_pem=LEAF, chain_pem=MIDDLE, fullchain_pem=LEAF.pem + MIDDLE.pem, privkey_pem=LEAF.key_pem)
    assert faults == []
    assert [pair.path.name for pair in pairs] == ["fullchain.pem"]
    assert pairs[0].chain == LEAF.pem + MIDDLE.pem
    assert pairs[0].names == ("www.test", "test")
    assert pairs[0].issuer == "CN=Middle CA"
    assert pairs[0].notes == ()
    assert not pairs[0].is_development


@pytest.mark.parametrize(
    ("content", "notes"),
    [
        (LEAF.pem + MIDDLE.pem + ROOT.pem, []),
        (MIDDLE.pem + LEAF.pem, ["not in order"]),
        (ROOT.pem + MIDDLE.pem + LEAF.pem, ["not in order"]),
        (LEAF.pem + MIDDLE.pem + issue("else.test").pem, ["left out, for the certificate's chain does not need it"]),
    ],
    ids=["root", "reversed", "all reversed", "stranger"],
)
def test_chains_are_put_in_order(content: bytes, notes: list[str]) -> None:
    """Leaf first, issuers after it, no root, no strangers: RFC 8446 §4.4.2, and warnings where it was otherwise."""
    pairs, faults = join(a_pem=content, a_key=LEAF.key_pem)
    assert faults == []
    assert pairs[0].chain == LEAF.pem + MIDDLE.pem
    assert len(pairs[0].notes) == len(notes)
    assert all(said in note for said, note in zip(notes, pairs[0].notes, strict=True))


def test_a_missing_issuer_is_noticed() -> None:
    """A public CA's certificate alone works in some clients only; a private CA's may be meant so."""
    public = issue("a.test", by=MIDDLE, aia=True)
    assert "issuer's certificate is missing" in join(a_pem=public, a_key=public.key_pem)[0][0].notes[0]
    assert join(a_pem=LEAF, a_key=LEAF.key_pem)[0][0].notes == ()


def test_keys_that_are_a_bad_choice() -> None:
    """Ed25519, which browsers do not take, and very long RSA keys, are served with a warning."""
    modern = issue("a.test")
    key = ed25519.Ed25519PrivateKey.generate()
    from cryptography import x509  # noqa: PLC0415

    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(modern.certificate.subject)
        .issuer_name(modern.certificate.subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=9))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("a.test")]), critical=False)
        .sign(key, None)
    )
    odd = Issued(certificate, key)
    assert "browsers do not support Ed25519" in join(a_pem=odd, a_key=odd.key_pem)[0][0].notes[0]


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"a_pem": LEAF, "a_key": MIDDLE.key_pem}, "a.key is the key of another certificate"),
        ({"a_pem": LEAF, "b_key": MIDDLE.key_pem}, "no key for this certificate; put it in the same folder"),
        ({"a_pem": LEAF, "a_key": LEAF.locked(b"x")}, "the key is encrypted"),
        ({"a_pem": LEAF.pem + LEAF.locked(b"x")}, "the key is encrypted"),
        ({"a_pem": issue(common="no host!"), "a_key": b""}, "no key"),
    ],
    ids=["mismatch", "missing", "locked", "locked inside", "nothing"],
)
def test_what_makes_no_pair(files: dict[str, bytes | Issued], said: str) -> None:
    """One fault for each, that says which file and what to do."""
    pairs, faults = join(**files)
    assert pairs == []
    assert len(faults) == 1
    assert said in faults[0]


def test_a_certificate_without_a_name() -> None:
    """It could be for nobody."""
    nobody = issue(common="Not a host name")
    assert "names no host" in join(a_pem=nobody, a_key=nobody.key_pem)[1][0]


def test_authorities_need_no_key() -> None:
    """A CA's certificate in the folder is left alone."""
    assert join(ca_pem=ROOT, chain_pem=MIDDLE.pem + ROOT.pem) == ([], [])


def test_names() -> None:
    """Hosts in lower case, wildcards, addresses; a wildcard in the middle is nothing that clients accept."""
    one = issue("WWW.Test", "*.test", "127.0.0.1", "::1", "a*.test", "a.*.test", "www.test")
    assert join(a_pem=one, a_key=one.key_pem)[0][0].names == ("www.test", "*.test", "127.0.0.1", "::1")


def test_the_calendar() -> None:
    """Expired, too early, soon, and in good time."""
    now = datetime.now(UTC)

    def notes(*days: float) -> list[str]:
        one = issue("a.test", days=(days[0], days[1]))
        return list(time_notes(join(a_pem=one, a_key=one.key_pem)[0][0], now))

    assert "EXPIRED" in notes(-90, -1)[0]
    assert "clock" in notes(1, 90)[0]
    assert "in 9 days" in notes(-80, 10)[0]
    assert notes(-1, 90) == []
    assert notes(-1, 6) == []  # of a CA that gives a week: the last quarter is soon


def test_the_digest_is_of_what_is_served() -> None:
    """Another chain or another key is another digest; another order of the file is not."""
    plain = join(a_pem=LEAF.pem + MIDDLE.pem, a_key=LEAF.key_pem)[0][0]
    mixed = join(b_pem=MIDDLE.pem + ROOT.pem + LEAF.pem, b_key=LEAF.key_pem)[0][0]
    alone = join(a_pem=LEAF, a_key=LEAF.key_pem)[0][0]
    assert plain.digest == mixed.digest != alone.digest
    assert plain.fingerprint == alone.fingerprint


def test_the_mark_of_development() -> None:
    """Known by the organization in the subject."""
    ours = issue("localhost", organization=DEVELOPMENT_MARK)
    assert join(a_pem=ours, a_key=ours.key_pem)[0][0].is_development


def test_where_keys_lie_by_custom() -> None:
    """Names that are tried for a listed certificate, never its own."""
    names = [path.name for path in key_names(Path("certs/shop.crt"))]
    assert names[:3] == ["shop.key", "shop-key.pem", "shop.pem"]
    assert {"privkey.pem", "tls.key"} <= set(names)
    assert Path("a.pem") not in key_names(Path("a.pem"))


def test_a_client_certificate_is_described() -> None:
    """Facts in RFC 4514 form, lower-case hexadecimal, PEM."""
    found = describe(LEAF.certificate.public_bytes(Encoding.DER))
    assert found.subject == "CN=www.test"
    assert found.issuer == "CN=Middle CA"
    assert int(found.serial, 16) == LEAF.certificate.serial_number
    assert found.pem.encode() == LEAF.pem
