"""What the page says of an operation, as it stands."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from api.page.queue_deeds import told_of, useful_for
from postwerk.archive.audit import Actor
from postwerk.archive.operations import new_operation
from postwerk.contracts.queue import OperationState, QueueFilter, Verb
from postwerk.contracts.states import MessageState

RUNNING, DONE, FAILED = OperationState.RUNNING, OperationState.DONE, OperationState.FAILED
TELLING = OperationState.TELLING
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)

SAID = [
    (Verb.HOLD, RUNNING, None, 0, 0, "Hold: messages, under way."),
    (Verb.HOLD, RUNNING, 1200, 500, 0, "Hold: 1,200 messages, under way."),
    (Verb.HOLD, DONE, 1, 1, 0, "1 message is held."),
    (
        Verb.RETRY,
        OperationState.TELLING,
        3,
        2,
        1,
        "2 messages are due now. 1 message had ended, or stood so already.",
    ),
    (Verb.EXPIRE, DONE, 0, 0, 0, "Nothing was done: no message is meant any more."),
    (Verb.CANCEL, FAILED, 9, 4, 0, "Cancel: it failed after 4 messages."),
    (Verb.RETRY_FAILED, DONE, 2, 2, 0, "2 messages are started again."),
    (Verb.RETRY_FAILED, RUNNING, 2, 0, 0, "Retry of failed: 2 messages, under way."),
]


@pytest.mark.parametrize(("verb", "state", "matched", "changed", "skipped", "words"), SAID)
def test_an_operation_is_told_as_it_stands(
    verb: Verb, state: OperationState, matched: int | None, changed: int, skipped: int, words: str
) -> None:
    op = new_operation(verb, QueueFilter(all=True), reason="x", actor=Actor(), now=NOW)
    assert told_of(replace(op, state=state, matched=matched, changed=changed, skipped=skipped)).text == words


def test_only_what_can_be_done_is_offered() -> None:
    assert [deed.verb for deed in useful_for(MessageState.HELD)] == [Verb.RELEASE, Verb.CANCEL, Verb.EXPIRE]
    assert useful_for(MessageState.DELIVERED) == []
