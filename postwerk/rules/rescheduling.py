"""What a changed retry schedule means for a message that waits already."""

from __future__ import annotations

from functools import lru_cache

from postwerk.rules.next_wait import GREYLISTED
from postwerk.rules.reply_class import Effect, hint_in
from postwerk.rules.reply_table import load_replies
from postwerk.rules.retry_schedule import GREYLISTED_TIMES


def waits_by_schedule(reason: str | None, code: int | None, text: str | None, deferrals: int) -> bool:
    """Whether the wait after a message's last refusal is the schedule's, by what is remembered of it.

    Not the schedule's are the first waits of a greylisted message, a wait that the server asked for itself,
    and what is about destination, relay or our settings.
    """
    if deferrals < 1 or reason not in _counted_reasons():
        return False
    if reason == GREYLISTED and deferrals <= GREYLISTED_TIMES:
        return False
    return code is None or hint_in(text or "") is None


@lru_cache(maxsize=1)
def _counted_reasons() -> frozenset[str]:
    """Reasons of rows that count for the schedule, and of no others."""
    decisions = [row.decision for row in load_replies().rows]
    counted = {one.reason for one in decisions if one.effect in (Effect.RETRY, Effect.AMBIGUOUS)}
    return frozenset(
        counted - {one.reason for one in decisions if one.effect not in (Effect.RETRY, Effect.AMBIGUOUS)}
    )
