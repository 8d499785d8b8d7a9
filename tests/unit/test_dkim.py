"""DKIM: what is signed here, another implementation verifies; and what was changed on the way, it refuses."""

from __future__ import annotations

import re
import timeit
from datetime import UTC, datetime
from hashlib import sha256
from itertools import pairwise
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from dkim.canonicalization import Relaxed
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from postwerk.errors import ConfigurationError
from postwerk.mime import dkim
from postwerk.mime.dkim import OVERSIGNED, body_hash, relaxed_lines, signatures
from postwerk.mime.dkim_keys import DkimKeys, candidates, new_key, parse_key
from tests.support.dkim import verified

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
RSA = new_key("example.com", "r1", "rsa")[0]
ED = new_key("example.com", "e1", "ed25519")[0]
HEAD = b"Date: x\r\nFrom: Shop <a@example.com>\r\nTo: b@example.org\r\nSubject: hi\r\n\r\n"


def pem_of(private) -> bytes:
    return private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def pieces_of(mail: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({min(cut, len(mail)) for cut in cuts} | {0, len(mail)})
    return [mail[first:last] for first, last in pairwise(places)]


body_lines = st.lists(
    st.one_of(
        st.sampled_from([b"", b".", b" ", b"\t ", b"a  b ", b"..", b"From x", b"x" * 900, b"  lead"]),
        st.text(alphabet=" \tab.=ü", max_size=40).map(str.encode),
    ),
    max_size=12,
)
header_values = st.text(alphabet=' \tabAB:;,"ü<>@', min_size=1, max_size=60).map(
    lambda text: text.encode().replace(b"  ", b"\r\n ")
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    lines=body_lines,
    subject=header_values,
    more=st.lists(
        st.tuples(st.sampled_from(["Subject", "X-A", "List-Id", "References"]), header_values), max_size=4
    ),
    cuts=st.lists(st.integers(0, 3000), max_size=6),
    keys=st.sampled_from([(RSA,), (ED,), (RSA, ED)]),
)
def test_every_signature_is_verified(lines, subject, more, cuts, keys):
    extra = b"".join(name.encode() + b": x" + value + b"\r\n" for name, value in more)
    body = b"".join(line + b"\r\n" for line in lines)
    mail = b"From: a@example.com\r\nSubject: x" + subject + b"\r\n" + extra + b"\r\n" + body
    signed = signatures(pieces_of(mail, cuts), keys, AT)
    assert signed == signatures([mail], keys, AT)
    assert verified(signed + mail, keys) == [True] * len(keys)


@given(lines=body_lines, cuts=st.lists(st.integers(0, 3000), max_size=6))
def test_a_body_in_pieces_has_the_hash_of_the_whole(lines, cuts):
    body = b"".join(line + b"\r\n" for line in lines)
    assert body_hash(pieces_of(body, cuts)) == sha256(Relaxed.canonicalize_body(body)).digest()


@pytest.mark.parametrize(
    "change",
    [
        lambda mail: mail.replace(b"hi\r\n", b"ho\r\n"),
        lambda mail: mail.replace(b"body", b"bode"),
        lambda mail: mail.replace(b"From: Shop", b"From: Bank"),
        *(
            lambda mail, name=name: mail.replace(b"\r\n\r\n", b"\r\n%s: x\r\n\r\n" % name.encode(), 1)
            for name in OVERSIGNED
        ),
    ],
)
@pytest.mark.parametrize("key", [RSA, ED], ids=["rsa", "ed25519"])
def test_what_was_changed_or_added_on_the_way_is_noticed(key, change):
    mail = signatures([HEAD, b"body\r\n"], [key], AT) + HEAD + b"body\r\n"
    assert verified(mail, [key]) == [True]
    assert verified(change(mail), [key]) == [False]


def test_a_signature_says_whose_it_is_and_when_it_was_made():
    signed = signatures([HEAD, b"body\r\n"], [ED], AT)
    assert signed == signatures([HEAD, b"body\r\n"], [ED], AT.replace(tzinfo=None))
    tags = dict(re.findall(rb"(\w+)=([^;]*)", signed.replace(b"\r\n ", b"")))
    assert tags[b"d"] == b"example.com"
    assert tags[b"s"] == b"e1"
    assert int(tags[b"t"]) == AT.timestamp()
    assert tags[b"h"].split(b":").count(b"from") == 2
    assert all(len(line) <= 78 for line in signed.split(b"\r\n"))


def test_what_needs_no_change_is_not_copied():
    large = b"Content-Type: image/png\r\n\r\n" + b"QUJD\r\n" * 100_000
    assert relaxed_lines(large) is large
    assert timeit.timeit(lambda: body_hash([large]), number=3) / 3 < 0.1


def test_a_loose_space_among_much_else_is_found():
    much = b"QUJD\r\n" * 100
    for space in (b"a  b\r\n", b"a \r\n", b" \r\n"):
        for whole in (space + much, much + space + much, much + space):
            assert body_hash([whole]) == sha256(Relaxed.canonicalize_body(whole)).digest()


@given(
    own=body_lines.map(lambda lines: b"\r\n".join(lines)),
    parts=st.lists(st.sampled_from([b"QUJD", b"--=_x", b""])),
)
def test_what_is_known_to_be_relaxed_hashes_alike_wherever_it_is_joined(own, parts):
    shared = b"\r\n".join([b"", *parts, b"end", b""])
    assert body_hash([own, dkim.Relaxed(shared)]) == body_hash([own + shared])


# Keys


def keep(folder: Path, domain: str, selector: str, pem: bytes) -> Path:
    path = folder / domain / f"{selector}.pem"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pem)
    path.chmod(0o600)
    return path


def test_a_domain_signs_with_its_own_keys_or_those_of_its_nearest_parent(tmp_path):
    for domain, selector in [("example.com", "s1"), ("example.com", "s2"), ("news.example.com", "n")]:
        keep(tmp_path, domain, selector, new_key(domain, selector, "ed25519")[1])
    keep(tmp_path, "com", "s", new_key("com", "s", "ed25519")[1])
    keys = DkimKeys(tmp_path)
    assert [(k.domain, k.selector) for k in keys.of("news.example.com")] == [("news.example.com", "n")]
    assert [(k.domain, k.selector) for k in keys.of("a.b.example.com")] == [
        ("example.com", "s1"),
        ("example.com", "s2"),
    ]
    assert keys.of("other.com") == keys.of("ample.com") == ()
    assert list(candidates("a.example.com")) == ["a.example.com", "example.com"]
    assert DkimKeys(None).of("example.com") == ()


def test_a_changed_file_counts_and_a_spoiled_one_leaves_the_old_key(tmp_path, monkeypatch):
    monkeypatch.setattr("postwerk.mime.dkim_keys.LOOK_SECONDS", -1.0)
    path = keep(tmp_path, "example.com", "s1", new_key("example.com", "s1", "ed25519")[1])
    keys = DkimKeys(tmp_path)
    (first,) = keys.of("example.com")
    assert keys.of("example.com")[0] is first
    path.write_bytes(new_key("example.com", "s1", "rsa")[1])
    (second,) = keys.of("example.com")
    assert (first.algorithm, second.algorithm) == ("ed25519-sha256", "rsa-sha256")
    path.write_bytes(b"half of a k")
    assert keys.of("example.com") == (second,)
    path.unlink()
    assert keys.of("example.com") == ()


@pytest.mark.parametrize(
    ("pem", "words"),
    [
        (b"", "no private key"),
        (pem_of(rsa.generate_private_key(65537, 1024)), "2048 to 4096 bits, this one 1024"),
        (pem_of(ec.generate_private_key(ec.SECP256R1())), "neither an RSA nor an Ed25519"),
    ],
)
def test_a_key_that_cannot_sign_is_refused_at_the_start(tmp_path, pem, words):
    path = keep(tmp_path, "example.com", "s1", pem)
    with pytest.raises(ConfigurationError, match=words) as refused:
        DkimKeys(tmp_path).load()
    assert str(path) in refused.value.message


def test_a_folder_that_is_not_there_is_said_at_the_start(tmp_path):
    with pytest.raises(ConfigurationError, match="POSTWERK_DKIM_KEYS"):
        DkimKeys(tmp_path / "nowhere").load()


def test_a_key_that_others_can_read_is_warned_of(tmp_path, caplog):
    keep(tmp_path, "example.com", "s1", new_key("example.com", "s1", "ed25519")[1]).chmod(0o644)
    assert len(DkimKeys(tmp_path).load()) == 1

    assert "can be read by others" in caplog.text


def test_pkcs1_is_taken_too():
    private = rsa.generate_private_key(65537, 2048)
    pem = private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    assert parse_key("example.com", "s", pem).algorithm == "rsa-sha256"
