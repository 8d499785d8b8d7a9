"""What a changed retry schedule means for a message that waits already."""

from __future__ import annotations

from datetime import timedelta
from functools import lru_cache
from typing import NamedTuple

from postwerk.contracts.options import RetrySchedule
from postwerk.contracts.smtp import Exchange, Reply, Stage
from postwerk.rules.next_wait import GREYLISTED, next_wait
from postwerk.rules.reply_class import BulkEffect, Decision, Effect, LaneEffect, classify
from postwerk.rules.reply_table import load_replies
from postwerk.rules.retry_schedule import GREYLISTED_TIMES

_MAY_WAIT = (Effect.RETRY, Effect.AMBIGUOUS, Effect.WAIT)


class LastRefusal(NamedTuple):
    """What is remembered of how a message's last attempt ended."""

    reason: str | None
    stage: str | None
    code: int | None
    enhanced: str | None
    text: str | None


def wait_anew(
    last: LastRefusal, schedule: RetrySchedule, *, deferrals: int, attempts: int, chance: float
) -> timedelta | None:
    """The wait after its last attempt by another schedule; None when that wait was not the schedule's.

    Not the schedule's are the first waits of a greylisted message, a wait that the server asked for itself,
    the short ones after a refusal of our own settings, and what waits for the relay. The last attempt is
    classified again; what is deferred for another reason than the one that comes out is left alone.
    """
    decision = _decision(last)
    if decision is None or decision.hint is not None or decision.reason != last.reason:
        return None
    if decision.reason == GREYLISTED and deferrals <= GREYLISTED_TIMES:
        return None
    if decision.lane is LaneEffect.HOST or decision.bulk is BulkEffect.CONFIG:
        return None
    return next_wait(
        decision, schedule, deferrals=deferrals, attempts=attempts, chance=chance, lane_waits=False
    )


def _decision(last: LastRefusal) -> Decision | None:
    """None: it did not end by a reply, nor by a trouble, after which a message waits."""
    if last.code is None or last.stage not in set(Stage):
        return _after_troubles().get(last.reason or "")
    reply = Reply(last.code, last.enhanced, last.text or "")
    decision = classify(Exchange(Stage(last.stage), reply))
    return decision if decision.effect in _MAY_WAIT else None


@lru_cache(maxsize=1)
def _after_troubles() -> dict[str, Decision]:
    """Without a reply the reason alone says which trouble it was."""
    return {one.reason: one for one in load_replies().troubles.values() if one.effect in _MAY_WAIT}
