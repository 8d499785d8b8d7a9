"""What is kept of events and tallies, for how long, and what the tallies say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import cast

import pytest
from sqlalchemy import text
from temporalio.client import Client

from api.dependencies import ApiConfig, Parts
from api.event_keeping import EventKeeper
from postwerk.archive import bulks
from postwerk.archive.columns import to_microseconds
from postwerk.archive.engine import Archive
from postwerk.archive.outbox_keeping import erase_events
from postwerk.archive.tallies import KEPT, erase_tallies, rates, rates_by_lane
from postwerk.contracts.events import EventType
from postwerk.contracts.states import BulkState, MessageState
from tests.real_servers.test_events_written import ADA, BOB, greylisted, tried
from tests.real_servers.test_inbound import World
from tests.support.api import RecordingTemporal
from tests.support.events import all_events
from tests.support.returned import a_complaint, a_dsn
from tests.support.seeding import a_stored_bulk_send

NOW = datetime(2027, 1, 4, 12, tzinfo=UTC)
WEEK = timedelta(days=7)
DAY = timedelta(days=1)


async def happened(archive: Archive, *days_ago: int) -> None:
    async with archive.writing() as connection:
        for days in days_ago:
            await connection.execute(
                text("INSERT INTO event (at, type, name) VALUES (:at, 'lane.cooling', :name)"),
                {"at": to_microseconds(NOW - days * DAY), "name": str(days)},
            )


async def kept(archive: Archive, limit: int = 1000) -> list[str]:
    """Days ago of what is left when everything was erased that may be."""
    while True:
        async with archive.writing() as connection:
            if not await erase_events(connection, NOW, WEEK, limit):
                break
    return [event.data["lane"] for event in await all_events(archive)]


@pytest.mark.parametrize("limit", [2, 3, 1000])
async def test_old_events_go_and_the_last_of_them_stays(archive: Archive, limit: int) -> None:
    await happened(archive, 12, 11, 10, 9, 8, 6, 8, 1)
    assert await kept(archive, limit) == ["8", "6", "8", "1"]


async def test_what_a_webhook_has_not_got_stays_thirty_days_longer(archive: Archive) -> None:
    await happened(archive, 50, 40, 30, 20, 10, 1)
    webhook = {
        "id": "wh_1", "owner": "", "url": "https://x.example", "description": "", "secret": "whsec_x",
        "former_secret": "", "max_events": 1, "max_wait": 0, "state": "enabled", "reason": "",
        "created_at": 1, "cursor_xid": 0, "cursor_id": 0,
    }  # fmt: skip
    async with archive.writing() as connection:
        names = ", ".join(webhook)
        await connection.execute(
            text(f"INSERT INTO webhook ({names}) VALUES ({', '.join(f':{n}' for n in webhook)})"), webhook
        )
    assert await kept(archive) == ["40", "30", "20", "10", "1"]
    async with archive.writing() as connection:
        await connection.execute(text("UPDATE webhook SET state = 'disabled'"))
    assert await kept(archive) == ["10", "1"]


async def test_outcomes_are_counted_where_and_when_they_happen(archive: Archive) -> None:
    order = await a_stored_bulk_send(archive, [ADA, BOB])
    at = to_microseconds(NOW)
    await tried(archive, order.bulk_id, 1, **greylisted(at=at))
    await tried(archive, order.bulk_id, 2, at=at + 25_000_000)
    async with archive.writing() as connection:
        await bulks.settle_some(connection, order.bulk_id, 1, 2, MessageState.EXPIRED, now=NOW, shard=1)
    async with archive.reading() as connection:
        found = await rates(connection, NOW, NOW + timedelta(minutes=1))
        by_minute = await rates(connection, NOW, NOW + timedelta(minutes=1), timedelta(minutes=1))
    assert [(one.at, one.kind, one.n) for one in found] == [
        (NOW, "deferred", 1),
        (NOW, "expired", 1),
        (NOW + timedelta(seconds=20), "delivered", 1),
    ]
    assert [(one.at, one.kind, one.n) for one in by_minute] == [
        (NOW, kind, 1) for kind in ("deferred", "delivered", "expired")
    ]


async def test_what_comes_back_is_counted(archive: Archive) -> None:
    world = World(archive)
    await world.begin()
    await world.came(a_dsn())
    await world.came(a_complaint(), world.token(2))
    await world.processor.close()
    async with archive.reading() as connection:
        found = await rates_by_lane(connection, world.now - DAY, world.now + DAY)
    assert sorted((one.lane, one.kind, one.n) for one in found) == [
        ("other", "complained", 1), ("other", "late_bounced", 1),
    ]  # fmt: skip


async def test_tallies_are_forgotten_after_two_days(archive: Archive) -> None:
    order = await a_stored_bulk_send(archive, [ADA])
    await tried(archive, order.bulk_id, 1, **greylisted(at=to_microseconds(NOW)))
    async with archive.writing() as connection:
        assert await erase_tallies(connection, NOW + KEPT, 10) == 0
        assert await erase_tallies(connection, NOW + KEPT + timedelta(minutes=1), 10) == 1


@pytest.mark.parametrize(("workers", "why"), [(0, "no_worker"), (1, "not_started")])
async def test_a_send_that_stands_still_is_told_of_once(archive: Archive, workers: int, why: str) -> None:
    temporal = RecordingTemporal()
    temporal.workers = workers
    config = ApiConfig(stalled_after=timedelta(minutes=15))
    parts = Parts(archive, cast(Client, temporal), config)
    later = datetime.now(UTC) + timedelta(minutes=16)
    parts.now = lambda: later  # type: ignore[method-assign]
    await a_stored_bulk_send(archive, [ADA])
    paused = (await a_stored_bulk_send(archive, [BOB])).bulk_id
    async with archive.writing() as connection:
        await bulks.move_bulk(connection, paused, BulkState.PAUSED, now=NOW)
    for _ in range(2):
        await EventKeeper(parts).look()
    stalled = [event for event in await all_events(archive) if event.type == EventType.BULK_SEND_STALLED]
    assert [event.data["waits_for"] for event in stalled] == [why]
    await parts.close()
