"""Addresses: one validator's answers, by the fast way and by the careful one."""

from __future__ import annotations

import timeit

import aiosmtplib.email
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from postwerk.contracts.content import Mailbox
from postwerk.errors import InvalidRequest
from postwerk.rules import addresses
from postwerk.rules.addresses import duplicate_key, parse_address, parse_mailbox

LABEL = "a" * 63


def answer(parse, text):
    try:
        return parse(text)
    except InvalidRequest:
        return None


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("ann@example.com", "ann@example.com"),
        ("  ann@example.com\r\n", "ann@example.com"),
        (
            "Ann.Smith@EXAMPLE.Com",
            "Ann.Smith@example.com",
        ),  # the local part's case is the receiver's business
        ("Postmaster@Example.com", "Postmaster@example.com"),
        ("o'neill+tag@example.com", "o'neill+tag@example.com"),
        ("ann@shop.test", "ann@shop.test"),
        ("ann@bücher.de", "ann@xn--bcher-kva.de"),
        ("ann@XN--BCHER-KVA.de", "ann@xn--bcher-kva.de"),
        ("用户@例え.jp", "用户@xn--r8jz45g.jp"),
        ("a" * 64 + "@example.com", "a" * 64 + "@example.com"),
        (f"a@{LABEL}.com", f"a@{LABEL}.com"),
    ],
)
def test_an_address_is_kept_in_its_normal_form(text, form):
    assert parse_address(text) == form


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ann",
        "@example.com",
        "ann@",
        "ann@example",
        "ann@localhost",
        "ann@host.local",
        "ann@example..com",
        ".ann@example.com",
        "ann.@example.com",
        "a..n@example.com",
        "ann@-example.com",
        "ann@example-.com",
        "ann@ab--cd.com",
        "ann@xn--a.com",
        "ann@example.123",
        "ann@[127.0.0.1]",
        '"ann"@example.com',
        '"a b"@example.com',
        "Ann <ann@example.com>",
        "<ann@example.com>",
        "ann@example.com, bob@example.com",
        "ann;bob@example.com",
        "ann@example.com SIZE=1",
        "ann@example.com\r\nRCPT TO:<x@y.org>",
        "an\0n@example.com",
        "ann@exam\u202eple.com",
        "ann\u200b@example.com",
        "ann\ud800@example.com",
        "ann(comment)@example.com",
        "@relay.com:ann@example.com",
        "alice@example.org<bob@example.org>",
        "a" * 65 + "@example.com",
        "ü" * 33 + "@example.com",
        f"a@{LABEL}a.com",
        "a@" + ".".join([LABEL] * 4) + ".com",
        "a" * 64 + "@" + ".".join([LABEL] * 3) + ".com",
        "a@" + "x" * 10_000_000,
    ],
)
def test_what_is_no_bare_address_is_refused_with_a_short_reason(text):
    with pytest.raises(InvalidRequest) as refusal:
        parse_address(text)
    assert refusal.value.code == "invalid_address"
    assert 0 < len(refusal.value.message) <= 200


LETTERS = st.sampled_from("abzAZ019-_.+'!#=?~`{|}%$&*^/@\"<>(),:;[]\\ \t\r\n\0üß中\u202e\u00a0٣")
LABELS = st.one_of(
    st.sampled_from(
        ["com", "de", "test", "local", "invalid", "XN--bcher-kva", "xn--a", "ab--c", "b-ü", LABEL, "1"]
    ),
    st.text("abAZ09-", max_size=6),
    st.integers(1, 70).map(lambda n: "x" * n),
)
DOMAINS = st.one_of(st.lists(LABELS, min_size=1, max_size=5).map(".".join), st.text(LETTERS, max_size=12))
LOCALS = st.one_of(
    st.text(LETTERS, max_size=10), st.integers(0, 70).map(lambda n: "L" * n), st.just("Postmaster")
)
NEAR_ADDRESSES = st.builds("{}@{}".format, LOCALS, DOMAINS)
AROUND = st.sampled_from(["", " ", "\r\n", "\x0b", "\x1c", "\u00a0"])


@settings(max_examples=2500, deadline=None)
@given(AROUND, NEAR_ADDRESSES, AROUND)
@example("", "a@xn--4dbc.1.com", "")
@example("", f"a@{'.'.join([LABEL] * 3)}.{'x' * 61}", "")
@example("", f"{'a' * 64}@{'.'.join([LABEL] * 2)}.{'x' * 61}", "")
def test_the_fast_way_answers_as_the_careful_way(before, text, after):
    text = before + text + after
    careful = answer(addresses._parse_carefully, text.strip(addresses._AROUND))
    assert answer(parse_address, text) == careful


@settings(max_examples=1500, deadline=None)
@given(NEAR_ADDRESSES)
def test_the_smtp_library_reads_an_accepted_address_as_it_is_written(text):
    form = answer(parse_address, text)
    if form is not None:
        assert aiosmtplib.email.parse_address(form) == form
        assert parse_address(form) == form
        assert len(form.encode()) <= 254


@pytest.mark.parametrize(
    ("value", "mailbox"),
    [
        ("ann@Example.com", Mailbox(email="ann@example.com")),
        ("Ann Smith <ann@example.com>", Mailbox(email="ann@example.com", name="Ann Smith")),
        ("Dr. Änn <ann@example.com>", Mailbox(email="ann@example.com", name="Dr. Änn")),
        ("<ann@example.com>", Mailbox(email="ann@example.com")),
        ('"Smith, Ann \\"A\\"" <ann@example.com>', Mailbox(email="ann@example.com", name='Smith, Ann "A"')),
        ({"email": "ann@example.com"}, Mailbox(email="ann@example.com")),
        ({"email": "ann@example.com", "name": None}, Mailbox(email="ann@example.com")),
        ({"email": "ann@example.com", "name": "Ann <x>"}, Mailbox(email="ann@example.com", name="Ann <x>")),
    ],
)
def test_a_mailbox_can_be_written_in_three_ways(value, mailbox):
    assert parse_mailbox(value) == mailbox


@pytest.mark.parametrize(
    "value",
    [
        "",
        "Ann",
        "Ann <>",
        "Ann <ann@example.com",
        "Ann <ann@example.com> x",
        "a@example.com, b@example.com",
        "Ann <a@example.com>, Bob <b@example.com>",
        "Ann, Bob <b@example.com>",
        "friends: a@example.com, b@example.com;",
        "friends: Ann <a@example.com>;",
        "<@relay.com:ann@example.com>",
        "Ann (the first) <ann@example.com>",
        "alice@example.org <bob@example.org>",
        "Ann <alice@example.org><bob@example.org>",
        "Ann\r\nBcc: x <ann@example.com>",
        '"Ann\r\nBcc: x" <ann@example.com>',
        "=?utf-8?q?a=0D=0ABcc:_x?= <ann@example.com>",
        "=?utf-8?q?evil=40x.org=2C?= <ann@example.com>",
        {"email": "ann@example.com", "name": "=?utf-8?b?DQpCY2M6?="},
        {"email": "ann@example.com", "name": "a\nb"},
        {"email": "ann@example.com", "name": "a\ud800"},
        {"email": "ann@example.com", "name": "x" * 257},
        {"email": "ann@example.com", "cc": "x@example.com"},
        {"email": 1},
        {"name": "Ann"},
        {},
        None,
        7,
        '"' + "\\" * 100_000,
        "<" * 100_000,
    ],
)
def test_a_mailbox_that_could_be_read_in_two_ways_is_refused(value):
    with pytest.raises(InvalidRequest) as refusal:
        parse_mailbox(value)
    assert refusal.value.code == "invalid_address"


def test_addresses_that_differ_in_case_only_are_duplicates():
    assert duplicate_key(parse_address("Ann@EXAMPLE.com")) == duplicate_key(parse_address("ann@example.com"))


def test_an_address_of_a_known_domain_costs_microseconds():
    best = min(timeit.repeat(lambda: parse_address("Ann.Smith@gmail.com"), number=2000, repeat=5)) / 2000
    assert best < 20e-6  # measured 0.5 us; the rest is room for a busy machine
