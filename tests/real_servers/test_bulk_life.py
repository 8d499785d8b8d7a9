"""The life of a bulk send in the archive, on both databases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from postwerk.archive import bulks, delivery, plan, reads
from postwerk.archive.engine import Archive
from postwerk.archive.rounds import begin_round
from postwerk.contracts.smtp import Exchange, Stage, Trouble
from postwerk.contracts.states import BulkState, MessageState
from tests.support.seeding import a_stored_bulk_send

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
LATER = NOW + timedelta(days=5)


async def move(archive: Archive, bulk_id: str, state: BulkState, **more: object) -> bool:
    async with archive.writing() as connection:
        return await bulks.move_bulk(connection, bulk_id, state, now=NOW, **more)  # type: ignore[arg-type]


async def begun(archive: Archive, addresses: list[str], **options: object) -> str:
    order = await a_stored_bulk_send(archive, addresses, **options)
    async with archive.writing() as connection:
        assert await bulks.begin_bulk(connection, order.bulk_id, now=NOW, deadline=LATER) == "running"
    return order.bulk_id


async def test_hold_release_and_cancel_follow_the_arrows(archive: Archive) -> None:
    bulk_id = await begun(archive, ["a@example.com"])
    assert await move(archive, bulk_id, BulkState.PAUSED, reason="wrong price")
    async with archive.reading() as connection:
        held = await reads.bulk_send(connection, bulk_id)
    assert (held.state, held.reason, held.deadline) == (BulkState.PAUSED, "wrong price", LATER)
    assert await move(archive, bulk_id, BulkState.RUNNING, deadline=LATER + timedelta(hours=1))
    assert await move(archive, bulk_id, BulkState.CANCELLING, reason="enough")
    assert not await move(archive, bulk_id, BulkState.RUNNING)
    assert not await move(archive, bulk_id, BulkState.PAUSED)
    async with archive.writing() as connection:
        await bulks.finish_bulk(connection, bulk_id, BulkState.CANCELLED, now=NOW)
    assert not await move(archive, bulk_id, BulkState.CANCELLING)
    async with archive.reading() as connection:
        assert (await reads.bulk_send(connection, bulk_id)).deadline == LATER + timedelta(hours=1)


async def test_settling_a_batch_closes_what_is_open_and_nothing_else(archive: Archive) -> None:
    order = await a_stored_bulk_send(
        archive, [f"a{n}@example.com" for n in range(30)], recipients_per_child=20
    )
    assert order.batches is not None
    first, second = order.batches
    async with archive.writing() as connection:
        counts = await delivery.settle_batch(connection, first, MessageState.EXPIRED, NOW, shard=3)
    assert counts.states == {MessageState.EXPIRED: 20}
    async with archive.reading() as connection:
        told = await reads.accounting(connection, order.bulk_id)
    assert told["stored"] == {"expired": 20, "queued": 10}
    assert told["adds_up"]
    async with archive.writing() as connection:
        await bulks.settle_some(connection, order.bulk_id, 1, 30, MessageState.CANCELLED, now=NOW, shard=1)
        assert await bulks.open_range(connection, order.bulk_id) is None
        assert (await delivery.left_in_batch(connection, second)).next_at is None
    async with archive.reading() as connection:
        told = await reads.accounting(connection, order.bulk_id)
    assert told["counted"] == {"cancelled": 10, "expired": 20}


async def test_no_session_costs_no_attempt_and_what_waits_stays_due(archive: Archive) -> None:
    order = await a_stored_bulk_send(archive, ["a@example.com", "b@example.com"], recipients_per_child=2)
    assert order.batches is not None
    (batch,) = order.batches
    refused = Exchange(Stage.CONNECT, trouble=Trouble.REFUSED, detail="connection refused")
    async with archive.writing() as connection:
        await delivery.note_unreachable(connection, batch, refused, "no_connection", now=NOW, shard=1)
    async with archive.reading() as connection:
        assert [due.seq for due in await delivery.due_messages(connection, batch, NOW)] == [1, 2]
        assert await delivery.last_reply_of_batch(connection, batch) == "connection refused"
        message = await reads.message(connection, order.bulk_id, 1)
        told = await reads.accounting(connection, order.bulk_id)
        states = await delivery.bulk_states(connection, [order.bulk_id, "bulk_x"])
    assert (message.attempts, message.state, message.last_stage) == (0, MessageState.DEFERRED, "connect")
    assert told["counted"] == {"deferred": 2}
    assert states == {order.bulk_id: (BulkState.QUEUED, 0, 0)}


async def test_a_plan_covers_every_message_once_lane_by_lane(archive: Archive) -> None:
    domains = ["gmail.com", "example.com", "gmail.com", "outlook.com"]
    addresses = [f"a{n}@{domains[n % 4]}" for n in range(400)] + ["one@rare.example", "two@odd.example"]
    order = await a_stored_bulk_send(archive, addresses, recipients_per_child=30)
    async with archive.writing() as connection:
        planned = await plan.plan_batches(connection, order.bulk_id, 30, now=NOW, shard=0)
        again = await plan.plan_batches(connection, order.bulk_id, 7, now=NOW, shard=0)
    assert planned == again  # planned once
    assert sum(batch.messages for batch in planned.orders) == planned.messages == 402
    assert {batch.lane for batch in planned.orders} == {"gmail.com", "example.com", "outlook.com", "other"}
    seen: list[int] = []
    async with archive.reading() as connection:
        for batch in planned.orders:
            due = await delivery.due_messages(connection, batch, NOW)
            assert len(due) == batch.messages <= 30
            seen += [message.seq for message in due]
    assert sorted(seen) == list(range(1, 403))


@pytest.mark.parametrize("state", [BulkState.CANCELLING, BulkState.PAUSED])
async def test_a_send_that_was_stopped_before_it_began_does_not_run(
    archive: Archive, state: BulkState
) -> None:
    order = await a_stored_bulk_send(archive, ["a@example.com"])
    assert await move(archive, order.bulk_id, state)
    async with archive.writing() as connection:
        assert await bulks.begin_bulk(connection, order.bulk_id, now=NOW, deadline=LATER) == state


async def test_the_first_reason_of_a_cancel_is_kept(archive: Archive) -> None:
    bulk_id = await begun(archive, ["a@example.com"])
    assert await move(archive, bulk_id, BulkState.CANCELLING, reason="wrong list")
    assert await move(archive, bulk_id, BulkState.CANCELLING, reason="cancelled")
    async with archive.writing() as connection:
        await bulks.finish_bulk(connection, bulk_id, BulkState.CANCELLED, now=NOW, reason="cancelled")
    async with archive.reading() as connection:
        assert (await reads.bulk_send(connection, bulk_id)).reason == "wrong list"


async def test_a_cancel_whose_batches_end_before_the_word_arrives_ends_cancelled(archive: Archive) -> None:
    bulk_id = await begun(archive, ["a@example.com"])
    assert await move(archive, bulk_id, BulkState.CANCELLING, reason="wrong list")
    async with archive.writing() as connection:
        await bulks.finish_bulk(connection, bulk_id, BulkState.COMPLETED, now=NOW)
        assert await bulks.bulk_state(connection, bulk_id) is BulkState.CANCELLED


@pytest.mark.parametrize("starting_again", [True, False])
async def test_what_is_being_started_again_is_no_leftover(archive: Archive, starting_again: bool) -> None:
    """A send was about to be closed: its open messages would have ended failed."""
    order = await a_stored_bulk_send(archive, ["a@example.com"])
    async with archive.writing() as connection:
        if starting_again:
            await begin_round(connection, order.bulk_id, NOW)
        settled = await bulks.settle_some(
            connection, order.bulk_id, 1, 1, MessageState.FAILED, now=NOW, shard=0, batches=1
        )
    assert settled is not starting_again
    async with archive.reading() as connection:
        state = (await reads.message(connection, order.bulk_id, 1)).state
    assert state is (MessageState.QUEUED if starting_again else MessageState.FAILED)
