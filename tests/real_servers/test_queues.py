"""What waits where, counted and found without reading every message."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from postwerk.archive import lanes, pace, queues
from postwerk.archive.columns import to_microseconds
from postwerk.archive.engine import Archive
from postwerk.rules.pace import Limit, Rate
from tests.support.seeding import a_stored_bulk_send

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


async def a_send(archive: Archive, addresses: list[str]) -> str:
    """The id of a queued and planned bulk send to these addresses."""
    return (await a_stored_bulk_send(archive, addresses)).bulk_id


async def settle(archive: Archive, bulk_id: str, state: str, first: int, last: int) -> None:
    """Give messages a state, and the counters their sums."""
    async with archive.writing() as connection:
        await connection.execute(
            text("UPDATE message SET state = :state WHERE bulk_id = :id AND seq BETWEEN :first AND :last"),
            {"id": bulk_id, "state": state, "first": first, "last": last},
        )
        await connection.execute(text("DELETE FROM counter WHERE bulk_id = :id"), {"id": bulk_id})
        await connection.execute(
            text(
                "INSERT INTO counter (bulk_id, state, shard, n) SELECT bulk_id, state, 0, count(*) "
                "FROM message WHERE bulk_id = :id GROUP BY bulk_id, state"
            ),
            {"id": bulk_id},
        )


def to(domain: str, count: int) -> list[str]:
    return [f"u{n}@{domain}" for n in range(count)]


@pytest.mark.parametrize("finished", [0, 3, 25, 30])
async def test_open_messages_are_counted_by_lane(archive: Archive, finished: int) -> None:
    """Whichever side is the smaller one."""
    first = await a_send(archive, to("gmail.com", 20) + to("yahoo.com", 10))
    await a_send(archive, to("gmail.com", 5))
    await settle(archive, first, "delivered", 1, finished)

    async with archive.reading() as connection:
        found = (await queues.open_by_relay(connection))["default"]
    gmail, yahoo = 5 + max(20 - finished, 0), min(30 - finished, 10)
    assert found == Counter({"gmail.com": gmail, "yahoo.com": yahoo}) == +found


@pytest.mark.parametrize("last", [3, 30])
async def test_held_messages_are_open_ones(archive: Archive, last: int) -> None:
    first = await a_send(archive, to("gmail.com", 20) + to("yahoo.com", 10))
    await settle(archive, first, "delivered", 1, 15)
    await settle(archive, first, "held", 1, last)

    async with archive.reading() as connection:
        found = (await queues.open_by_relay(connection))["default"]
    assert found == Counter({"gmail.com": 5 + min(last, 15), "yahoo.com": 10})


async def test_what_is_ended_or_not_started_waits_in_no_lane(archive: Archive) -> None:
    ended = await a_send(archive, to("gmail.com", 3))
    still_open = await a_send(archive, to("gmail.com", 3))
    async with archive.writing() as connection:
        for bulk_id, state in ((ended, "cancelled"), (still_open, "open")):
            await connection.execute(
                text("UPDATE bulk_send SET state = :state WHERE id = :id"), {"id": bulk_id, "state": state}
            )
    async with archive.reading() as connection:
        assert await queues.open_by_relay(connection) == {}


async def test_before_it_is_planned_small_domains_count_as_the_lane_other(archive: Archive) -> None:
    await a_send(archive, to("gmail.com", 2) + to("big.example", 12) + to("small.example", 4))
    async with archive.writing() as connection:  # as it was before the plan gathered them
        await connection.execute(
            text("UPDATE message SET lane = 'small.example' WHERE lane = 'other'"),
        )
        await connection.execute(text("UPDATE bulk_send SET batches = NULL"))
    async with archive.reading() as connection:
        found = (await queues.open_by_relay(connection))["default"]
    assert found == Counter({"gmail.com": 2, "big.example": 12, "other": 4})


async def test_the_message_that_is_tried_next_says_why_it_was_deferred(archive: Archive) -> None:
    bulk_id = await a_send(archive, to("gmail.com", 9))
    await settle(archive, bulk_id, "deferred", 3, 8)
    async with archive.writing() as connection:
        await connection.execute(
            text(
                "UPDATE message SET next_attempt_at = :base + 1000 * (10 - seq), last_code = 450, "
                "last_text = '4.2.0 Greylisted' WHERE state = 'deferred'"
            ),
            {"base": to_microseconds(NOW)},
        )
    async with archive.reading() as connection:
        found = await queues.next_deferred(connection, bulk_id)
        assert await queues.next_deferred(connection, "bulk_none") is None
    soon = NOW + timedelta(milliseconds=2)
    assert found == queues.NextDeferred("gmail.com", soon, "450 4.2.0 Greylisted", "u7@gmail.com")


async def test_lanes_in_which_it_has_something_open(archive: Archive) -> None:
    bulk_id = await a_send(archive, to("gmail.com", 4) + to("yahoo.com", 4) + to("gmx.net", 4))
    await settle(archive, bulk_id, "delivered", 1, 8)
    await settle(archive, bulk_id, "deferred", 2, 2)
    async with archive.reading() as connection:
        asked = ["gmx.net", "yahoo.com", "web.de", "gmail.com"]
        assert await queues.lanes_with_open(connection, bulk_id, asked) == ["gmx.net", "gmail.com"]
        assert await queues.lanes_with_open(connection, bulk_id, []) == []


async def test_relays_are_known_by_what_is_remembered(archive: Archive) -> None:
    async with archive.writing() as connection:
        await lanes.report_use(connection, "b", "w", [lanes.LaneUse("gmail.com", 1, 1.0)], NOW)
        await lanes.cool_by_hand(connection, "a", "", until=NOW, by="ada", reason="trial", now=NOW)
    async with archive.reading() as connection:
        assert await queues.relays_known(connection) == ["a", "b"]


async def test_places_given_out_for_after_a_rest_are_void_when_it_ends(archive: Archive) -> None:
    """Else whoever is paced next would be sent behind the end of a rest that is over."""
    later = NOW + timedelta(hours=2)
    limit = Limit.of(lanes.lane_scope("r", "gmail.com"), Rate.parse("1/s"))
    async with archive.writing() as connection:
        await lanes.cool_by_hand(connection, "r", "gmail.com", until=later, by="ada", reason="t", now=NOW)
        await pace.place_after(connection, limit.scope, to_microseconds(later), 500_000)
        await lanes.cool_by_hand(connection, "r", "gmail.com", until=None, by="ada", reason="t", now=NOW)
        await pace.lease_block(connection, [limit], to_microseconds(NOW), wanted=10)
        sent_away = await pace.lease_block(connection, [limit], to_microseconds(NOW), wanted=10)
    assert sent_away.back_at == to_microseconds(NOW + timedelta(seconds=5))


async def test_a_bounded_look_goes_by_an_index(archive: Archive) -> None:
    """Left to itself SQLite walks a million messages by their own order to find the last one of a lane."""
    if not archive.is_sqlite:
        return
    bulk_id = await a_send(archive, to("gmail.com", 4))
    where = {"bulk_id": bulk_id, "lane": "gmail.com", "most": 10, "last": 10, "ending": "%@gmail.com"}
    async with archive.reading() as connection:
        for query, index in (
            (queues._NEXT_DEFERRED, "message_by_rare_state"),
            (queues._OPEN_AT_THE_END, "message_by_lane"),
            (queues._OPEN_OF_DOMAIN, "message_by_lane"),
            (queues._DEFERRED_OF_DOMAIN, "message_by_rare_state"),
        ):
            plan = await connection.execute(text(f"EXPLAIN QUERY PLAN {query['sqlite']}"), where)
            assert any(f"USING INDEX {index}" in row[3] for row in plan)
