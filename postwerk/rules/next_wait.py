"""How long a message that was not taken waits, by what its attempt came to."""

from __future__ import annotations

from datetime import timedelta

from postwerk.contracts.options import RetrySchedule
from postwerk.rules.reply_class import BulkEffect, Decision, Effect, LaneEffect
from postwerk.rules.retry_schedule import wait_after, wait_as_told, wait_when_greylisted

GREYLISTED = "greylisted"
OUR_FAULT_WAIT = timedelta(seconds=10)
OUR_FAULT_TRIES = 3
"""So often soon again: either the send is paused by then, or it is not everyone who is refused."""
AT_ONCE = timedelta(0)


def next_wait(
    decision: Decision,
    schedule: RetrySchedule,
    *,
    deferrals: int,
    attempts: int,
    chance: float,
    lane_waits: bool,
) -> timedelta:
    """The message's own wait. When its lane or the relay waits, it has none: it goes when they go.

    `deferrals` are the refusals that count, this one among them; `attempts` all of them. What does not
    count for the schedule is spread by it all the same, so that nobody is tried in a loop.
    """
    if decision.effect is Effect.WAIT and (lane_waits or decision.lane is LaneEffect.HOST):
        return AT_ONCE
    refusals = attempts if decision.effect is Effect.WAIT else deferrals
    if decision.hint is not None:
        return wait_as_told(decision.hint, schedule, refusals, chance)
    if decision.bulk is BulkEffect.CONFIG:
        if attempts <= OUR_FAULT_TRIES:
            return OUR_FAULT_WAIT
        return wait_after(schedule, attempts - OUR_FAULT_TRIES, chance)
    if decision.reason == GREYLISTED:
        return wait_when_greylisted(schedule, deferrals, chance)
    return wait_after(schedule, refusals, chance)
