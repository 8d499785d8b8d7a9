"""When a deferred message is tried again."""

from __future__ import annotations

from datetime import datetime, timedelta

from postwerk.contracts.options import RetrySchedule

LAST_CALL = timedelta(seconds=5)
"""The last attempt starts this long before the deadline: a delay past it would end the message at once."""


def wait_after(schedule: RetrySchedule, deferrals: int, chance: float) -> timedelta:
    """The wait after the n-th temporary refusal (n = 1, 2, ...); `chance` in [0, 1) spreads it.

    By default after 5, 10, 20, 40, 80 and 160 minutes, then every 3 hours, each +-20 %. The spread keeps
    mails that were refused together from all coming back at the same moment.
    """
    steps = min(deferrals - 1, 64)  # beyond that every schedule has reached its maximum
    seconds = min(schedule.initial.total_seconds() * schedule.factor**steps, schedule.maximum.total_seconds())
    return timedelta(seconds=seconds * (1 + schedule.jitter * (2 * chance - 1)))


def next_attempt_at(wait: timedelta, now: datetime, deadline: datetime) -> datetime:
    """`now` plus `wait`, but with one attempt just before the deadline; never earlier than `now`."""
    return max(now, min(now + wait, deadline - LAST_CALL))


def is_over(now: datetime, deadline: datetime) -> bool:
    """Whether the last attempt has been made: what is open now expires."""
    return now >= deadline - LAST_CALL
