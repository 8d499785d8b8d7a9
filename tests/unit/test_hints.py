"""How long a server asks us to wait, in the words of servers."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postwerk.rules.hints import LEAST, MOST, retry_hint


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("4.2.0 try again in 5 minutes", 300),
        ("4.7.1 Please retry in 300 seconds.", 300),
        ("please wait 2 hours", 7200),
        ("retry after 120s", 120),
        ("4.2.0 <ada@example.com>: Recipient address rejected: Greylisted for 300 seconds", 300),  # postgrey
        ("4.7.1 Greylisting in action, please come back in 00:04:32", 272),  # milter-greylist
        ("4.7.1 Greylisted for 5 minutes (12)", 300),  # SQLgrey
        ("Try again later, in about 15 min", 900),
        ("TRY AGAIN IN 10 MINUTES", 600),
        ("try again in an hour", 3600),
        ("wait one minute", 60),
        ("retry in 1 hour and 30 minutes", 5400),
        ("retry in 1h 30m", 5400),
        ("try again\nin 2 minutes", 120),
        ("delayed 30 secs", 30),
        ("come back in 1 day", 86400),
        ("retry in 1 second", 1),
    ],
)
def test_a_wait_that_is_asked_for_is_understood(text: str, seconds: int) -> None:
    assert retry_hint(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "4.2.0 greylisted",
        "try again later",
        "try again in a few minutes",
        "try again in 300",  # of what?
        "more than 100 messages in 1 hour, try again later",  # a limit, not a wait
        "retry in 0 seconds",
        "retry in 25 hours",
        "retry in 5 days",
        "retry in 9999999999 seconds",
        "delayed 5 minutes ago",
        "try again. This server was up for 5 minutes",
        "retry in 5 parsecs",
        "try again later from 10h.example.com",
        "retry in ٥ minutes",  # no ASCII digit
    ],
)
def test_nothing_else_is_a_wait(text: str) -> None:
    assert retry_hint(text) is None


@given(st.text(alphabet="try againwait in0123456789:hms,-. \n", max_size=1024))
def test_whatever_is_said_the_wait_has_bounds(text: str) -> None:
    wait = retry_hint(text)
    assert wait is None or LEAST <= wait <= MOST
