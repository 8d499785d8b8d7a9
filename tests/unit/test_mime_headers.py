"""Headers: whatever the value, it stays in its own header and is read back as it was meant."""

from __future__ import annotations

import email
import email.policy
from email.header import decode_header, make_header

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from postwerk.contracts.content import Mailbox
from postwerk.errors import ContentError, InvalidRequest
from postwerk.mime.headers import check_headers, header, mailboxes

WITHOUT_CONTROLS = st.characters(codec="utf-8", exclude_categories=["Cc", "Zl", "Zp"])
TEXTS = st.one_of(
    st.text(WITHOUT_CONTROLS, max_size=120),
    st.lists(
        st.sampled_from(["=?utf-8?q?a?=", "a" * 80, "ü", "  ", " ", "word", ",", '"', "\\", "<a@b>", "😀"])
    ).map("".join),
)


def parsed(raw):
    return email.message_from_bytes(raw + b"\r\n", policy=email.policy.compat32)


def read_back(raw, name):
    """As a mail reader would: unfold, then decode the encoded words."""
    value = parsed(raw)[name].replace("\r\n", "").replace("\n", "")
    return str(make_header(decode_header(value))) if "=?" in value else value


@settings(max_examples=600, deadline=None)
@given(TEXTS, st.sampled_from(["Subject", "X-A", "X-" + "n" * 70]))
@example("a" * 998, "Subject")
@example("a " * 499, "Subject")
@example("ü" * 998, "Subject")
@example("a" + " " * 90 + "b", "Subject")
def test_a_text_is_read_back_as_it_was_given(text, name):
    intended = text.strip()
    raw = header(name, text) if len(text) <= 998 else b""
    if not intended:
        assert raw == b""
        return
    assert raw.endswith(b"\r\n")
    assert raw.isascii()
    assert read_back(raw, name).strip() == intended
    assert parsed(raw).keys() == [name]
    lines = raw.split(b"\r\n")[:-1]
    assert all(line.strip() and len(line) <= 998 for line in lines)
    assert (
        all(len(line) <= 76 for line in lines if b"=?utf-8?" in line and not intended.isascii())
        or len(name) > 60
    )
    assert not any(c in line for line in lines for c in (b"\r", b"\n"))


@settings(max_examples=500, deadline=None)
@given(TEXTS)
@example('"Smith, Ann" \\')
@example("=?utf-8?q?evil=40x.org=2C?=")
def test_a_name_is_read_back_and_the_address_stays_alone(name):
    name = name[:256].strip()
    raw = mailboxes("From", Mailbox(email="ann@example.com", name=name))
    read = email.message_from_bytes(raw + b"\r\n", policy=email.policy.default)["From"]
    assert [address.addr_spec for address in read.addresses] == ["ann@example.com"]
    if "  " not in name and name.isprintable():
        # Python 3.11's address parser puts a space between two encoded words; RFC 2047 6.2 says none.
        phrase = parsed(raw)["From"].rpartition("<")[0] if raw.count(b"=?") > 1 else ""
        shown = str(make_header(decode_header(phrase))).strip() if phrase else read.addresses[0].display_name
        assert shown == name
    assert all(len(line) <= 998 for line in raw.split(b"\r\n"))


def test_several_mailboxes_stand_in_one_header():
    boxes = [Mailbox(email=f"a{i}@example.com", name=f"Änn {i}") for i in range(20)]
    read = email.message_from_bytes(mailboxes("Reply-To", *boxes), policy=email.policy.default)["Reply-To"]
    assert [(a.addr_spec, a.display_name) for a in read.addresses] == [(b.email, b.name) for b in boxes]


def test_list_unsubscribe_is_never_encoded_nor_folded():
    url = "<https://example.com/u?" + "t" * 400 + ">, <mailto:u@example.com>"
    assert header("List-Unsubscribe", url) == b"List-Unsubscribe: " + url.encode() + b"\r\n"
    with pytest.raises(ContentError):
        header("List-Unsubscribe", "<https://exämple.com>")


@pytest.mark.parametrize(
    "address", ["a@b.c>\r\nX: y", "a b@c.de", "a@b.de>, <x@y.de", "a@b.de,x@y.de", "a@b\ud800"]
)
def test_a_broken_address_does_not_leave_the_last_door(address):
    with pytest.raises((ContentError, UnicodeEncodeError)):
        mailboxes("To", Mailbox(email=address))


@pytest.mark.parametrize(
    "name",
    [
        "",
        "X:",
        "X A",
        "X\r\nBcc",
        "X\n",
        "Ü",
        "X" * 77,
        "X\x7f",
        "From",
        "to",
        "CC",
        "Bcc",
        "SUBJECT",
        "date",
        "Message-Id",
        "mime-version",
        "Content-Type",
        "content-transfer-encoding",
        "Received",
        "Return-Path",
        "DKIM-Signature",
        "Reply-To",
        "Sender",
        "Resent-From",
        "ARC-Seal",
    ],
)
def test_a_header_name_that_is_ours_or_broken_is_refused(name):
    with pytest.raises(InvalidRequest) as refusal:
        check_headers({name: "value"})
    assert refusal.value.code == "invalid_header"
    assert refusal.value.pointer.startswith("#/headers/")


@pytest.mark.parametrize(
    "value", ["a\nb", "a\r", "\0", "a\x85b", "a\u2028", "\ud800", "x" * 999, "{{ x }}\nBcc: y"]
)
def test_a_header_value_that_cannot_be_a_line_is_refused(value):
    with pytest.raises(InvalidRequest) as refusal:
        check_headers({"X-A/~": value})
    assert refusal.value.pointer == "#/headers/X-A~1~0"


def test_good_headers_are_taken_and_a_name_only_once():
    check_headers({"X-Campaign": "ä", "List-Unsubscribe": "<https://x.test/{{ id }}>", "Feedback-ID": "a:b"})
    with pytest.raises(InvalidRequest):
        check_headers({"X-A": "1", "x-a": "2"})
    with pytest.raises(InvalidRequest):
        check_headers({f"X-{i}": "1" for i in range(51)})
