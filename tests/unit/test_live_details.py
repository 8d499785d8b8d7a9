"""The live details of workflows: tables of counts, how fast it goes, and what is waited for until when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from postwerk.contracts.orders import BatchOrder, Counts, Look, Rest
from postwerk.contracts.queue import Account, OperationState, Verb
from postwerk.contracts.states import BulkState, MessageState
from workflows.batch_details import Standing, batch_details
from workflows.markdown import days, table
from workflows.operation_details import operation_details
from workflows.progress import Moments, Progress, details, knot_details

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
STATES = {MessageState.QUEUED: 600, MessageState.DEFERRED: 30, MessageState.DELIVERED: 370}
LOOK = Look(
    states=STATES,
    at=NOON,
    rests=(
        Rest(lane="", until=NOON + timedelta(minutes=5), why="no session"),
        Rest(lane="gmail.com", until=NOON + timedelta(hours=1), why="421 4.7.28 too many | again"),
    ),
    next_at=NOON + timedelta(minutes=4),
    next_lane="gmx.net",
    next_why="451 4.7.1 try again later",
)


def rows(markdown: str) -> list[list[str]]:
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in markdown.splitlines()
        if line.startswith("|") and "---" not in line
    ]


def a_root(state: BulkState = BulkState.RUNNING, **changes: Any) -> Progress:
    fields: dict[str, Any] = {
        "bulk_id": "bulk_1",
        "state": state,
        "reason": "",
        "messages": 1000,
        "counts": STATES,
        "batches": 20,
        "children": 20,
        "children_done": 7,
        "children_lost": 0,
        "deadline": NOON + timedelta(days=5),
    }
    return Progress(**(fields | changes))


def test_a_send_shows_counts_pace_and_what_it_waits_for() -> None:
    shown = details(a_root(), Moments(look=LOOK, looks_again=NOON + timedelta(seconds=64), per_second=20))
    assert shown.startswith("**running** · 1,000 recipients in 20 batches · 7 of 20 children done\n")
    assert rows(shown) == [
        ["state", "messages", "share"],
        ["queued", "600", "60.0 %"],
        ["deferred", "30", "3.0 %"],
        ["delivered", "370", "37.0 %"],
        ["lane at rest", "until", "why"],
        ["(the relay)", "2026-11-22 12:05:00 UTC", "no session"],
        ["gmail.com", "2026-11-22 13:00:00 UTC", "421 4.7.28 too many / again"],
    ]
    assert "- counted 2026-11-22 12:00:00 UTC, counted again 2026-11-22 12:01:04 UTC" in shown
    assert "- pace 20.0/s since the look before; the 600 not tried yet are about to be by" in shown
    assert "by 2026-11-22 12:00:30 UTC" in shown
    assert "- 30 messages to be tried again, the first of them due 2026-11-22 12:04:00 UTC" in shown
    assert "(gmx.net: 451 4.7.1 try again later)" in shown
    assert "- deadline 2026-11-27 12:00:00 UTC" in shown


def test_one_that_is_held_says_since_when_and_expects_no_end() -> None:
    progress = a_root(BulkState.PAUSED, reason="wrong\nprice", children_lost=1)
    shown = details(progress, Moments(look=LOOK, held_since=NOON, per_second=20))
    assert shown.startswith("**paused** (wrong price) · ")
    assert "7 of 20 children done, 1 of them by an accident" in shown
    assert "- held since 2026-11-22 12:00:00 UTC" in shown
    assert "about to be" not in shown


def test_one_that_waits_for_its_beginning_or_its_window_says_until_when() -> None:
    scheduled = details(a_root(BulkState.SCHEDULED, counts={}), Moments(begins_at=NOON))
    assert "- begins 2026-11-22 12:00:00 UTC" in scheduled
    assert rows(scheduled) == []
    closed = LOOK.model_copy(update={"window": "mon 09:00 to 17:00 Europe/Berlin", "window_opens": NOON})
    shown = details(a_root(), Moments(look=closed))
    assert (
        "outside its sending window (mon 09:00 to 17:00 Europe/Berlin), which opens 2026-11-22 12:00" in shown
    )
    assert "pace" not in shown


def test_one_that_has_ended_waits_for_nothing() -> None:
    shown = details(a_root(BulkState.COMPLETED, counts={MessageState.DELIVERED: 1000}), Moments())
    assert rows(shown)[1:] == [["delivered", "1,000", "100.0 %"]]
    assert "deadline" not in shown


def a_batch(**changes: Any) -> Standing:
    batch = BatchOrder(bulk_id="bulk_1", number=7, lane="gmx.net", first_seq=1, last_seq=9, messages=9)
    fields: dict[str, Any] = {
        "batch": batch,
        "deadline": NOON,
        "held_since": None,
        "reason": "",
        "runs": 2,
        "run_began": NOON,
        "only_held": False,
        "counts": None,
        "activity_id": "send-2",
    }
    return Standing(**(fields | changes))


def test_a_batch_says_where_its_next_attempt_stands() -> None:
    shown = batch_details(a_batch())
    assert shown.startswith("**sending** · batch 7 · lane gmx.net · 9 messages\n")
    assert "run 2 since 2026-11-22 12:00:00 UTC" in shown
    assert "`send-2`" in shown
    assert "- deadline 2026-11-22 12:00:00 UTC" in shown


def test_a_batch_that_is_held_or_has_ended_says_so() -> None:
    held = batch_details(a_batch(held_since=NOON, reason="this one"))
    assert held.startswith("**held** · ")
    assert "held since 2026-11-22 12:00:00 UTC: this one" in held
    waits = batch_details(a_batch(only_held=True, counts=Counts(states={MessageState.HELD: 9})))
    assert waits.startswith("**waits for a release** · ")
    done = batch_details(a_batch(run_began=None, counts=Counts(states={MessageState.DELIVERED: 9})))
    assert done.startswith("**done** · ")
    assert rows(done)[1:] == [["delivered", "9", "100.0 %"]]
    assert "deadline" not in done


def test_an_expansion_adds_up_its_ended_batches() -> None:
    counts = Counts(states={MessageState.DELIVERED: 240})
    shown = knot_details(done=1, started=200, lost=1, counts=counts, deadline=NOON, held=True)
    assert shown.startswith("**held** · 1 of 200 batches done, 1 of them by an accident · deadline 2026")
    assert rows(shown)[1:] == [["delivered", "240", "100.0 %"]]


def test_an_operation_tells_its_account() -> None:
    assert operation_details("changes messages", NOON, None) == (
        "**changes messages** since 2026-11-22 12:00:00 UTC"
    )
    account = Account(verb=Verb.RETRY_FAILED, state=OperationState.DONE, matched=9, changed=7, skipped=2)
    shown = operation_details("done", NOON, account)
    assert rows(shown) == [["retry failed", "messages"], ["matched", "9"], ["changed", "7"], ["skipped", "2"]]


def test_pieces_of_markdown() -> None:
    assert table(("a", "b"), []) == ""
    assert [days(timedelta(seconds=s)) for s in (0, 64, 5400, 86_400, 432_000)] == [
        "0 s",
        "1 min 4 s",
        "1 h 30 min",
        "1 d",
        "5 days",
    ]
