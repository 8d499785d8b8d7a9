"""Whose wait was the schedule's, by what is remembered of the last attempt; and how long it is by another."""

from __future__ import annotations

from datetime import timedelta

import pytest

from postwerk.contracts.options import RetrySchedule
from postwerk.rules.rescheduling import LastRefusal, wait_anew

MINUTE = timedelta(minutes=1)
SCHEDULE = RetrySchedule(waits=(MINUTE, 2 * MINUTE, 3 * MINUTE, 4 * MINUTE), jitter=0)


@pytest.mark.parametrize(
    ("last", "deferrals", "attempts", "wait"),
    [
        # This recipient's own refusals: by the number of those that count.
        (LastRefusal("mailbox_full", "rcpt", 452, "4.2.2", "mailbox full"), 1, 3, MINUTE),
        (LastRefusal("refused_for_now", "rcpt", 450, "4.2.0", "not now"), 3, 3, 3 * MINUTE),
        (LastRefusal("connection_lost", "mail", None, None, "connection lost"), 2, 2, 2 * MINUTE),
        (LastRefusal("no_reply_after_dot", "dot", None, None, "no reply"), 9, 9, 4 * MINUTE),
        # Perhaps about the destination: spread by all attempts.
        (LastRefusal("refused_for_now", "rcpt", 451, "4.3.0", "Try again later"), 0, 2, 2 * MINUTE),
        (LastRefusal("rate_limited", "rcpt", 450, "4.7.1", "too many messages, slow down"), 0, 1, MINUTE),
        # Greylisting has waits of its own, three times.
        (LastRefusal("greylisted", "rcpt", 451, "4.7.1", "greylisted"), 1, 1, None),
        (LastRefusal("greylisted", "rcpt", 451, "4.7.1", "greylisted"), 3, 3, None),
        (LastRefusal("greylisted", "rcpt", 451, "4.7.1", "greylisted"), 4, 4, 4 * MINUTE),
        # The server's own word.
        (LastRefusal("mailbox_full", "rcpt", 452, "4.2.2", "full, try again in 20 minutes"), 1, 1, None),
        # About the relay, or ourselves.
        (LastRefusal("no_connection", "connect", None, None, "connection refused"), 1, 1, None),
        (LastRefusal("sender_refused", "mail", 550, "5.7.1", "sender refused"), 1, 1, None),
        (LastRefusal("worker_stopped", "dot", None, None, "the worker was stopped"), 1, 1, None),
        (LastRefusal("worker_died", "dot", None, None, "the worker ended"), 1, 1, None),
        # What is remembered does not fit together, or nothing is remembered.
        (LastRefusal("mailbox_full", "rcpt", 550, "5.1.1", "no such user"), 1, 1, None),
        (LastRefusal("worker_stopped", "rcpt", 452, "4.2.2", "mailbox full"), 1, 1, None),
        (LastRefusal(None, None, None, None, None), 0, 0, None),
    ],
)
def test_only_a_wait_of_the_schedule_goes_by_another_one(
    last: LastRefusal, deferrals: int, attempts: int, wait: timedelta | None
) -> None:
    assert wait_anew(last, SCHEDULE, deferrals=deferrals, attempts=attempts, chance=0.5) == wait


def test_chance_spreads_it_as_ever() -> None:
    last = LastRefusal("mailbox_full", "rcpt", 452, "4.2.2", "mailbox full")
    waits = [
        wait_anew(last, RetrySchedule(), deferrals=1, attempts=1, chance=chance) for chance in (0.0, 0.5)
    ]
    assert waits == [4 * MINUTE, 5 * MINUTE]
