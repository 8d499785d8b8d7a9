"""Whether a sending window is open, and when it opens next: by what a clock on the wall there shows.

Where clocks are put forward, a time of day that is left out is the moment of the change. Where they are put
back, an hour comes twice, and what is open in it is open twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from itertools import chain, pairwise
from zoneinfo import ZoneInfo, available_timezones

from postwerk.contracts.windows import SendingWindow, Weekday

_DAY = timedelta(days=1)
_SECOND = timedelta(seconds=1)
_DAYS_AHEAD = 16
"""A day of the week comes again within seven days, within fourteen where a zone leaves one out."""
_NUMBER_OF = {day: number for number, day in enumerate(Weekday)}


@lru_cache(maxsize=1)
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


def time_zones() -> list[str]:
    """All of them, in order."""
    return sorted(_zones())


def is_time_zone(name: str) -> bool:
    """Whether the IANA database has a zone of this name."""
    return name in _zones()


def is_open(window: SendingWindow, now: datetime) -> bool:
    """Whether it may be sent at `now`, an aware datetime."""
    local = now.astimezone(_zone(window))
    minute = local.hour * 60 + local.minute
    today = _has(window, local.date())
    if window.start < window.end:
        return today and window.start <= minute < window.end
    if minute >= window.start:
        return today
    return minute < window.end and _has(window, local.date() - _DAY)


def is_closed(window: SendingWindow | None, now: datetime) -> bool:
    """Whether it has a window, and that is not open."""
    return window is not None and not is_open(window, now)


def next_opening(window: SendingWindow, now: datetime) -> datetime:
    """The first moment from `now` on at which it is open, in UTC; `now` itself when it is open already."""
    if is_open(window, now):
        return now
    day = now.astimezone(_zone(window)).date() - _DAY
    days = [day + ahead * _DAY for ahead in range(_DAYS_AHEAD)]
    for two_days in pairwise(days):  # a change of clocks is found with the day before it too
        candidates = chain.from_iterable(_candidates(window, one) for one in two_days)
        found = [at for at in candidates if at > now and is_open(window, at)]
        if found:
            return min(found)
    raise AssertionError(f"{window} never opens")  # its zone has all days of the week


def opens_before(window: SendingWindow | None, begin: datetime, end: datetime) -> bool:
    """Whether anything can be sent between the two moments."""
    return window is None or next_opening(window, begin) < end


def in_words(window: SendingWindow) -> str:
    """Such as "mon,tue 09:00-18:00 Europe/Berlin"."""
    days = ",".join(window.days)
    return f"{days} {clock(window.start)}-{clock(window.end)} {window.time_zone}"


def clock(minutes: int) -> str:
    """Minutes since midnight as "09:00"; "24:00" is the end of the day."""
    return f"{minutes // 60:02}:{minutes % 60:02}"


def _candidates(window: SendingWindow, day: date) -> Iterator[datetime]:
    """The moments of this day at which it may open: its start, and whenever clocks are changed."""
    zone = _zone(window)
    start = datetime.combine(day, time(window.start // 60, window.start % 60), zone)
    for fold in (0, 1):
        yield start.replace(fold=fold).astimezone(UTC)
    midnights = (datetime.combine(one, time(), zone).astimezone(UTC) for one in (day, day + _DAY))
    if (change := _change_of_clocks(zone, *midnights)) is not None:
        yield change


def _change_of_clocks(zone: ZoneInfo, first: datetime, last: datetime) -> datetime | None:
    """The moment from `first` to `last` from which on the clocks of the zone go otherwise, to the second."""
    first -= _SECOND
    before = first.astimezone(zone).utcoffset()
    if last.astimezone(zone).utcoffset() == before:
        return None
    while last - first > _SECOND:
        middle = first + (last - first) // _SECOND // 2 * _SECOND
        if middle.astimezone(zone).utcoffset() == before:
            first = middle
        else:
            last = middle
    return last


def _has(window: SendingWindow, day: date) -> bool:
    return any(_NUMBER_OF[one] == day.weekday() for one in window.days)


def _zone(window: SendingWindow) -> ZoneInfo:
    return ZoneInfo(window.time_zone)
