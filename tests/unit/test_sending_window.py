"""Sending windows against the clock on the wall, also where clocks are changed."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from postwerk.contracts.windows import SendingWindow, Weekday
from postwerk.rules.sending_window import in_words, is_open, is_time_zone, next_opening, opens_before

EVERY_DAY = tuple(Weekday)
WORK_DAYS = EVERY_DAY[:5]
MINUTE = timedelta(minutes=1)
ZONES = (
    "UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia",
    "America/St_Johns", "Africa/Casablanca", "Atlantic/Azores",
)  # fmt: skip


def minutes(text: str) -> int:
    hours, _, rest = text.partition(":")
    return int(hours) * 60 + int(rest)


def a_window(
    start: str, end: str, days: tuple[Weekday, ...] = EVERY_DAY, zone: str = "Europe/Berlin"
) -> SendingWindow:
    return SendingWindow(days=days, start=minutes(start), end=minutes(end), time_zone=zone)


def berlin(text: str, fold: int = 0) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo("Europe/Berlin"), fold=fold)


def wall_says_open(window: SendingWindow, now: datetime) -> bool:
    """The plain meaning, minute by minute of a week."""
    local = now.astimezone(ZoneInfo(window.time_zone)).replace(tzinfo=None)
    for days_ago in (0, 1):
        day = datetime.combine(local.date() - timedelta(days=days_ago), datetime.min.time())
        opens, closes = day + window.start * MINUTE, day + window.end * MINUTE
        if closes <= opens:
            closes += timedelta(days=1)
        if EVERY_DAY[day.weekday()] in window.days and opens <= local < closes:
            return True
    return False


WINDOWS = st.builds(
    SendingWindow,
    days=st.lists(st.sampled_from(EVERY_DAY), min_size=1, unique=True).map(tuple),
    start=st.integers(0, 1439),
    end=st.integers(1, 1440),
    time_zone=st.sampled_from(ZONES),
).filter(lambda window: window.start != window.end)
CHANGES = (
    datetime(2026, 3, 29, 1, tzinfo=UTC),  # Berlin, the Azores: forward
    datetime(2026, 10, 25, 1, tzinfo=UTC),  # ... and back
    datetime(2026, 4, 4, 15, tzinfo=UTC),  # Lord Howe: back by half an hour
    datetime(2011, 12, 30, 10, tzinfo=UTC),  # Apia leaves out a Friday
    datetime(2026, 11, 1, 4, 30, tzinfo=UTC),  # St John's: back
    datetime(2028, 2, 29, 0, tzinfo=UTC),  # a leap day
)
MOMENTS = st.one_of(
    st.integers(0, 5 * 366 * 1440).map(lambda n: datetime(2026, 1, 1, tzinfo=UTC) + n * MINUTE),
    st.builds(
        lambda change, minutes: change + minutes * MINUTE,
        st.sampled_from(CHANGES),
        st.integers(-2 * 1440, 2 * 1440),
    ),
)


@given(WINDOWS, MOMENTS)
def test_it_is_open_when_the_clock_on_the_wall_says_so(window: SendingWindow, now: datetime) -> None:
    assert is_open(window, now) == wall_says_open(window, now)


@settings(max_examples=400)
@given(WINDOWS, MOMENTS)
@example(a_window("02:00", "02:30"), berlin("2026-10-25T01:00"))
def test_the_next_opening_is_the_first_moment_that_is_open(window: SendingWindow, now: datetime) -> None:
    found = next_opening(window, now)
    assert found >= now
    assert is_open(window, found)
    assert next_opening(window, found) == found
    if found == now:
        return
    assert not is_open(window, found - timedelta(microseconds=1))
    # Between the two it was never open: every 15 minutes, and each minute of the last two hours.
    steps = int(min(found - now, timedelta(hours=2)) / MINUTE)
    looks = [found - n * MINUTE for n in range(1, steps)]
    looks += [now + n * 15 * MINUTE for n in range(int((found - now) / (15 * MINUTE)))]
    assert [look for look in looks if wall_says_open(window, look)] == []


@pytest.mark.parametrize(
    ("now", "opens"),
    [
        ("2026-11-20T17:59", "2026-11-20T17:59"),  # a Friday
        ("2026-11-20T18:00", "2026-11-23T09:00"),
        ("2026-11-21T12:00", "2026-11-23T09:00"),
        ("2026-11-23T08:59", "2026-11-23T09:00"),
        ("2028-02-28T19:00", "2028-02-29T09:00"),  # a leap day, a Tuesday
    ],
)
def test_office_hours(now: str, opens: str) -> None:
    assert next_opening(a_window("09:00", "18:00", WORK_DAYS), berlin(now)) == berlin(opens)


def test_a_window_over_midnight_belongs_to_the_day_on_which_it_opens() -> None:
    window = a_window("22:00", "06:00", (Weekday.FRI,))
    assert is_open(window, berlin("2026-11-20T23:00"))
    assert is_open(window, berlin("2026-11-21T05:59"))
    assert not is_open(window, berlin("2026-11-21T06:00"))
    assert not is_open(window, berlin("2026-11-20T05:00"))
    assert next_opening(window, berlin("2026-11-21T06:00")) == berlin("2026-11-27T22:00")


def test_an_opening_that_the_clock_leaves_out_is_the_moment_of_the_change() -> None:
    window = a_window("02:30", "04:00")
    assert next_opening(window, berlin("2026-03-29T00:00")) == datetime(2026, 3, 29, 1, tzinfo=UTC)


def test_a_window_that_the_clock_leaves_out_opens_the_next_day() -> None:
    window = a_window("02:10", "02:50")
    assert next_opening(window, berlin("2026-03-29T00:00")) == berlin("2026-03-30T02:10")


def test_what_comes_twice_is_open_twice() -> None:
    window = a_window("02:00", "02:30")
    first, second = berlin("2026-10-25T02:00"), berlin("2026-10-25T02:00", fold=1)
    assert next_opening(window, berlin("2026-10-25T01:00")) == first.astimezone(UTC)
    assert not is_open(window, berlin("2026-10-25T02:30"))
    assert next_opening(window, berlin("2026-10-25T02:30")) == second.astimezone(UTC)
    assert second.astimezone(UTC) - first.astimezone(UTC) == timedelta(hours=1)


def test_a_day_that_a_zone_left_out_did_not_open() -> None:
    """Apia went from Thursday, 29 December 2011, to Saturday."""
    window = a_window("09:00", "10:00", (Weekday.FRI,), "Pacific/Apia")
    found = next_opening(window, datetime(2011, 12, 29, 22, tzinfo=UTC))
    assert found.astimezone(ZoneInfo("Pacific/Apia")).date() == date(2012, 1, 6)


def test_nothing_can_be_sent_between_two_openings() -> None:
    window = a_window("09:00", "18:00", WORK_DAYS)
    assert not opens_before(window, berlin("2026-11-20T18:00"), berlin("2026-11-23T09:00"))
    assert opens_before(window, berlin("2026-11-20T18:00"), berlin("2026-11-23T09:01"))
    assert opens_before(None, berlin("2026-11-20T18:00"), berlin("2026-11-20T18:00"))


def test_zones_and_words() -> None:
    assert is_time_zone("Europe/Berlin")
    assert [
        name for name in ("Europe", "../etc/passwd", "", "CEST", "europe/berlin") if is_time_zone(name)
    ] == []
    assert in_words(a_window("09:00", "24:00", WORK_DAYS[:2])) == "mon,tue 09:00-24:00 Europe/Berlin"
