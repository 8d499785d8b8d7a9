"""What a worker process remembers of holds and releases, and for how long."""

from __future__ import annotations

from datetime import UTC, datetime

from activities.parts import SendPermission
from postwerk.archive import bulks
from postwerk.archive.engine import Archive
from postwerk.contracts.states import BulkState
from tests.support.seeding import a_stored_bulk_send


async def test_a_release_is_obeyed_at_once_by_who_had_it_paused(archive: Archive) -> None:
    order = await a_stored_bulk_send(archive, ["ada@mail.example"])
    permission = SendPermission(archive)
    assert await permission.may_send(order.bulk_id)
    assert permission.deny(order.bulk_id)
    assert not await permission.may_send(order.bulk_id)

    for state in (BulkState.PAUSED, BulkState.RUNNING):
        async with archive.writing() as connection:
            await bulks.move_bulk(connection, order.bulk_id, state, now=datetime.now(UTC))
    permission.allow(order.bulk_id)

    assert await permission.may_send(order.bulk_id)
    assert permission.deny(order.bulk_id), "it may be paused again at once"


async def test_what_was_seen_a_moment_ago_does_not_outlive_a_release(archive: Archive) -> None:
    order = await a_stored_bulk_send(archive, ["ada@mail.example"])
    permission = SendPermission(archive)
    async with archive.writing() as connection:
        await bulks.move_bulk(connection, order.bulk_id, BulkState.PAUSED, now=datetime.now(UTC))
    assert not await permission.may_send(order.bulk_id)

    async with archive.writing() as connection:
        await bulks.move_bulk(connection, order.bulk_id, BulkState.RUNNING, now=datetime.now(UTC))
    permission.allow(order.bulk_id)

    assert await permission.may_send(order.bulk_id)
