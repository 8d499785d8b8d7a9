"""What of a server's reply may enter a workflow's history (P7)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activities.delivery import REPLY_IN_HISTORY, without_address

ADA = "ada.lovelace@analytical.example"


@pytest.mark.parametrize(
    "said",
    [
        "550 5.1.1 <ada.lovelace@analytical.example>: user unknown",
        "450 4.2.0 Ada.Lovelace@ANALYTICAL.example is greylisted",
        "550 no such user ada.lovelace here",
        "554 domain analytical.example is not served, see http://analytical.example/why",
        "451 someone.else@other.example asked for it; ada.lovelace must wait",
    ],
)
def test_neither_the_recipient_nor_anybody_else_is_named(said: str) -> None:
    kept = without_address(said, ADA).lower()
    for part in ("ada.lovelace", "analytical", "@", "someone.else"):
        assert part not in kept
    assert kept[:3] == said[:3]  # the code stays


def test_a_reply_without_addresses_stays_as_it_is() -> None:
    said = "451 4.7.1 Greylisted, try again in 300 seconds"
    assert without_address(said, ADA) == said


@given(st.text(max_size=600))
def test_it_is_one_short_line_whatever_the_server_said(said: str) -> None:
    kept = without_address(said, ADA)
    assert len(kept) <= REPLY_IN_HISTORY
    assert len(kept.splitlines()) <= 1
