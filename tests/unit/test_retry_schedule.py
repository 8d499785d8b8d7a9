"""The retry schedule, told in numbers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postwerk.contracts.options import RetrySchedule
from postwerk.rules.retry_schedule import LAST_CALL, is_over, next_attempt_at, wait_after

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
MIDDLE = 0.5
"""The chance that spreads nothing."""


@pytest.mark.parametrize(
    ("deferrals", "minutes"),
    [(1, 5), (2, 10), (3, 20), (4, 40), (5, 80), (6, 160), (7, 180), (45, 180), (10_000, 180)],
)
def test_waits_double_from_five_minutes_to_three_hours(deferrals: int, minutes: int) -> None:
    assert wait_after(RetrySchedule(), deferrals, MIDDLE) == timedelta(minutes=minutes)


@given(st.integers(1, 200), st.floats(0, 1, exclude_max=True))
def test_the_spread_is_twenty_percent_at_most(deferrals: int, chance: float) -> None:
    middle = wait_after(RetrySchedule(), deferrals, MIDDLE)
    assert middle * 0.8 <= wait_after(RetrySchedule(), deferrals, chance) <= middle * 1.2


def test_the_last_attempt_is_made_just_before_the_deadline() -> None:
    deadline = NOW + timedelta(hours=1)
    assert next_attempt_at(timedelta(hours=3), NOW, deadline) == deadline - LAST_CALL
    assert next_attempt_at(timedelta(minutes=5), NOW, deadline) == NOW + timedelta(minutes=5)


def test_after_the_last_attempt_it_is_over() -> None:
    deadline = NOW + timedelta(hours=1)
    assert not is_over(NOW, deadline)
    assert is_over(deadline - LAST_CALL, deadline)
    assert is_over(deadline + timedelta(days=1), deadline)


@given(st.timedeltas(timedelta(0), timedelta(days=1)), st.timedeltas(timedelta(0), timedelta(days=5)))
def test_the_next_attempt_is_never_in_the_past_nor_after_the_last_call(
    wait: timedelta, left: timedelta
) -> None:
    deadline = NOW + left
    at = next_attempt_at(wait, NOW, deadline)
    assert at >= NOW
    assert at <= max(NOW, deadline - LAST_CALL)
