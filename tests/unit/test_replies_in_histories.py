"""What of a server's reply may enter a workflow's history (P7)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postwerk.rules.reply_words import HIDDEN, LONGEST, plain_words


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("550 5.1.1 <ada.lovelace@analytical.example>: user unknown", "550 5.1.1 … user unknown"),
        ("450 4.2.0 Ada.Lovelace@ANALYTICAL.example is greylisted", "450 4.2.0 … is greylisted"),
        ("550 no such user ada.lovelace here", "550 no such user …"),
        ("451 the message 'Spring prices' looks like spam", "451 the message … looks … spam"),
        ("554 domain analytical.example is not served", "554 domain … is not …"),
        ("452 4.2.2 Mailbox full, try again later", "452 4.2.2 Mailbox full, try again later"),
        ("421 4.7.0 Try again in 300 seconds.", "421 4.7.0 Try again in 300 seconds."),
    ],
)
def test_only_the_words_replies_are_made_of_get_through(said: str, kept: str) -> None:
    assert plain_words(said) == kept


@given(st.text(max_size=600))
def test_it_is_one_short_line_whatever_the_server_said(said: str) -> None:
    kept = plain_words(said)
    assert len(kept) <= LONGEST
    assert len(kept.splitlines()) <= 1


@given(st.from_regex(r"[b-df-hj-np-tv-z]{9,20}", fullmatch=True))
def test_a_word_of_somebody_s_own_is_hidden(word: str) -> None:
    assert plain_words(f"451 4.7.1 {word} refused") == f"451 4.7.1 {HIDDEN} refused"
