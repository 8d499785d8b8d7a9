"""A transactional message over five days, and a window of seven: by Temporal's clock, in seconds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from postwerk.archive import coalescing, reads
from postwerk.archive.coalescing import Coalescing
from postwerk.archive.engine import Archive
from postwerk.contracts.coalescing import CoalesceInput
from postwerk.contracts.states import MessageState, SendKind
from tests.support.attempts import SLACK, is_exactly, message_of, moments_of, send_of
from tests.support.sandbox import SandboxProcess
from tests.support.seeding import a_stored_bulk_send
from tests.support.worker import carried, skipping_server, working
from workflows.names import messages_queue

ONE_DATABASE = pytest.mark.parametrize("archive", ["sqlite"], indirect=True)
DAY = timedelta(days=1)
LAST_CALL = timedelta(seconds=5)


@ONE_DATABASE
async def test_one_that_is_always_refused_for_now_expires_after_five_days(archive: Archive) -> None:
    async with skipping_server() as environment:
        with SandboxProcess() as sandbox:
            order = await a_stored_bulk_send(archive, ["defer@example.com"], kind=SendKind.MESSAGE)
            async with working(environment.client, archive, sandbox.relay_url) as queue:
                counts = await carried(environment.client, order, queue)

    assert counts.states == {MessageState.EXPIRED: 1}
    send, message = await send_of(archive, order.bulk_id), await message_of(archive, order.bulk_id)
    assert (send.state, message.state) == ("completed", MessageState.EXPIRED)
    assert send.started_at is not None
    assert send.deadline is not None
    assert is_exactly(send.deadline - send.started_at, 5 * DAY - timedelta(seconds=1))
    assert is_exactly((await moments_of(archive, order.bulk_id))[-1] - send.deadline, -LAST_CALL)
    assert (message.last_code, message.last_enhanced) == (451, "4.7.1")
    async with archive.reading() as connection:
        assert (await reads.accounting(connection, order.bulk_id))["adds_up"]


@ONE_DATABASE
async def test_a_window_of_seven_days_ends_after_seven_days(archive: Archive) -> None:
    async with skipping_server() as environment:
        with SandboxProcess() as sandbox:
            orders = [
                await a_stored_bulk_send(archive, ["ok@example.com"], kind=SendKind.MESSAGE) for _ in range(2)
            ]
            arrivals = []
            for rank, order in enumerate(orders):
                async with archive.writing() as connection:
                    wish = Coalescing("weekly", rank, 7 * DAY)
                    arrivals.append(
                        await coalescing.wait_with_others(
                            connection, order.bulk_id, "", wish, lambda: datetime.now(UTC)
                        )
                    )
            async with working(environment.client, archive, sandbox.relay_url) as queue:
                handle = await environment.client.start_workflow(
                    "Coalesce",
                    CoalesceInput(first=arrivals[0]),
                    id=arrivals[0].workflow_id,
                    task_queue=messages_queue(queue),
                )
                assert await handle.result() == 1
                sent = environment.client.get_workflow_handle(f"bulk-{orders[1].bulk_id}")
                await sent.result()

    [folded, delivered] = [await message_of(archive, order.bulk_id) for order in orders]
    assert (folded.state, delivered.state) == (MessageState.SUPPRESSED, MessageState.DELIVERED)
    assert folded.changed_at is not None
    assert -SLACK <= folded.changed_at - arrivals[0].ends <= SLACK
