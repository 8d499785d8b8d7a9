"""Each event is there if, and only if, the transaction of what it tells of was committed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from postwerk.archive import bulks, delivery, lanes
from postwerk.archive.columns import from_microseconds, to_microseconds
from postwerk.archive.engine import Archive
from postwerk.archive.journal import Mark, Outcome, write_entries
from postwerk.archive.lanes import Refusal
from postwerk.archive.operation_runs import carry_out_page
from postwerk.archive.operations import next_page, store_operation
from postwerk.archive.outbox_writing import Still, still_since, write_stalled, write_threshold
from postwerk.archive.suppressions import (
    NewSuppression,
    add_suppressions,
    remove_suppression,
    settle_suppressed,
)
from postwerk.archive.unsubscribing import unsubscribe
from postwerk.contracts.queue import QueueFilter, Verb
from postwerk.contracts.smtp import Exchange, Stage, Trouble
from postwerk.contracts.states import BulkState, MessageState, SendKind
from postwerk.rules.cooling import Cooling
from postwerk.rules.tokens import TokenOf
from tests.real_servers.test_inbound import World
from tests.real_servers.test_journal import a_mark, an_outcome
from tests.real_servers.test_operations import an_operation
from tests.support.events import all_events, types_of
from tests.support.returned import a_complaint, a_dsn
from tests.support.seeding import a_stored_bulk_send

NOW = datetime(2027, 1, 4, 12, tzinfo=UTC)
LATER = NOW + timedelta(days=5)
ADA, BOB = "ada@example.com", "bob@gmx.de"


async def journal(archive: Archive, *entries: Mark | Outcome) -> None:
    for entry in entries:
        await archive.at_once(lambda connection, entry=entry: write_entries(connection, [entry], 1))  # type: ignore[misc]


async def tried(archive: Archive, bulk_id: str, attempt: int = 1, **outcome: object) -> None:
    """One attempt of message 1, marked and ended."""
    was = MessageState.QUEUED if attempt == 1 else MessageState.DEFERRED
    await journal(archive, a_mark(bulk_id, 1, attempt, was), an_outcome(bulk_id, 1, attempt, **outcome))


def greylisted(**changes: object) -> dict[str, Any]:
    return {
        "state": MessageState.DEFERRED,
        "outcome": "deferred",
        "reason": "greylisted",
        "next_attempt_at": 9_000_000,
        "stage": "rcpt",
        "code": 451,
        "enhanced": "4.7.1",
        "reply": "Greylisted",
    } | changes


async def only(archive: Archive, kind: str) -> dict[str, Any]:
    """The data of the one event of this type."""
    (event,) = [event for event in await all_events(archive) if event.type == kind]
    return event.data


@pytest.mark.parametrize("state", ["delivered", "bounced", "failed", "unknown"])
async def test_the_end_of_an_attempt(archive: Archive, state: str) -> None:
    bulk_id = (await a_stored_bulk_send(archive, [ADA])).bulk_id
    await tried(archive, bulk_id, state=MessageState(state), outcome=state, reason="why", at=5_000_001)
    event = (await all_events(archive))[-1]
    assert event.type == f"message.{state}"
    assert event.timestamp == from_microseconds(5_000_001)
    assert event.data == {
        "bulk_send_id": bulk_id,
        "message_id": f"{bulk_id}.1",
        "kind": "bulk",
        "to": ADA,
        "name": "",
        "lane": "other",
        "reason": "why",
        "attempt": 1,
        "reply": {
            "code": 250,
            "enhanced": "2.0.0",
            "text": "2.0.0 taken",
            "stage": "dot",
            "host": "mail.example.com",
            "tls": "TLSv1.3",
        },
    }


async def test_each_deferral_and_whether_it_is_for_the_same_reason(archive: Archive) -> None:
    bulk_id = (await a_stored_bulk_send(archive, [ADA])).bulk_id
    await tried(archive, bulk_id, 1, **greylisted())
    await tried(archive, bulk_id, 2, **greylisted())
    await tried(archive, bulk_id, 3, **greylisted(reason="mailbox_full"), possible_duplicate=True)
    told = [event.data for event in await all_events(archive) if event.type == "message.deferred"]
    assert [(data["attempt"], data["repeated"], data["reason"]) for data in told] == [
        (1, False, "greylisted"), (2, True, "greylisted"), (3, False, "mailbox_full"),
    ]  # fmt: skip
    assert [data.get("possible_duplicate") for data in told] == [None, None, True]
    assert told[0]["next_attempt_at"] == from_microseconds(9_000_000)
    assert told[0]["reply"]["code"] == 451


async def test_no_session_is_a_deferral_without_an_attempt(archive: Archive) -> None:
    order = await a_stored_bulk_send(archive, [ADA])
    assert order.batches is not None
    refused = Exchange(Stage.CONNECT, trouble=Trouble.REFUSED, detail="connection refused")
    for _ in range(2):
        async with archive.writing() as connection:
            await delivery.note_unreachable(
                connection, order.batches[0], refused, "no_connection", now=NOW, shard=1
            )
    told = await only(archive, "message.deferred")
    assert "attempt" not in told
    assert (told["reason"], told["repeated"]) == ("no_connection", False)


async def test_what_ends_without_an_attempt(archive: Archive) -> None:
    order = await a_stored_bulk_send(archive, [ADA, BOB])
    assert order.batches is not None
    await tried(archive, order.bulk_id, **greylisted())
    for batch in order.batches:
        state = MessageState.EXPIRED if batch.lane == "other" else MessageState.CANCELLED
        async with archive.writing() as connection:
            await delivery.settle_batch(connection, batch, state, NOW, shard=1)
    expired, cancelled = await only(archive, "message.expired"), await only(archive, "message.cancelled")
    assert (expired["to"], expired["reason"], expired["reply"]["text"]) == (ADA, "greylisted", "Greylisted")
    assert cancelled["to"] == BOB
    assert cancelled.keys() & {"attempt", "reply", "reason"} == set()


async def test_who_was_put_on_the_list_is_suppressed(archive: Archive) -> None:
    bulk_id = (await a_stored_bulk_send(archive, [ADA])).bulk_id
    async with archive.writing() as connection:
        await add_suppressions(connection, [NewSuppression(ADA, "manual")], source="api", now=NOW)
        await settle_suppressed(connection, bulk_id, [1], NOW, 1)
    assert (await only(archive, "message.suppressed"))["reason"] == "manual"


async def test_what_an_operator_releases_is_not_deferred_again(archive: Archive) -> None:
    bulk_id = (await a_stored_bulk_send(archive, [ADA])).bulk_id
    await tried(archive, bulk_id, **greylisted())
    before = await types_of(archive)
    for verb in (Verb.HOLD, Verb.RELEASE):
        op = an_operation(verb, QueueFilter(bulk=(bulk_id,)))
        async with archive.writing() as connection:
            await store_operation(connection, op)
            page = await next_page(connection, op)
            assert (await carry_out_page(connection, op, page, now=NOW, shard=1)).changed == 1
    assert await types_of(archive) == before


async def test_a_late_bounce_and_a_complaint(archive: Archive) -> None:
    world = World(archive)
    await world.begin()
    await world.came(a_dsn())
    await world.came(a_complaint(), world.token(2))
    await world.processor.close()
    bounced = await only(archive, "message.bounced")
    assert bounced["late"] is True
    assert (bounced["attempt"], bounced["reply"]["stage"]) == (2, "dsn")
    assert (await only(archive, "message.complained"))["message_id"] == f"{world.bulk_id}.2"


async def test_who_unsubscribes_is_told_once(archive: Archive) -> None:
    bulk_id = (await a_stored_bulk_send(archive, [ADA])).bulk_id
    for _ in range(2):
        async with archive.writing() as connection:
            await unsubscribe(connection, ADA, TokenOf(bulk_id, 1), NOW)
    assert (await only(archive, "message.unsubscribed"))["to"] == ADA
    created = await only(archive, "suppression.created")
    assert created == {
        "address": ADA, "reason": "unsubscribe", "scope": "bulk", "source": "recipient",
        "bulk_send_id": bulk_id,
    }  # fmt: skip


async def test_the_life_of_a_bulk_send(archive: Archive) -> None:
    bulk_id = (await a_stored_bulk_send(archive, [ADA, BOB])).bulk_id

    async def move(state: BulkState, reason: str = "") -> None:
        async with archive.writing() as connection:
            assert await bulks.move_bulk(connection, bulk_id, state, now=NOW, reason=reason)

    async with archive.writing() as connection:
        await bulks.begin_bulk(connection, bulk_id, now=NOW, deadline=LATER)
    await move(BulkState.PAUSED, "wrong price")
    await move(BulkState.PAUSED, "still wrong")
    await move(BulkState.RUNNING)
    async with archive.writing() as connection:
        await bulks.begin_bulk(connection, bulk_id, now=NOW, deadline=LATER)
        await bulks.settle_some(connection, bulk_id, 1, 2, MessageState.EXPIRED, now=NOW, shard=1)
        await bulks.finish_bulk(connection, bulk_id, BulkState.COMPLETED, now=NOW)
    told = [event for event in await all_events(archive) if event.type.startswith("bulk_send.")]
    assert [event.type.partition(".")[2] for event in told] == [
        "accepted", "started", "paused", "resumed", "completed",
    ]  # fmt: skip
    assert [event.data["counts"] for event in told] == [{"queued": 2}] * 4 + [{"expired": 2}]
    assert [event.data["state"] for event in told] == [
        "queued", "running", "paused", "running", "completed",
    ]  # fmt: skip
    assert told[2].data["reason"] == "wrong price"
    assert told[2].data["name"] == "test"
    assert told[4].timestamp == NOW


@pytest.mark.parametrize("state", [BulkState.CANCELLED, BulkState.FAILED])
async def test_a_bulk_send_that_ends_otherwise(archive: Archive, state: BulkState) -> None:
    bulk_id = (await a_stored_bulk_send(archive, [ADA])).bulk_id
    async with archive.writing() as connection:
        await bulks.finish_bulk(connection, bulk_id, state, now=NOW, reason="enough")
    assert (await only(archive, f"bulk_send.{state}"))["reason"] == "enough"


async def test_a_single_mail_tells_by_its_message_alone(archive: Archive) -> None:
    for kind in (SendKind.TEST, SendKind.NOTICE, SendKind.MESSAGE):
        bulk_id = (await a_stored_bulk_send(archive, [ADA], kind=kind)).bulk_id
        await tried(archive, bulk_id)
    told = await all_events(archive)
    assert [(event.type, event.data["kind"]) for event in told] == [
        ("message.delivered", "test"), ("message.delivered", "notice"), ("message.delivered", "message"),
    ]  # fmt: skip


async def test_a_threshold_is_told_once_until_the_send_is_released(archive: Archive) -> None:
    bulk_id = (await a_stored_bulk_send(archive, [ADA])).bulk_id

    async def cross() -> bool:
        async with archive.writing() as connection:
            return await write_threshold(connection, bulk_id, "auto_pause", "7 of 10 bounced", NOW)

    assert [await cross(), await cross()] == [True, False]
    async with archive.writing() as connection:
        await bulks.move_bulk(connection, bulk_id, BulkState.PAUSED, now=NOW)
    assert not await cross()
    async with archive.writing() as connection:
        await bulks.move_bulk(connection, bulk_id, BulkState.RUNNING, now=NOW)
    assert await cross()
    told = [event.data for event in await all_events(archive) if event.type == "bulk_send.threshold"]
    assert [(data["threshold"], data["reason"]) for data in told] == [("auto_pause", "7 of 10 bounced")] * 2


async def test_a_stall_is_told_once_until_something_moves(archive: Archive) -> None:
    bulk_id = (await a_stored_bulk_send(archive, [ADA])).bulk_id
    soon = datetime.now(UTC) + timedelta(hours=1)

    async def stalls() -> list[bool]:
        async with archive.writing() as connection:
            found = await still_since(connection, soon)
            return [await write_stalled(connection, one, "no_worker", "none runs", NOW) for one in found]

    assert await stalls() == [True]
    assert await stalls() == []
    await tried(archive, bulk_id, **greylisted(at=to_microseconds(NOW)))
    async with archive.writing() as connection:
        assert not await write_stalled(connection, Still(bulk_id, NOW - timedelta(1)), "", "", soon)
    told = await only(archive, "bulk_send.stalled")
    assert (told["waits_for"], told["reason"], told["counts"]) == ("no_worker", "none runs", {"queued": 1})


async def test_each_rest_of_a_lane_and_its_recovery(archive: Archive) -> None:
    refused = Refusal("421 4.7.28 unusual rate", "rate_limited")
    async with archive.writing() as connection:
        for second in range(3):
            now = NOW + timedelta(seconds=second)
            await lanes.rate_refused(connection, "r", "gmail.com", refused, Cooling(), now)
        state = await lanes.rate_refused(
            connection, "r", "gmail.com", refused, Cooling(), NOW + timedelta(minutes=1)
        )
        while state.slow_interval is not None:
            state = await lanes.went_through(connection, "r", "gmail.com", NOW + timedelta(hours=1))
    told = await all_events(archive)
    assert [event.type for event in told] == ["lane.cooling", "lane.cooling", "lane.recovered"]
    assert told[0].timestamp == NOW
    assert told[0].data == {
        "relay": "r", "lane": "gmail.com", "reason": "rate_limited", "until": NOW + timedelta(minutes=1),
        "failures": 1,
    }  # fmt: skip
    assert told[2].data == {"relay": "r", "lane": "gmail.com", "reason": "rate_limited", "failures": 0}


async def test_a_relay_without_sessions_and_a_rest_by_hand(archive: Archive) -> None:
    refused = Refusal("connection refused", "no_connection")
    async with archive.writing() as connection:
        await lanes.session_failed(connection, "r", refused, Cooling(), NOW, our_fault=False)
        await lanes.session_restored(connection, "r")
        for until in (NOW + timedelta(hours=1), None):
            await lanes.cool_by_hand(
                connection, "r", "gmx.de", until=until, by="ada", reason="they ask us to", now=NOW
            )
    told = [(event.type.partition(".")[2], event.data["lane"]) for event in await all_events(archive)]
    assert told == [("cooling", ""), ("recovered", ""), ("cooling", "gmx.de"), ("recovered", "gmx.de")]


async def test_the_suppression_list(archive: Archive) -> None:
    async with archive.writing() as connection:
        for reason in ("unsubscribe", "unsubscribe", "manual"):
            await add_suppressions(connection, [NewSuppression(ADA, reason)], source="api", now=NOW)
        await remove_suppression(connection, ADA)
    told = [(event.type, event.data["reason"], event.data["scope"]) for event in await all_events(archive)]
    assert told == [
        ("suppression.created", "unsubscribe", "bulk"),
        ("suppression.created", "manual", "all"),
        ("suppression.deleted", "manual", "all"),
    ]


async def test_what_is_rolled_back_has_not_happened(archive: Archive) -> None:
    bulk_id = (await a_stored_bulk_send(archive, [ADA])).bulk_id
    before = await types_of(archive)

    async with archive.engine.connect() as connection:
        await connection.execution_options(writing=True)
        await connection.run_sync(write_entries, [a_mark(bulk_id, 1)], 1)
        await connection.run_sync(write_entries, [an_outcome(bulk_id, 1)], 1)
        await add_suppressions(connection, [NewSuppression(ADA, "manual")], source="api", now=NOW)
        await bulks.finish_bulk(connection, bulk_id, BulkState.COMPLETED, now=NOW)
        seen = (await connection.execute(text("SELECT count(*) FROM event"))).scalar_one()
        await connection.rollback()
    assert seen == len(before) + 3
    assert await types_of(archive) == before
