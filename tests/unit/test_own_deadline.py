"""When a message expires, held or not: a table."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from postwerk.rules.own_deadline import own_deadline

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
END = NOW + timedelta(days=3)
HOUR, NONE = timedelta(hours=1), timedelta(0)
TABLE = [
    (END, NONE, None, None, END),
    (END, 2 * HOUR, None, None, END + 2 * HOUR),  # released after two hours
    (None, NONE, None, None, None),  # its send has not begun
    (END, NONE, 5 * HOUR, None, NOW + 5 * HOUR),  # held
    (END, NONE, None, NOW - HOUR, END + HOUR),  # its send is paused
    (END, 2 * HOUR, None, NOW - HOUR, END + 3 * HOUR),
    (END, NONE, 5 * HOUR, NOW - HOUR, NOW + 5 * HOUR),  # both: counted once
    (None, NONE, None, NOW - HOUR, None),
    (END, NONE, None, NOW + HOUR, END),  # clocks differ
]


@pytest.mark.parametrize(("deadline", "extra", "time_left", "send_held_at", "meant"), TABLE)
def test_held_time_stops_the_clock(
    deadline: datetime | None,
    extra: timedelta,
    time_left: timedelta | None,
    send_held_at: datetime | None,
    meant: datetime | None,
) -> None:
    found = own_deadline(deadline, extra, time_left=time_left, send_held_at=send_held_at, now=NOW)
    assert found == meant
