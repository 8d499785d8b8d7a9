"""What mails that come back say: real formats, and those that are made to hurt."""

from __future__ import annotations

import email

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postwerk.contracts.inbound import Found, InboundKind
from postwerk.inbound.parts import DEPTH, HEADER_BYTES, PARTS, TooComplex, cut
from postwerk.inbound.reading import read_mail
from postwerk.rules.returned import reported_of, verdict_of
from tests.support.returned import SAMPLES, VACATION, Sample, a_complaint, a_dsn, mail

each_sample = pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)


@each_sample
def test_the_formats_of_the_large_servers_are_read(sample: Sample) -> None:
    found = read_mail(sample.raw)
    assert found.kind == sample.kind
    if sample.recipient:
        one = reported_of(found, sample.recipient)
        assert (one.recipient, one.status) == (sample.recipient, sample.status)


@each_sample
def test_line_ends_of_a_file_change_nothing(sample: Sample) -> None:
    assert read_mail(sample.raw.replace(b"\r\n", b"\n")) == read_mail(sample.raw)


@pytest.mark.parametrize("sample", [one for one in SAMPLES if one.reason], ids=lambda sample: sample.name)
def test_the_reply_table_says_what_a_bounce_means(sample: Sample) -> None:
    verdict = verdict_of(reported_of(read_mail(sample.raw), sample.recipient))
    assert (verdict.reason, verdict.suppress) == (sample.reason, sample.suppress)


def test_all_of_a_postfix_notice_is_found() -> None:
    found = read_mail(a_dsn())
    [one] = found.reported
    assert found.reporting_mta == "mx.example.net"
    assert found.message_id == "<bulk.1@shop.example>"
    assert found.auto_submitted
    assert one.action == "failed"
    assert one.original == "gone@example.com"
    assert one.remote_mta == "mailbox.example.com"
    assert one.diagnostic == "550 5.1.1 <gone@example.com>: Recipient address rejected: User unknown"


def test_a_complaint_brings_the_traces_of_the_mail_it_is_about() -> None:
    raw = a_complaint(original="List-Unsubscribe: <https://shop.example/u/abc>\nMessage-ID: <x@shop.example>")
    found = read_mail(raw)
    assert (found.feedback, found.message_id) == ("abuse", "<x@shop.example>")
    assert "<https://shop.example/u/abc>" in found.traces


def test_a_bounce_quoted_by_an_answering_machine_is_no_bounce() -> None:
    quoted = (
        VACATION
        + b"\r\n> This is the qmail-send program\r\n> <left@example.com>:\r\n> 550 5.1.1 no such user\r\n"
    )
    assert read_mail(quoted).kind is InboundKind.AUTO_REPLY


def test_an_internationalized_recipient_is_decoded() -> None:
    raw = a_dsn().replace(b"Final-Recipient: rfc822; gone@", b"Final-Recipient: utf-8; m\\x{FC}ller@")
    assert read_mail(raw).reported[0].recipient == "müller@example.com"


def test_each_recipient_has_its_own_say() -> None:
    second = b"\r\n\r\nFinal-Recipient: rfc822; second@example.com\r\nAction: delayed\r\nStatus: 4.2.2"
    second += b"\r\n\r\n--4Bx7"
    found = read_mail(a_dsn().replace(b"User unknown\r\n\r\n--4Bx7", b"User unknown" + second, 1))
    assert [one.action for one in found.reported] == ["failed", "delayed"]
    assert reported_of(found, "SECOND@example.com").action == "delayed"


# Limits


def nested(depth: int) -> bytes:
    head = b"".join(
        b'Content-Type: multipart/mixed; boundary="b%d"\r\n\r\n--b%d\r\n' % (n, n) for n in range(depth)
    )
    return b"From: a@b.example\r\n" + head + b"Content-Type: text/plain\r\n\r\nhello\r\n"


def in_parts(count: int) -> bytes:
    head = b'From: a@b.example\r\nContent-Type: multipart/mixed; boundary="x"\r\n\r\n'
    return head + b"--x\r\n\r\nhello\r\n" * count + b"--x--\r\n"


def test_as_many_parts_and_levels_as_are_allowed_are_read() -> None:
    assert sum(1 for _ in cut(in_parts(PARTS - 1)).walk()) == PARTS
    assert sum(1 for _ in cut(nested(DEPTH)).walk()) == DEPTH + 1


@pytest.mark.parametrize(
    "raw",
    [
        nested(DEPTH + 1),
        in_parts(PARTS),
        b"Subject: " + b"x" * HEADER_BYTES + b"\r\n\r\nhi",
        b"X: y\r\n" * 1001 + b"\r\nhi",
        b"X:\r\n" + b" y\r\n" * 1001 + b"\r\nhi",
        in_parts(150).replace(b"\r\n\r\nhello", b"\r\n" + b"X: y\r\n" * 10 + b"\r\nhello"),
    ],
    ids=["levels", "parts", "bytes", "lines", "folded lines", "lines of all parts"],
)
def test_one_more_is_looked_into_by_no_parser(raw: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(email, "message_from_bytes", None)
    with pytest.raises(TooComplex):
        read_mail(raw)


def test_a_boundary_line_is_one_only_at_the_begin_of_a_line_and_as_a_whole() -> None:
    whole = cut(
        mail("""
        Content-Type: multipart/mixed; boundary=x

        before
        --x

        one --x
        --xy
        --x  \t

        two
        --x--
        behind
        --x

        three
        """)
    )
    assert [part.body.split() for part in whole.parts] == [[b"one", b"--x", b"--xy"], [b"two"]]


# Anything at all

_PIECES = st.sampled_from(
    [
        *(sample.raw[start : start + 400] for sample in SAMPLES for start in range(0, len(sample.raw), 400)),
        b"Content-Type: multipart/report; boundary=x\r\n\r\n",
        b"\r\n--x\r\n",
        b"--x--\r\n",
        b"Content-Type: message/rfc822\r\n\r\n",
        b"Content-Type: message/delivery-status\r\n\r\n",
        b"Content-Transfer-Encoding: base64\r\n",
        b"Final-Recipient: rfc822;\xff\x00\r\nAction: failed\r\n",
        b"=?utf-8?b?////?=",
        b"\r\n",
        b"\n \n",
        b"\x00",
        b"(" * 1000,
        b"<[[[",
    ]
)


@settings(max_examples=300, deadline=1000)
@given(st.lists(_PIECES | st.binary(max_size=60), max_size=12))
def test_whatever_comes_is_read_or_refused(pieces: list[bytes]) -> None:
    """In time; what a library makes of broken mail may be an exception, the cutting never."""
    raw = b"".join(pieces)
    try:
        cut(raw)
    except TooComplex:
        return
    try:
        found = read_mail(raw)
    except (LookupError, ValueError, AttributeError, TypeError):
        return
    assert isinstance(found, Found)
    assert all(len(one.diagnostic) <= 2000 and len(one.recipient) <= 500 for one in found.reported)
