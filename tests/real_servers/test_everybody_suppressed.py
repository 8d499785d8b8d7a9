"""On the real dev server: a send whose recipients are all on the suppression list."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from postwerk.archive import reads
from postwerk.archive.engine import Archive
from postwerk.archive.suppressions import NewSuppression, add_suppressions
from postwerk.contracts.states import BulkState, MessageState
from tests.support.sandbox import SandboxProcess
from tests.support.seeding import a_stored_bulk_send
from tests.support.worker import carried, local_server, working


@pytest.mark.parametrize("count", [2, 120])
async def test_a_send_to_nobody_completes_at_once(archive: Archive, count: int) -> None:
    """Planned while it was stored, and planned by the workflow."""
    addresses = [f"ok+{n}@example.com" for n in range(count)]
    async with local_server() as environment:
        with SandboxProcess() as sandbox:
            async with archive.writing() as connection:
                entries = [NewSuppression(address, "complaint") for address in addresses]
                await add_suppressions(connection, entries, source="api", now=datetime.now(UTC))
            order = await a_stored_bulk_send(archive, addresses)
            async with working(environment.client, archive, sandbox.relay_url) as queue:
                counts = await carried(environment.client, order, queue)
            assert sandbox.counts()["accepted"] == 0

    assert counts.states == {MessageState.SUPPRESSED: count}
    async with archive.reading() as connection:
        send = await reads.bulk_send(connection, order.bulk_id)
    assert send.state is BulkState.COMPLETED
    assert send.started_at is not None
