"""When a receiver is asked again, told in numbers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postwerk.rules.webhook_schedule import WAITS, Verdict, read_retry_after, verdict_on, wait_after

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def test_the_waits_are_those_of_the_standard() -> None:
    seconds = [0, 5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400]
    assert [wait.total_seconds() for wait in WAITS] == seconds
    waits = [wait_after(failures, Verdict.FAILED, None, 0.0) for failures in range(1, 10)]
    assert waits == list(WAITS[1:])
    assert wait_after(10, Verdict.FAILED, None, 0.0) is None


@given(st.integers(1, 9), st.floats(0, 1))
def test_a_wait_is_longer_by_a_tenth_at_most(failures: int, chance: float) -> None:
    wait = wait_after(failures, Verdict.FAILED, None, chance)
    assert wait is not None
    assert WAITS[failures] <= wait <= WAITS[failures] * 1.1


def test_whoever_has_too_much_to_do_is_left_alone_for_a_minute() -> None:
    assert wait_after(1, Verdict.SLOW_DOWN, None, 0.0) == timedelta(minutes=1)
    assert wait_after(2, Verdict.SLOW_DOWN, None, 0.0) == timedelta(minutes=5)


def test_retry_after_makes_a_wait_longer_and_never_shorter() -> None:
    assert wait_after(1, Verdict.FAILED, HOUR, 0.0) == HOUR
    assert wait_after(9, Verdict.SLOW_DOWN, HOUR, 0.0) == timedelta(hours=24)
    assert wait_after(10, Verdict.SLOW_DOWN, HOUR, 0.0) is None


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (200, Verdict.TAKEN),
        (204, Verdict.TAKEN),
        (299, Verdict.TAKEN),
        (301, Verdict.FAILED),
        (307, Verdict.FAILED),
        (400, Verdict.FAILED),
        (404, Verdict.FAILED),
        (410, Verdict.GONE),
        (429, Verdict.SLOW_DOWN),
        (500, Verdict.FAILED),
        (502, Verdict.SLOW_DOWN),
        (503, Verdict.SLOW_DOWN),
        (504, Verdict.SLOW_DOWN),
        (600, Verdict.FAILED),
        (100, Verdict.FAILED),
        (None, Verdict.FAILED),
    ],
)
def test_only_2xx_is_success(status: int | None, verdict: Verdict) -> None:
    assert verdict_on(status) is verdict


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120),
        (" 0 ", 0),
        ("999999999", 86_400),  # a day at most
        ("Sun, 22 Nov 2026 12:01:40 GMT", 100),
        ("Sunday, 22-Nov-26 12:01:40 GMT", 100),  # RFC 850
        ("Sun, 22 Nov 2026 11:00:00 GMT", 0),  # past
        ("Mon, 22 Nov 2027 12:00:00 GMT", 86_400),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
        (None, None),
        ("٣", None),
        ("9" * 400, None),
        ("Sun, 22 Nov 99999 12:00:00 GMT", None),
    ],
)
def test_retry_after_is_read_in_both_forms(header: str | None, seconds: int | None) -> None:
    expected = None if seconds is None else timedelta(seconds=seconds)
    assert read_retry_after(header, NOW) == expected


@given(st.text(max_size=60))
def test_no_header_breaks_it(header: str) -> None:
    wait = read_retry_after(header, NOW)
    assert wait is None or timedelta(0) <= wait <= timedelta(days=1)
