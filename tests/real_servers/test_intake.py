"""The archive's intake under concurrency, on both databases."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from postwerk.archive import reads
from postwerk.archive.engine import Archive
from postwerk.archive.ids import new_bulk_id
from postwerk.archive.intake import (
    NewBulkSend,
    add_recipients,
    begin_cancel,
    cancel_unstarted,
    open_bulk_send,
    queue_bulk_send,
    store_bulk_send,
)
from postwerk.contracts.content import Content, Mailbox
from postwerk.contracts.options import BulkOptions
from postwerk.contracts.states import BulkState
from postwerk.errors import Conflict
from postwerk.rules.recipients import NewRecipient, new_recipient

NOW = datetime(2027, 1, 1, tzinfo=UTC)


def some_recipients(first: int, count: int) -> list[NewRecipient]:
    return [new_recipient(f"user{n}@example.com") for n in range(first, first + count)]


async def an_open_send(archive: Archive) -> str:
    new = NewBulkSend(
        id=new_bulk_id(),
        name="",
        content=Content(sender=Mailbox(email="a@example.com"), subject="s", text="t"),
        options=BulkOptions(),
        metadata=None,
        created_at=NOW,
    )
    async with archive.writing() as connection:
        await store_bulk_send(connection, new, BulkState.STORING)
        await open_bulk_send(connection, new.id)
    return new.id


async def accounting(archive: Archive, bulk_id: str) -> dict[str, object]:
    async with archive.reading() as connection:
        found = await reads.accounting(connection, bulk_id)
    assert found["adds_up"], found
    return found


def test_ids_sort_by_the_time_they_were_made() -> None:
    ids = [new_bulk_id() for _ in range(1000)]
    assert ids == sorted(ids)
    assert {len(one) for one in ids} == {31}


async def test_parts_written_at_the_same_time_overlap_without_loss_or_double(archive: Archive) -> None:
    bulk_id = await an_open_send(archive)

    async def part(number: int) -> int:
        taken = 0
        for start in range(0, 1000, 100):
            async with archive.writing() as connection:
                added = await add_recipients(connection, bulk_id, some_recipients(number * 500 + start, 100))
            taken += added.accepted
        return taken

    taken = await asyncio.gather(*(part(number) for number in range(6)))

    assert sum(taken) == 3500
    found = await accounting(archive, bulk_id)
    assert found["accepted"] == 3500
    async with archive.reading() as connection:
        send = await reads.bulk_send(connection, bulk_id)
    assert send.duplicates == 2500


async def test_no_part_slips_in_after_the_start(archive: Archive) -> None:
    bulk_id = await an_open_send(archive)
    accepted = 0

    async def parts() -> None:
        nonlocal accepted
        for start in range(0, 500_000, 50):
            async with archive.writing() as connection:
                accepted += (await add_recipients(connection, bulk_id, some_recipients(start, 50))).accepted

    async def start() -> None:
        while accepted < 500:
            await asyncio.sleep(0.001)
        async with archive.writing() as connection:
            assert await queue_bulk_send(connection, bulk_id, NOW, BulkOptions())

    with pytest.raises(Conflict):
        await asyncio.gather(parts(), start())
    await asyncio.sleep(0)

    found = await accounting(archive, bulk_id)
    assert (found["accepted"], found["state"]) == (accepted, "queued")


async def test_a_rolled_back_chunk_leaves_no_trace(archive: Archive) -> None:
    bulk_id = await an_open_send(archive)

    async def broken_off() -> None:
        async with archive.writing() as connection:
            await add_recipients(connection, bulk_id, some_recipients(0, 100), rejected=3)
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError):
        await broken_off()

    assert (await accounting(archive, bulk_id))["accepted"] == 0


async def test_cancelling_goes_on_where_it_was_interrupted(archive: Archive) -> None:
    bulk_id = await an_open_send(archive)
    async with archive.writing() as connection:
        await add_recipients(connection, bulk_id, some_recipients(0, 5000))
    async with archive.writing() as connection:
        assert await begin_cancel(connection, bulk_id, "test") is BulkState.CANCELLING
    async with archive.writing() as connection:
        after = await cancel_unstarted(connection, bulk_id, NOW)
    assert (await accounting(archive, bulk_id))["open"] == 3000

    after = 0  # the process died and forgot
    while after is not None:
        async with archive.writing() as connection:
            after = await cancel_unstarted(connection, bulk_id, NOW, after)

    found = await accounting(archive, bulk_id)
    assert (found["state"], found["counted"]) == ("cancelled", {"cancelled": 5000})


async def test_the_same_content_is_stored_once(archive: Archive) -> None:
    await an_open_send(archive)
    await an_open_send(archive)

    async with archive.reading() as connection:
        assert (await connection.exec_driver_sql("SELECT count(*) FROM content")).scalar_one() == 1
