"""Reading the outbox on both databases: every event once, in order, whatever else is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from postwerk.archive import outbox
from postwerk.archive.engine import Archive
from postwerk.archive.outbox import START, Cursor, events_after, is_forgotten, newest
from postwerk.contracts.events import Event, EventType
from postwerk.errors import InvalidRequest
from tests.support.seeding import a_stored_bulk_send

NUMBERS = st.integers(0, 2**63 - 1)


@given(NUMBERS, NUMBERS, NUMBERS, NUMBERS)
def test_ids_sort_as_the_cursors_do(xid: int, number: int, other_xid: int, other: int) -> None:
    one, another = Cursor(xid, number), Cursor(other_xid, other)
    assert Cursor.parse(str(one)) == one
    assert (str(one) < str(another)) == (one < another)


@pytest.mark.parametrize("bad", ["", "evt_", "evt_" + "z" * 26, "bulk_" + "0" * 26, "evt_" + "0" * 25 + "U"])
def test_what_is_no_id_is_no_cursor(bad: str) -> None:
    with pytest.raises(InvalidRequest):
        Cursor.parse(bad)


async def write_events(archive: Archive, bulk_id: str, types: Sequence[str]) -> None:
    """One after the other, as of the messages 1, 2, ..."""
    async with archive.writing() as connection:
        await connection.execute(
            text("""
                INSERT INTO event (at, type, bulk_id, seq, repeated)
                VALUES (:at, :type, :bulk_id, :seq, :repeated)
            """),
            [
                {
                    "at": seq * 1_000_000,
                    "type": name,
                    "bulk_id": bulk_id,
                    "seq": seq,
                    "repeated": seq % 2 == 0,
                }
                for seq, name in enumerate(types, 1)
            ],
        )


async def all_after(connection: AsyncConnection, cursor: Cursor, limit: int, **wanted: object) -> list[Event]:
    found: list[Event] = []
    while True:
        page = await events_after(connection, cursor, limit=limit, **wanted)  # type: ignore[arg-type]
        found += page.events
        if page.reached == cursor:
            return found
        cursor = page.reached


async def forget_what_was_written(archive: Archive) -> None:
    async with archive.writing() as connection:
        await connection.execute(text("DELETE FROM event"))


async def test_reads_each_event_once_and_joins_what_it_is_about(archive: Archive) -> None:
    bulk_id = (await a_stored_bulk_send(archive, [f"ada{n}@example.com" for n in range(1, 8)])).bulk_id
    await forget_what_was_written(archive)
    await write_events(archive, bulk_id, [EventType.MESSAGE_DELIVERED] * 7)
    async with archive.reading() as connection:
        events = await all_after(connection, START, limit=3)
        last = await newest(connection)
    assert [event.data["to"] for event in events] == [f"ada{n}@example.com" for n in range(1, 8)]
    assert [event.id for event in events] == sorted(event.id for event in events)
    assert str(last) == events[-1].id
    assert events[1].timestamp == datetime(1970, 1, 1, 0, 0, 2, tzinfo=UTC)
    assert events[1].data["message_id"] == f"{bulk_id}.2"


async def test_filters_and_goes_on_behind_what_they_left_out(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "LOOK", 2)
    mine = (await a_stored_bulk_send(archive, [f"ada{n}@example.com" for n in range(1, 9)])).bulk_id
    other = (await a_stored_bulk_send(archive, ["bob@example.com"])).bulk_id
    await forget_what_was_written(archive)
    await write_events(archive, mine, [EventType.MESSAGE_DEFERRED] * 7 + [EventType.MESSAGE_BOUNCED])
    await write_events(archive, other, [EventType.MESSAGE_BOUNCED])
    async with archive.writing() as connection:
        await connection.execute(text("UPDATE bulk_send SET owner = 'key_1' WHERE id = :id"), {"id": mine})
    async with archive.reading() as connection:
        bounced = await all_after(connection, START, limit=5, types=[EventType.MESSAGE_BOUNCED])
        own = await all_after(connection, START, limit=5, owner="key_1")
        of_other = await all_after(connection, START, limit=5, bulk_id=other)
        first_refusals = await all_after(connection, START, limit=5, with_repeated=False, bulk_id=mine)
        nothing_yet = await events_after(connection, START, limit=5, types=[EventType.LANE_COOLING])
    assert [event.data["to"] for event in bounced] == ["ada8@example.com", "bob@example.com"]
    assert len(own) == 8
    assert [event.data["bulk_send_id"] for event in of_other] == [other]
    assert [event.data["repeated"] for event in first_refusals] == [False] * 4
    assert nothing_yet.events == []
    assert nothing_yet.reached > START


async def test_an_event_of_an_open_transaction_is_waited_for(archive: Archive) -> None:
    """Its number is smaller than that of one which is committed before it."""
    if archive.is_sqlite:
        pytest.skip("one writes at a time")
    insert = text("INSERT INTO event (at, type, name) VALUES (1, 'lane.cooling', :name)")
    async with archive.writing() as slow:
        await slow.execute(insert, {"name": "slow"})
        async with archive.writing() as quick:
            await quick.execute(insert, {"name": "quick"})
        async with archive.reading() as connection:
            before = await events_after(connection, START, limit=5)
    async with archive.reading() as connection:
        after = await all_after(connection, before.reached, limit=5)
    assert before.events == []
    assert [event.data["lane"] for event in after] == ["slow", "quick"]


async def test_a_cursor_before_what_is_kept_is_forgotten(archive: Archive) -> None:
    bulk_id = (await a_stored_bulk_send(archive, [f"ada{n}@example.com" for n in range(1, 4)])).bulk_id
    await forget_what_was_written(archive)
    await write_events(archive, bulk_id, [EventType.MESSAGE_DELIVERED] * 3)
    async with archive.reading() as connection:
        cursors = [Cursor.parse(event.id) for event in await all_after(connection, START, limit=3)]
    async with archive.writing() as connection:
        await connection.execute(text("DELETE FROM event WHERE seq = 1"))
    async with archive.reading() as connection:
        assert [await is_forgotten(connection, cursor) for cursor in [START, *cursors]] == [
            False, True, False, False,
        ]  # fmt: skip
