"""Deliberate waiting: an error of type "Deferred" with its own delay; Temporal keeps the timer."""

from __future__ import annotations

from datetime import datetime, timedelta

from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from activities.clock import ActivityClock
from postwerk.rules.retry_schedule import LAST_CALL, is_over

PAST_THE_END = timedelta(seconds=1)
SHORTEST = timedelta(milliseconds=100)
HANDED_ON = timedelta(seconds=1)
"""A batch of a stopping worker goes to another one after this."""


def deferred(words: str, wait: timedelta) -> ApplicationError:
    return ApplicationError(
        words,
        type="Deferred",
        next_retry_delay=max(wait, SHORTEST),
        category=ApplicationErrorCategory.BENIGN,
    )


def deferred_until(words: str, until: datetime, deadline: datetime, clock: ActivityClock) -> ApplicationError:
    """Back at `until`, but once more just before the deadline; after that past it: the server ends it then.

    A delay that passes the deadline ends the activity at once, hours before its time, so it never does.
    """
    now = clock.now()
    if is_over(now, deadline):
        return deferred(words, deadline - now + PAST_THE_END)
    back_at = min(until, deadline - LAST_CALL)
    return deferred(f"{words}; next at {back_at:%Y-%m-%d %H:%M:%S} UTC", back_at - now)


def pause(otherwise: timedelta) -> timedelta:
    """A short wait, shorter still when another worker is to take over."""
    return HANDED_ON if activity.is_worker_shutdown() else otherwise
