"""Making sends of a schedule's model: once for each time, whatever happens in between, on both databases."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from postwerk.archive import firing, reads, schedules
from postwerk.archive.engine import Archive
from postwerk.archive.ids import bulk_id_at, new_bulk_id, new_id
from postwerk.archive.intake import (
    NewBulkSend,
    add_recipients,
    erase_storing,
    open_bulk_send,
    store_bulk_send,
)
from postwerk.archive.queue_filter import sends_in_question
from postwerk.archive.queues import open_by_relay
from postwerk.archive.schedules import Schedule
from postwerk.contracts.options import BulkOptions
from postwerk.contracts.queue import QueueFilter
from postwerk.contracts.schedules import Firing, ModelCopy, ScheduleSpec, ScheduleState
from postwerk.contracts.states import BulkState, SendKind
from postwerk.errors import NotFound
from tests.support.seeding import a_content, a_recipient

NOW = datetime(2026, 11, 22, 8, tzinfo=UTC)
AT = NOW + timedelta(days=1)


async def a_model(archive: Archive, recipients: int, subject: str = "Hello") -> str:
    new = NewBulkSend(
        new_bulk_id(), "weekly", a_content(subject=subject), BulkOptions(rate="5/s"), {"shop": 1}, NOW,
        kind=SendKind.MODEL, owner="key_1",
    )  # fmt: skip
    async with archive.writing() as connection:
        await store_bulk_send(connection, new, BulkState.STORING)
        addresses = [f"ok+{subject}{n}@example.com" for n in range(recipients)]
        await add_recipients(connection, new.id, [a_recipient(one) for one in addresses])
        await open_bulk_send(connection, new.id)
    return new.id


async def a_schedule(archive: Archive, recipients: int = 3) -> Schedule:
    made = Schedule(
        new_id("sch"), "weekly", "key_1", ScheduleSpec(cron="0 8 * * mon"),
        await a_model(archive, recipients), ScheduleState.ACTIVE, "", NOW, None, None, "", 1, 0,
    )  # fmt: skip
    async with archive.writing() as connection:
        await schedules.create_schedule(connection, made)
    return made


async def copy_of(archive: Archive, found: Schedule, *, by_hand: bool = False) -> ModelCopy | None:
    async with archive.reading() as connection:
        return await firing.model_to_copy(connection, Firing(schedule_id=found.id, at=AT, by_hand=by_hand))


async def a_copy(archive: Archive, found: Schedule) -> ModelCopy:
    copy = await copy_of(archive, found)
    assert copy is not None
    return copy


async def adds_up(archive: Archive, bulk_id: str, accepted: int) -> None:
    async with archive.reading() as connection:
        accounting = await reads.accounting(connection, bulk_id)
    assert accounting["adds_up"], accounting
    assert (accounting["accepted"], accounting["stored"]) == (accepted, {"queued": accepted})


async def test_a_send_is_made_of_the_model(archive: Archive) -> None:
    made = await a_schedule(archive)
    copy = await a_copy(archive, made)
    run = await firing.copy_model(archive, copy, AT)
    assert (run.order.bulk_id, run.order.messages, run.name) == (copy.bulk_id, 3, "weekly")
    async with archive.reading() as connection:
        send = await reads.bulk_send(connection, copy.bulk_id)
        owner = await connection.execute(
            text("SELECT owner, kind FROM bulk_send WHERE id = :id"), {"id": copy.bulk_id}
        )
        after = await schedules.schedule(connection, made.id)
    assert (send.state, send.accepted_at, send.options.rate) == (BulkState.QUEUED, AT, "5/s")
    assert send.metadata == {"shop": 1}
    assert tuple(owner.one()) == ("key_1", "bulk")
    assert (after.last_at, after.last_bulk_id) == (AT, copy.bulk_id)
    await adds_up(archive, copy.bulk_id, 3)


async def test_asked_again_it_makes_no_second_one(archive: Archive) -> None:
    made = await a_schedule(archive, recipients=5000)
    copy = await a_copy(archive, made)
    runs = await asyncio.gather(*[firing.copy_model(archive, copy, AT) for _ in range(3)])
    runs.append(await firing.copy_model(archive, await a_copy(archive, made), AT))
    assert {run.order.bulk_id for run in runs} == {copy.bulk_id}
    assert {run.order.messages for run in runs} == {5000}
    await adds_up(archive, copy.bulk_id, 5000)


async def test_broken_off_it_goes_on_where_it_was(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the model it began with, whatever the schedule sends by now."""
    made = await a_schedule(archive, recipients=5000)
    copy = await a_copy(archive, made)
    whole = firing._copy_some

    async def dies(archive: Archive, copy: ModelCopy, first: int, last: int) -> None:
        if first > 1:
            raise ConnectionError
        await whole(archive, copy, first, last)

    monkeypatch.setattr(firing, "_copy_some", dies)
    with pytest.raises(ConnectionError):
        await firing.copy_model(archive, copy, AT)
    monkeypatch.setattr(firing, "_copy_some", whole)
    other = await a_model(archive, 7, subject="Other")
    async with archive.writing() as connection:
        await schedules.change_schedule(connection, made.id, NOW, model_id=other)
    await firing.copy_model(archive, copy, AT)
    await adds_up(archive, copy.bulk_id, 5000)


async def test_paused_it_makes_none_but_by_hand(archive: Archive) -> None:
    made = await a_schedule(archive)
    async with archive.writing() as connection:
        await schedules.change_schedule(connection, made.id, NOW, state=ScheduleState.PAUSED.value)
    assert await copy_of(archive, made) is None
    assert await copy_of(archive, made, by_hand=True) is not None
    async with archive.writing() as connection:
        await schedules.change_schedule(connection, made.id, NOW, state=ScheduleState.DELETED.value)
    assert await copy_of(archive, made, by_hand=True) is None


async def test_a_model_is_in_no_list_and_no_queue(archive: Archive) -> None:
    made = await a_schedule(archive)
    async with archive.reading() as connection:
        assert await reads.bulk_sends(connection) == []
        assert await reads.bulk_sends_named(connection, [made.model_id]) == {}
        assert await reads.bulk_sends_not_started(connection, NOW + timedelta(days=9)) == []
        assert await sends_in_question(connection, QueueFilter(all=True), AT) == []
        assert not any(lanes.total() for lanes in (await open_by_relay(connection)).values())
        with pytest.raises(NotFound):
            await reads.bulk_send(connection, made.model_id)


async def test_a_model_out_of_use_is_erased_an_hour_later(archive: Archive) -> None:
    made = await a_schedule(archive)
    copy = await a_copy(archive, made)
    async with archive.writing() as connection:
        await schedules.change_schedule(connection, made.id, AT, state=ScheduleState.DELETED.value)
    hour = timedelta(hours=1)
    async with archive.reading() as connection:
        assert await schedules.unused_models(connection, AT) == []
        assert await schedules.unused_models(connection, AT + hour) == [made.model_id]
    async with archive.writing() as connection:
        await schedules.give_up_model(connection, made.model_id)
    more = True
    while more:
        async with archive.writing() as connection:
            more = await erase_storing(connection, made.model_id)
    with pytest.raises(NotFound):
        await firing.copy_model(archive, copy, AT)


async def test_temporal_is_told_of_the_last_change(archive: Archive) -> None:
    made = await a_schedule(archive)
    async with archive.writing() as connection:
        assert await schedules.schedules_to_tell(connection, AT, all_of_them=False) == [made.id]
        assert await schedules.schedules_to_tell(connection, NOW, all_of_them=False) == []
        after = await schedules.change_schedule(connection, made.id, NOW, name="other")
        assert not await schedules.note_told(connection, made)  # it was told of something older
        assert await schedules.note_told(connection, after)
        assert await schedules.schedules_to_tell(connection, AT, all_of_them=False) == []
        assert await schedules.schedules_to_tell(connection, AT, all_of_them=True) == [made.id]


def test_the_id_says_when_and_of_which_schedule() -> None:
    ids = [bulk_id_at(AT + timedelta(seconds=n), name) for n in range(3) for name in ("sch_1", "sch_2")]
    assert len(set(ids)) == 6
    assert sorted(ids)[:2] == sorted(ids[:2])
    assert bulk_id_at(AT, "sch_1") == ids[0]
    assert len(ids[0]) == len(new_bulk_id())
