"""Who is urgent waits behind nobody's batch: for a connection, and for a permit."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from postwerk.archive import pace, reads
from postwerk.archive.columns import to_microseconds
from postwerk.archive.engine import Archive
from postwerk.archive.ids import new_bulk_id
from postwerk.archive.intake import NewBulkSend
from postwerk.archive.message_intake import store_message
from postwerk.contracts.options import BulkOptions
from postwerk.contracts.states import MessageState, SendKind
from postwerk.rules.pace import SECOND, Limit, Rate
from postwerk.rules.starting import start_order
from postwerk.smtp import Lease
from tests.real_servers.test_smtp_pool import LANE, SOON, a_lease, a_pool, until
from tests.support.attempts import message_of
from tests.support.sandbox import SandboxProcess
from tests.support.scripted_server import ScriptedServer
from tests.support.seeding import a_content, a_recipient, a_stored_bulk_send
from tests.support.worker import local_server, started, working

NOW = datetime(2026, 11, 22, 8, tzinfo=UTC)


async def test_who_is_urgent_gets_the_next_connection(tmp_path: Path) -> None:
    with ScriptedServer(tmp_path) as server:
        async with a_pool(server, connections_per_lane=1) as pool:
            only = await a_lease(pool)
            usual = asyncio.create_task(pool.acquire(LANE, SOON))
            await until(lambda: pool.waiting(LANE) == 1)
            assert not pool.is_wanted(LANE)
            urgent = asyncio.create_task(pool.acquire(LANE, SOON, urgent=True))
            await until(lambda: pool.is_wanted(LANE))
            pool.release(only)
            first = await urgent
            assert isinstance(first, Lease)
            assert not usual.done()
            assert not pool.is_wanted(LANE)
            pool.release(first)
            second = await usual
            assert isinstance(second, Lease)
            pool.release(second)


async def test_the_last_connections_to_the_relay_are_kept_for_who_is_urgent(tmp_path: Path) -> None:
    with ScriptedServer(tmp_path) as server:
        async with a_pool(server) as pool:
            pool._most = 50
            leases = [await a_lease(pool, f"lane-{n}") for n in range(49)]
            assert pool.is_full("another")
            assert not pool.is_full("another", urgent=True)
            for lease in leases:
                pool.release(lease)


async def test_who_is_urgent_takes_the_next_permit_and_no_place_in_the_queue(archive: Archive) -> None:
    limit, now = Limit.of("lane:x", Rate.parse("30/min")), to_microseconds(NOW)
    async with archive.writing() as connection:
        first = await pace.lease_block(connection, [limit], now, wanted=250)
        queued = [await pace.lease_block(connection, [limit], now, wanted=250) for _ in range(3)]
        urgent = await pace.lease_block(connection, [limit], now, wanted=1, ahead=pace.URGENT_AHEAD)
    assert [bool(block.slots) for block in queued] == [False] * 3
    [slot] = urgent.slots
    assert slot == first.slots[-1] + limit.interval  # no limit is exceeded
    assert slot - now <= pace.AHEAD + 2 * SECOND


@pytest.mark.parametrize("archive", ["sqlite"], indirect=True)
async def test_a_message_overtakes_a_bulk_send_that_has_every_slot_and_connection(archive: Archive) -> None:
    """300 mails over the only connection, each answered late: alone they take a minute."""
    settings = {"connections_per_lane": 1, "concurrent_batches": 2}
    with SandboxProcess("--ack-delay", "0.2") as sandbox:
        async with (
            local_server() as environment,
            working(environment.client, archive, sandbox.relay_url, **settings) as queue,
        ):
            addresses = [f"ok+{n}@example.com" for n in range(300)]
            bulk = await a_stored_bulk_send(archive, addresses, recipients_per_child=100)
            await started(environment.client, bulk, queue)
            while not await _delivered(archive, bulk.bulk_id):  # whichever batch comes first
                await asyncio.sleep(0.05)
            began = datetime.now(UTC)
            message = await _stored_message(archive)
            await (await started(environment.client, message, queue)).result()
            assert (await message_of(archive, message.bulk_id)).state is MessageState.DELIVERED
            assert datetime.now(UTC) - began < timedelta(seconds=15)
            assert await _delivered(archive, bulk.bulk_id) < len(addresses) / 2


async def _delivered(archive: Archive, bulk_id: str) -> int:
    async with archive.reading() as connection:
        return (await reads.bulk_send(connection, bulk_id)).counts.get(MessageState.DELIVERED, 0)


async def _stored_message(archive: Archive):  # type: ignore[no-untyped-def]
    now = datetime.now(UTC)
    new = NewBulkSend(new_bulk_id(), "", a_content(), BulkOptions(), None, now, kind=SendKind.MESSAGE)
    async with archive.writing() as connection:
        batches = await store_message(connection, new, a_recipient("ok@example.com"), now)
    return start_order(new.id, 1, new.options, batches, kind=new.kind)
