"""What operations do to messages, in the archive itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from postwerk.archive import reads
from postwerk.archive.audit import Actor
from postwerk.archive.engine import Archive
from postwerk.archive.journal import Mark, write_entries
from postwerk.archive.operation_runs import carry_out_page
from postwerk.archive.operations import Operation, new_operation, next_page, store_operation
from postwerk.contracts.queue import QueueFilter, Verb
from postwerk.contracts.states import MessageState
from tests.real_servers.test_queues import settle
from tests.support.seeding import a_stored_bulk_send

LATER = datetime.now(UTC) + timedelta(days=1)


def an_operation(verb: Verb, wanted: QueueFilter) -> Operation:
    return new_operation(verb, wanted, reason="why not", actor=Actor("ada", "test"), now=LATER)


async def counts_of(archive: Archive, bulk_id: str) -> dict[str, int]:
    async with archive.reading() as connection:
        told = await reads.accounting(connection, bulk_id)
    assert told["adds_up"]
    return dict(told["stored"])


@pytest.mark.parametrize(
    ("verb", "state"),
    [
        (Verb.RELEASE, MessageState.DEFERRED),
        (Verb.RETRY, MessageState.HELD),
        (Verb.RETRY, MessageState.SENDING),
        (Verb.HOLD, MessageState.HELD),
    ],
)
async def test_a_verb_that_means_nothing_in_a_state_changes_nothing(
    archive: Archive, verb: Verb, state: MessageState
) -> None:
    """It once took everybody who had been delivered for meant."""
    bulk_id = (await a_stored_bulk_send(archive, ["a@one.example", "b@one.example"])).bulk_id
    await settle(archive, bulk_id, "delivered", 1, 1)
    op = an_operation(verb, QueueFilter(state=(state,)))
    async with archive.writing() as connection:
        await store_operation(connection, op)
        page = await next_page(connection, op)
        done = await carry_out_page(connection, op, page, now=LATER, shard=1)

    assert (done.matched, done.changed) == (0, 0)
    assert await counts_of(archive, bulk_id) == {"delivered": 1, "queued": 1}


@pytest.mark.parametrize("verb", [Verb.HOLD, Verb.CANCEL, Verb.EXPIRE])
async def test_who_begins_to_be_sent_after_it_was_found_is_stopped_all_the_same(
    archive: Archive, verb: Verb
) -> None:
    order = await a_stored_bulk_send(archive, ["a@one.example", "b@one.example"])
    op = an_operation(verb, QueueFilter(domain="one.example"))
    async with archive.reading() as connection:
        page = await next_page(connection, op)
    mark = Mark(order.bulk_id, 1, 1, MessageState.QUEUED, at=1, possible_duplicate=False)
    await archive.at_once(lambda connection: write_entries(connection, [mark], 1))
    async with archive.writing() as connection:
        await store_operation(connection, op)
        done = await carry_out_page(connection, op, page, now=LATER, shard=1)
        rows = await connection.execute(text("SELECT state, next_state FROM message ORDER BY seq"))
        first, second = (tuple(row) for row in rows)

    becomes = {Verb.HOLD: "held", Verb.CANCEL: "cancelled", Verb.EXPIRE: "expired"}[verb]
    assert (first, second) == (("sending", becomes), (becomes, None))
    assert (done.matched, done.changed) == (2, 2)
    assert await counts_of(archive, order.bulk_id) == {"sending": 1, becomes: 1}


@pytest.mark.parametrize("part", [0, 1])
async def test_who_was_started_again_is_sent_by_its_new_batch(archive: Archive, part: int) -> None:
    """The old one may have read it before: both would send it, each taking the other for cut off."""
    order = await a_stored_bulk_send(archive, ["a@one.example"])
    async with archive.writing() as connection:
        await connection.execute(text("UPDATE message SET round = 1"))
    mark = Mark(order.bulk_id, 1, 1, MessageState.QUEUED, at=1, possible_duplicate=False, round=part)
    applied = await archive.at_once(lambda connection: write_entries(connection, [mark], 1))
    assert bool(applied) == (part == 1)
