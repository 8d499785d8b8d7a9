"""Changed options in the archive, and who waits by them; what a worker process learns of it."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from activities.parts import Contents, SendPermission
from postwerk.archive import bulks, changing, reads, rescheduling
from postwerk.archive.columns import to_microseconds
from postwerk.archive.delivery import BulkStanding, bulk_states
from postwerk.archive.engine import Archive
from postwerk.contracts.options import BulkOptions, RetrySchedule
from postwerk.contracts.states import BulkState
from postwerk.errors import Conflict, NotFound
from tests.support.seeding import a_stored_bulk_send

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
SOONER = RetrySchedule(waits=(MINUTE, 2 * MINUTE), jitter=0)
FULL = {"last_reason": "mailbox_full", "last_stage": "rcpt", "last_code": 452, "last_enhanced": "4.2.2"}


async def a_running_send(archive: Archive, count: int = 1, **options: Any) -> str:
    order = await a_stored_bulk_send(archive, [f"a{n}@mail.example" for n in range(count)], **options)
    async with archive.writing() as connection:
        deadline = NOW + timedelta(days=5)
        await bulks.begin_bulk(connection, order.bulk_id, now=NOW, deadline=deadline)
    return order.bulk_id


async def refuse(archive: Archive, bulk_id: str, seqs: str = "seq > 0", **changes: Any) -> None:
    """Refused just now, and waiting for an hour."""
    values = FULL | {
        "state": "deferred",
        "attempts": 1,
        "deferrals": 1,
        "changed_at": to_microseconds(NOW),
        "next_attempt_at": to_microseconds(NOW + 60 * MINUTE),
        "last_text": "mailbox full",
    }
    values |= changes
    sets = ", ".join(f"{name} = :{name}" for name in values)
    async with archive.writing() as connection:
        statement = text(f"UPDATE message SET {sets} WHERE bulk_id = :bulk_id AND {seqs}")
        await connection.execute(statement, values | {"bulk_id": bulk_id})


async def next_of(archive: Archive, bulk_id: str) -> dict[int, timedelta]:
    """By seq: how long after now each message is tried again."""
    async with archive.reading() as connection:
        found = await reads.messages(connection, bulk_id, reads.MessageFilter(), limit=10_000)
    return {one.seq: one.next_attempt_at - NOW for one in found if one.next_attempt_at}


async def change(archive: Archive, bulk_id: str, options: BulkOptions) -> None:
    async with archive.writing() as connection:
        await changing.bulk_send_to_change(connection, bulk_id)
        await changing.change_options(connection, bulk_id, options)


# Options


async def test_options_are_written_and_their_changes_counted(archive: Archive) -> None:
    bulk_id = await a_running_send(archive, rate="5/s")
    await change(archive, bulk_id, BulkOptions(rate="6/s", relay="backup"))
    await change(archive, bulk_id, BulkOptions(rate="7/s"))
    async with archive.writing() as connection:
        await changing.rename(connection, bulk_id, "autumn")
    async with archive.reading() as connection:
        send = await reads.bulk_send(connection, bulk_id)
        standing = (await bulk_states(connection, [bulk_id]))[bulk_id]
    assert (send.options, send.name) == (BulkOptions(rate="7/s"), "autumn")
    assert standing.changes == 2


@pytest.mark.parametrize("state", ["cancelling", "cancelled", "completed", "failed"])
async def test_what_has_ended_is_changed_no_more(archive: Archive, state: str) -> None:
    bulk_id = await a_running_send(archive)
    async with archive.writing() as connection:
        await connection.execute(text("UPDATE bulk_send SET state = :state"), {"state": state})
        with pytest.raises(Conflict, match=state):
            await changing.bulk_send_to_change(connection, bulk_id)
        with pytest.raises(NotFound):
            await changing.bulk_send_to_change(connection, "bulk_x")


# What a worker learns


async def test_a_worker_goes_by_new_options_within_a_second_and_keeps_the_content(archive: Archive) -> None:
    bulk_id = await a_running_send(archive, rate="5/s")
    contents = Contents(archive)
    permission = SendPermission(archive, contents.note_changes)
    assert await permission.may_send(bulk_id)
    before = await contents.of(bulk_id)
    assert not contents.is_outdated(bulk_id, before)

    await change(archive, bulk_id, BulkOptions(rate="6/s"))
    changed = time.monotonic()
    while not contents.is_outdated(bulk_id, before):
        assert await permission.may_send(bulk_id)
        assert time.monotonic() - changed < 1.5
    after = await contents.of(bulk_id)
    assert (after.options.rate, before.options.rate) == ("6/s", "5/s")
    assert after.composer is before.composer
    assert not contents.is_outdated(bulk_id, after)
    assert contents.latest(bulk_id, before) is after


async def test_a_look_older_than_the_options_makes_nobody_load_them_again(archive: Archive) -> None:
    bulk_id = await a_running_send(archive)
    contents = Contents(archive)
    permission = SendPermission(archive, contents.note_changes)
    await permission.may_send(bulk_id)
    await change(archive, bulk_id, BulkOptions(rate="6/s"))
    bulk = await contents.of(bulk_id)  # first used after the look
    assert bulk.options.rate == "6/s"
    assert not contents.is_outdated(bulk_id, bulk)


# Who waits already


async def test_who_waits_by_the_schedule_waits_by_the_new_one(archive: Archive) -> None:
    bulk_id = await a_running_send(archive, 6)
    await refuse(archive, bulk_id)
    await refuse(archive, bulk_id, "seq = 2", deferrals=2, attempts=2)
    await refuse(archive, bulk_id, "seq = 3", last_text="mailbox full, try again in 59 minutes")
    await refuse(archive, bulk_id, "seq = 4", last_reason="greylisted")
    await refuse(archive, bulk_id, "seq = 5", next_attempt_at=to_microseconds(NOW - MINUTE))  # due by hand
    await refuse(archive, bulk_id, "seq = 6", state="delivered")
    assert await rescheduling.reschedule(archive, bulk_id, SOONER, NOW) == 2
    hour = 60 * MINUTE
    assert await next_of(archive, bulk_id) == {
        1: MINUTE,
        2: 2 * MINUTE,
        3: hour,
        4: hour,
        5: -MINUTE,
        6: hour,
    }
    assert await rescheduling.reschedule(archive, bulk_id, SOONER, NOW) == 0


async def test_a_longer_schedule_stops_before_the_deadline(archive: Archive) -> None:
    bulk_id = await a_running_send(archive, 2)
    await refuse(archive, bulk_id)
    await refuse(archive, bulk_id, "seq = 2", extra=30 * 60 * 1_000_000)  # its own ends half an hour later
    async with archive.writing() as connection:
        ends = {"deadline": to_microseconds(NOW + 61 * MINUTE)}
        await connection.execute(text("UPDATE bulk_send SET deadline = :deadline"), ends)
    later = RetrySchedule(waits=(timedelta(hours=3),))
    assert await rescheduling.reschedule(archive, bulk_id, later, NOW) == 2
    found = await next_of(archive, bulk_id)
    assert found == {1: 61 * MINUTE - timedelta(seconds=5), 2: 91 * MINUTE - timedelta(seconds=5)}


async def test_many_are_moved_in_commits_of_two_thousand(archive: Archive) -> None:
    bulk_id = await a_running_send(archive, 4500)
    await refuse(archive, bulk_id)
    steps: list[rescheduling.Rescheduled] = []
    while not steps or steps[-1].last_seq is not None:
        after = steps[-1].last_seq or 0 if steps else 0
        steps.append(await rescheduling.reschedule_some(archive, bulk_id, SOONER, NOW, after=after))
    assert [step.moved for step in steps] == [2000, 2000, 500]
    assert set((await next_of(archive, bulk_id)).values()) == {MINUTE}


async def test_a_move_waits_for_nobody_who_was_tried_again_meanwhile(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    bulk_id = await a_running_send(archive, 3)
    await refuse(archive, bulk_id)
    read = rescheduling._moves

    async def tried_meanwhile() -> None:
        await refuse(archive, bulk_id, "seq = 1", attempts=2)
        due = to_microseconds(NOW)
        await refuse(archive, bulk_id, "seq = 2", next_attempt_at=due)

    moves = list(read(bulk_id, await waiting_rows(archive, bulk_id), SOONER, to_microseconds(NOW), None))
    monkeypatch.setattr(rescheduling, "_moves", lambda *_: moves)
    await tried_meanwhile()
    await rescheduling.reschedule_some(archive, bulk_id, SOONER, NOW, after=0)
    assert await next_of(archive, bulk_id) == {1: 60 * MINUTE, 2: timedelta(0), 3: MINUTE}


async def waiting_rows(archive: Archive, bulk_id: str) -> Any:
    async with archive.reading() as connection:
        where = {"bulk_id": bulk_id, "after": 0, "limit": 10}
        return (await connection.execute(rescheduling._WAITING, where)).all()


async def test_states_of_a_send_that_was_never_changed(archive: Archive) -> None:
    bulk_id = await a_running_send(archive)
    async with archive.reading() as connection:
        assert (await bulk_states(connection, [bulk_id]))[bulk_id] == BulkStanding(BulkState.RUNNING, 0)
