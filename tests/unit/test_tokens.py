"""Signed tokens: what comes back is what went out, and nothing else is believed."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from postwerk.archive.ids import new_bulk_id
from postwerk.rules.tokens import BOUNCE_VALID, Secret, TokenOf, Tokens

NEW, OLD = Secret(3, b"n" * 32), Secret(2, b"o" * 32)
TOKENS = Tokens([NEW, OLD])
TODAY = date(2026, 11, 22)
BULK = new_bulk_id()


@pytest.mark.parametrize("seq", [1, 31, 32, 1_000_000, 4_000_000_000])
def test_a_token_names_its_message(seq: int) -> None:
    local_part = TOKENS.bounce_local_part(BULK, seq, TODAY)
    assert len(local_part) <= 64  # RFC 5321 4.5.3.1.1
    assert TOKENS.read_bounce(local_part.upper(), TODAY) == TokenOf(BULK, seq)
    assert TOKENS.read_unsubscribe(TOKENS.unsubscribe(BULK, seq)) == TokenOf(BULK, seq)


def test_every_damaged_letter_is_noticed() -> None:
    good = TOKENS.unsubscribe(BULK, 77)
    for position, letter in enumerate(good):
        other = "1" if letter != "1" else "2"
        assert TOKENS.read_unsubscribe(good[:position] + other + good[position + 1 :]) is None


@pytest.mark.parametrize("cut", [0, 1, 5, 20, 30, 49])
def test_a_cut_token_is_refused(cut: int) -> None:
    assert TOKENS.read_unsubscribe(TOKENS.unsubscribe(BULK, 77)[:cut]) is None


def test_one_kind_is_not_taken_for_the_other() -> None:
    bounce = TOKENS.bounce_local_part(BULK, 5, TODAY)
    assert TOKENS.read_unsubscribe(bounce.removeprefix("b-")) is None
    assert TOKENS.read_bounce("b-" + TOKENS.unsubscribe(BULK, 5), TODAY) is None


def test_an_older_secret_is_believed_and_a_forgotten_one_is_not() -> None:
    before = Tokens([OLD]).unsubscribe(BULK, 9)
    assert TOKENS.read_unsubscribe(before) == TokenOf(BULK, 9)
    assert Tokens([NEW]).read_unsubscribe(before) is None


def test_a_bounce_address_has_its_time() -> None:
    local_part = TOKENS.bounce_local_part(BULK, 5, TODAY)
    assert TOKENS.read_bounce(local_part, TODAY + BOUNCE_VALID) is not None
    assert TOKENS.read_bounce(local_part, TODAY + BOUNCE_VALID + timedelta(days=1)) is None
    assert TOKENS.read_bounce(local_part, TODAY - timedelta(days=5)) is None


@pytest.mark.parametrize("text", ["", "b-", "b", "postmaster", "b-ü" * 20, "b-" + "0" * 50, "b-" + "z" * 500])
def test_what_is_no_token_is_nothing(text: str) -> None:
    assert TOKENS.read_bounce(text, TODAY) is None
    assert TOKENS.read_unsubscribe(text) is None
