"""Quotas and call rates: never more than was said, and what is given back comes when it was promised."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from postwerk.rules.call_rate import CallRate
from postwerk.rules.pace import SECOND
from postwerk.rules.quotas import Quota, Use

HOUR = 3600 * SECOND
QUOTA = Quota.parse("100/h")


def _add(uses: dict[int, int], now: int, n: int) -> None:
    span = QUOTA.span_of(now)
    uses[span] = uses.get(span, 0) + n


@given(st.lists(st.tuples(st.integers(0, HOUR), st.integers(1, 120)), max_size=60))
def test_no_hour_wherever_it_begins_holds_more_than_the_quota(steps: list[tuple[int, int]]) -> None:
    uses: dict[int, int] = {}
    accepted: list[tuple[int, int]] = []
    now = 50 * HOUR
    for wait, n in steps:
        now += wait
        if QUOTA.left([Use(*one) for one in uses.items()], now) >= n:
            _add(uses, now, n)
            accepted.append((now, n))
    for begin, _ in accepted:
        assert sum(n for at, n in accepted if begin <= at < begin + HOUR) <= 100


@given(st.lists(st.tuples(st.integers(0, HOUR), st.integers(1, 100)), max_size=40), st.integers(1, 100))
def test_there_is_room_when_it_was_promised_and_not_a_span_before(
    steps: list[tuple[int, int]], wanted: int
) -> None:
    uses: dict[int, int] = {}
    now = 50 * HOUR
    for wait, n in steps:
        now += wait
        if QUOTA.left([Use(*one) for one in uses.items()], now) >= n:
            _add(uses, now, n)
    found = [Use(*one) for one in uses.items()]
    at = QUOTA.room_at(found, now, wanted)

    assert QUOTA.left(found, at) >= wanted
    assert at <= now + HOUR + QUOTA.span
    if at > now:
        assert QUOTA.left(found, at - 1) < wanted


def test_what_is_more_than_the_whole_quota_never_fits() -> None:
    assert QUOTA.fits_ever(100)
    assert not QUOTA.fits_ever(101)


def test_after_an_hour_and_a_span_all_is_given_back() -> None:
    uses = [Use(0, 100)]
    assert QUOTA.left(uses, 0) == QUOTA.left(uses, HOUR) == 0
    assert QUOTA.left(uses, HOUR + QUOTA.span) == 100


def test_a_minutes_calls_may_come_at_once_and_then_one_by_one() -> None:
    rate, tat, now = CallRate(60), 0, 1_000 * SECOND
    for left in range(59, -1, -1):
        call = rate.take(tat, now)
        assert (call.wait, call.remaining) == (0, left)
        tat = call.tat
    refused = rate.take(tat, now)
    assert (refused.wait, refused.remaining, refused.tat) == (1, 0, tat)  # trying again costs nothing
    assert rate.take(tat, now + SECOND).wait == 0
    assert rate.take(tat, now + 60 * SECOND).remaining == 59


@given(st.integers(1, 5000), st.lists(st.integers(0, 2 * SECOND), max_size=300))
def test_no_more_calls_than_a_minutes_worth_and_what_has_come_back_meanwhile(
    calls: int, waits: list[int]
) -> None:
    rate, tat, now, taken = CallRate(calls), 0, 1_000 * SECOND, 0
    begin = now
    for wait in waits:
        now += wait
        call = rate.take(tat, now)
        tat = call.tat
        taken += call.wait == 0
        assert 0 <= call.remaining < calls
        assert 0 <= call.reset <= 61
    interval = 60 * SECOND // calls
    assert taken <= calls + (now - begin) // interval
