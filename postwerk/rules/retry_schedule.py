"""When a deferred message is tried again."""

from __future__ import annotations

from datetime import datetime, timedelta

from postwerk.contracts.options import RetrySchedule

LAST_CALL = timedelta(seconds=5)
"""The last attempt starts this long before the deadline: a delay past it would end the message at once."""
GREYLISTED_FOR = timedelta(minutes=5)
"""Postgrey's delay, the most usual one; a schedule that begins sooner keeps its own first wait."""
GREYLISTED_TIMES = 3
"""So often a greylisted message comes back soon; who still refuses it then is not greylisting."""
HINT_MARGIN = timedelta(seconds=10)
"""Added to a server's own "try again in N seconds": its clock and its rounding are not ours."""
TOLD_TIMES = 3
"""So often a server is taken at its word; who says "in 1 second" for ever is asked by the schedule then."""


def wait_after(schedule: RetrySchedule, deferrals: int, chance: float) -> timedelta:
    """The wait after the n-th temporary refusal (n = 1, 2, ...); `chance` in [0, 1) spreads it.

    By default after 5, 10, 20, 40, 80 and 160 minutes, then every 3 hours, each +-20 %. The spread keeps
    mails that were refused together from all coming back at the same moment.
    """
    return _planned(schedule, deferrals) * (1 + schedule.jitter * (2 * chance - 1))


def wait_when_greylisted(schedule: RetrySchedule, deferrals: int, chance: float) -> timedelta:
    """Soon after five minutes, never before: spread to one side only."""
    if deferrals > GREYLISTED_TIMES:
        return wait_after(schedule, deferrals, chance)
    return min(GREYLISTED_FOR, _planned(schedule, 1)) * (1 + schedule.jitter * chance)


def wait_as_told(hint: timedelta, schedule: RetrySchedule, refusals: int, chance: float) -> timedelta:
    """What the server asked for, and a little more; after the third time never less than the schedule."""
    told = hint + HINT_MARGIN
    return told if refusals <= TOLD_TIMES else max(told, wait_after(schedule, refusals, chance))


def together_within(wait: timedelta) -> timedelta:
    """Messages of a batch that are due within so much of the next one are tried together with it.

    Each for itself they would start the batch's activity again every second.
    """
    return min(max(wait, timedelta(0)) / 10, timedelta(seconds=30))


def _planned(schedule: RetrySchedule, deferrals: int) -> timedelta:
    if schedule.waits:
        return schedule.waits[min(deferrals, len(schedule.waits)) - 1]
    steps = min(deferrals - 1, 64)  # beyond that every schedule has reached its maximum
    seconds = min(schedule.initial.total_seconds() * schedule.factor**steps, schedule.maximum.total_seconds())
    return timedelta(seconds=seconds)


def next_attempt_at(wait: timedelta, now: datetime, deadline: datetime) -> datetime:
    """`now` plus `wait`, but with one attempt just before the deadline; never earlier than `now`."""
    return max(now, min(now + wait, deadline - LAST_CALL))


def is_over(now: datetime, deadline: datetime) -> bool:
    """Whether the last attempt has been made: what is open now expires."""
    return now >= deadline - LAST_CALL
