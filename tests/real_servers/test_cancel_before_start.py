"""On the real dev server: a cancel that the archive knew before the workflow began."""

from __future__ import annotations

import pytest
from temporalio.client import WorkflowFailureError

from postwerk.archive import reads
from postwerk.archive.engine import Archive
from postwerk.archive.intake import begin_cancel
from postwerk.contracts.states import BulkState, MessageState
from tests.support.sandbox import SandboxProcess
from tests.support.seeding import a_stored_bulk_send
from tests.support.worker import local_server, started, working


async def test_a_cancel_that_was_quicker_than_the_start_ends_the_workflow(archive: Archive) -> None:
    async with local_server() as environment:
        with SandboxProcess() as sandbox:
            order = await a_stored_bulk_send(archive, ["ok+x@example.com", "ok+y@example.com"])
            async with archive.writing() as connection:
                await begin_cancel(connection, order.bulk_id, "changed my mind")
            async with working(environment.client, archive, sandbox.relay_url) as queue:
                handle = await started(environment.client, order, queue)
                with pytest.raises(WorkflowFailureError):
                    await handle.result()
            assert sandbox.counts()["accepted"] == 0

    async with archive.reading() as connection:
        send = await reads.bulk_send(connection, order.bulk_id)
    assert send.state is BulkState.CANCELLED
    assert send.counts[MessageState.CANCELLED] == 2
