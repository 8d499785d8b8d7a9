"""Record the histories that the replay test keeps: `python -m tests.histories.record` (invented data only).

With names behind it (`... record told`) only those stories are recorded. Run it when a workflow's commands
change, after `workflow.patched` went in; keep the old files: sends that began under the old code may live
for a week.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

from temporalio.client import Client, WorkflowFailureError
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment

from api.operator import Operator
from postwerk.archive.audit import Actor
from postwerk.archive.coalescing import Coalescing, wait_with_others
from postwerk.archive.engine import Archive
from postwerk.archive.operations import Operation, operation
from postwerk.archive.outbox import newest
from postwerk.archive.suppressions import NewSuppression, add_suppressions
from postwerk.archive.webhooks import change_webhook
from postwerk.contracts.content import Mailbox
from postwerk.contracts.options import Notify, NotifyMode, NotifyOn, RetrySchedule
from postwerk.contracts.orders import (
    BeginningSignal,
    BulkSendInput,
    DeadlineSignal,
    ExpirySignal,
    HoldSignal,
)
from postwerk.contracts.queue import STARTED_AGAIN, OperationState, QueueFilter, Verb
from postwerk.contracts.states import MessageState, SendKind
from postwerk.contracts.webhooks import Position, ReplayOrder, WebhookState
from tests.support.databases import open_archive
from tests.support.receiver import OK, Receiver, answer
from tests.support.sandbox import SandboxProcess
from tests.support.seeding import a_stored_bulk_send, a_stored_schedule
from tests.support.webhooks import a_webhook, some_events
from tests.support.worker import program, started, working
from workflows import options
from workflows.client import add_search_attributes, hand_in, start_replay, wake_webhook
from workflows.names import webhook_workflow_id
from workflows.schedules import fire_by_hand

FOLDER = Path(__file__).parent
SHORT_HISTORY = 20
"""Events after which the recorded key goes on in a new run; replayed with the same."""
QUICK = RetrySchedule(initial=timedelta(seconds=1), maximum=timedelta(seconds=2))


async def record(client: Client, label: str, *workflow_ids: str) -> None:
    for number, workflow_id in enumerate(workflow_ids):
        history = await client.get_workflow_handle(workflow_id).fetch_history()
        kind = history.events[0].workflow_execution_started_event_attributes.workflow_type.name
        text = history.to_json().replace(str(Path.cwd()), "/app")
        (FOLDER / f"{label}-{number}-{kind}.json").write_text(text)


async def completed(client: Client, archive: Archive, queue: str) -> None:
    addresses = ["ok+1@example.com", "bounce+2@example.com", "defer1+3@example.com"]
    order = await a_stored_bulk_send(archive, addresses, retry=QUICK)
    await (await started(client, order, queue)).result()
    root = f"bulk-{order.bulk_id}"
    await record(client, "completed", root, f"{root}/batch-1", f"{root}/batch-3")


async def planned_and_expanded(client: Client, archive: Archive, queue: str) -> None:
    addresses = [f"ok+{n}@example.com" for n in range(300)]
    order = await a_stored_bulk_send(archive, addresses, recipients_per_child=1)
    await (await started(client, order, queue)).result()
    root = f"bulk-{order.bulk_id}"
    await record(client, "expanded", root, f"{root}/batches-201-300")


async def everybody_suppressed(client: Client, archive: Archive, queue: str) -> None:
    async with archive.writing() as connection:
        entries = [NewSuppression("ok+listed@example.com", "manual")]
        await add_suppressions(connection, entries, source="api", now=datetime.now(UTC))
    order = await a_stored_bulk_send(archive, ["ok+listed@example.com"])
    await (await started(client, order, queue)).result()
    await record(client, "suppressed", f"bulk-{order.bulk_id}")


async def held_released_and_cancelled(client: Client, archive: Archive, queue: str) -> None:
    order = await a_stored_bulk_send(archive, ["defer+1@example.com"], retry=QUICK)
    handle = await started(client, order, queue)
    await asyncio.sleep(2)
    for signal in ("hold", "release", "retry_now"):
        await handle.signal(signal)
        await asyncio.sleep(1)
    await handle.cancel()
    try:
        await handle.result()
    except WorkflowFailureError:
        root = f"bulk-{order.bulk_id}"
        await record(client, "cancelled", root, f"{root}/batch-1")


async def expired(client: Client, archive: Archive, queue: str) -> None:
    order = await a_stored_bulk_send(
        archive, ["defer+1@example.com"], retry=QUICK, deadline=timedelta(seconds=12)
    )
    await (await started(client, order, queue)).result()
    await record(client, "expired", f"bulk-{order.bulk_id}/batch-1")


async def told(client: Client, archive: Archive, queue: str) -> None:
    notify = Notify(to=(Mailbox(email="me@example.com"),), on=tuple(NotifyOn), mode=NotifyMode.EACH)
    addresses = ["ok+1@example.com", "bounce+2@example.com", "defer3+3@example.com", "bounce+4@example.com"]
    order = await a_stored_bulk_send(archive, addresses, retry=QUICK, notify=notify)
    await (await started(client, order, queue)).result()
    await record(client, "told", f"bulk-{order.bulk_id}")


async def told_and_cancelled(client: Client, archive: Archive, queue: str) -> None:
    notify = Notify(to=(Mailbox(email="me@example.com"),), on=(NotifyOn.FAILURE, NotifyOn.DELAY))
    addresses = ["bounce+1@example.com", "defer+2@example.com"]
    order = await a_stored_bulk_send(archive, addresses, retry=QUICK, notify=notify)
    handle = await started(client, order, queue)
    await asyncio.sleep(3)
    await handle.cancel()
    try:
        await handle.result()
    except WorkflowFailureError:
        await record(client, "told_and_cancelled", f"bulk-{order.bulk_id}")


async def operated(
    archive: Archive, verb: Verb, wanted: QueueFilter, client: Client, queue: str
) -> Operation:
    """As the API does it: stored, carried out, and its workflow is done too."""
    operator = Operator(archive, client, queue)
    reason, actor, now = "recording", Actor(), datetime.now(UTC)
    if verb is Verb.RETRY_FAILED:
        op = await operator.retry_failed(wanted.bulk[0], wanted, reason=reason, actor=actor, now=now)
    else:
        op = await operator.do(verb, wanted, reason=reason, actor=actor, now=now)
    while op.state is not OperationState.DONE:
        await asyncio.sleep(0.2)
        async with archive.reading() as connection:
            op = await operation(connection, op.id)
    return op


async def held_by_itself(client: Client, archive: Archive, queue: str) -> None:
    order = await a_stored_bulk_send(archive, ["defer2+1@example.com"], retry=QUICK)
    handle = await started(client, order, queue)
    await asyncio.sleep(2)
    one = QueueFilter(ids=(f"{order.bulk_id}.1",))
    await operated(archive, Verb.HOLD, one, client, queue)
    await handle.signal("look_again")
    await asyncio.sleep(2)
    op = await operated(archive, Verb.RELEASE, one, client, queue)
    await handle.result()
    await record(client, "held", f"bulk-{order.bulk_id}/batch-1", f"operation-{op.id}")


async def started_again(client: Client, archive: Archive, queue: str) -> None:
    """While it runs, and after it has ended."""
    addresses = ["defer2+again@example.com", "bounce+2@example.com"]
    order = await a_stored_bulk_send(archive, addresses, retry=QUICK)
    handle = await started(client, order, queue)
    await asyncio.sleep(2)
    failed = QueueFilter(bulk=(order.bulk_id,), state=STARTED_AGAIN)
    await operated(archive, Verb.RETRY_FAILED, failed, client, queue)
    await handle.result()
    await record(client, "started_again_while_running", f"bulk-{order.bulk_id}")
    op = await operated(archive, Verb.RETRY_FAILED, failed, client, queue)
    await client.get_workflow_handle(f"bulk-{order.bulk_id}").result()
    await record(client, "started_again", f"bulk-{order.bulk_id}", f"operation-{op.id}")


async def held_and_moved(client: Client, archive: Archive, queue: str) -> None:
    """A new deadline while it is held, and released before every child has heard of the hold."""
    addresses = [f"defer+{n}@example.com" for n in range(30)]
    order = await a_stored_bulk_send(archive, addresses, retry=QUICK)
    handle = await started(client, order, queue)
    await asyncio.sleep(2)
    await handle.signal("hold", HoldSignal(reason="recording"))
    await handle.signal("release")
    await handle.signal("release")
    await asyncio.sleep(2)
    await handle.signal("hold")
    await handle.signal("set_deadline", DeadlineSignal(deadline=datetime.now(UTC) + timedelta(seconds=15)))
    await handle.signal("release")
    await handle.result()
    root = f"bulk-{order.bulk_id}"
    await record(client, "moved", root, f"{root}/batch-1")


async def scheduled(client: Client, archive: Archive, queue: str) -> None:
    """Held, released and moved before it begins; told to expire earlier when it has.

    In `held_for_ever`, from before, that hold still reached the child.
    """
    now = datetime.now(UTC)
    order = await a_stored_bulk_send(
        archive, ["defer+1@example.com"], retry=QUICK, send_at=now + timedelta(hours=1)
    )
    handle = await started(client, order, queue)
    for signal in ("hold", "release"):
        await asyncio.sleep(1)
        await handle.signal(signal)
    await asyncio.sleep(1)
    begins = datetime.now(UTC) + timedelta(seconds=2)
    await handle.signal("set_beginning", BeginningSignal(send_at=begins))
    await handle.signal("set_deadline", DeadlineSignal(deadline=begins + timedelta(hours=1)))
    await asyncio.sleep(4)
    expires = ExpirySignal(expires_at=datetime.now(UTC) + timedelta(seconds=10))
    await handle.signal("set_expiry", expires)
    await handle.result()
    root = f"bulk-{order.bulk_id}"
    await record(client, "scheduled", root, f"{root}/batch-1")


async def expired_while_held(client: Client, archive: Archive, queue: str) -> None:
    expires_at = datetime.now(UTC) + timedelta(seconds=8)
    order = await a_stored_bulk_send(
        archive, ["defer+1@example.com"], retry=QUICK, expires_at=expires_at, recipients_per_child=1
    )
    handle = await started(client, order, queue)
    await asyncio.sleep(2)
    await handle.signal("hold")
    await handle.result()
    root = f"bulk-{order.bulk_id}"
    await record(client, "expired_while_held", root, f"{root}/batch-1")


async def recurring(client: Client, archive: Archive, queue: str) -> None:
    schedule_id = await a_stored_schedule(archive, ["ok+1@example.com"])
    at = datetime.now(UTC)
    workflow_id = await fire_by_hand(client, schedule_id, at, task_queue=queue)
    await client.get_workflow_handle(workflow_id).result()
    await record(client, "recurring", workflow_id)


async def a_message(archive: Archive, address: str, **options: Any) -> BulkSendInput:
    return await a_stored_bulk_send(archive, [address], kind=SendKind.MESSAGE, retry=QUICK, **options)


async def message_sent(client: Client, archive: Archive, queue: str) -> None:
    """At once, and at the second attempt, its sender told of the end."""
    at_once = await a_message(archive, "ok+1@example.com")
    notify = Notify(to=(Mailbox(email="me@example.com"),), on=tuple(NotifyOn))
    told = await a_message(archive, "defer1+2@example.com", notify=notify)
    for order in (at_once, told):
        await (await started(client, order, queue)).result()
    await record(client, "message", f"bulk-{at_once.bulk_id}", f"bulk-{told.bulk_id}")


async def message_held_and_cancelled(client: Client, archive: Archive, queue: str) -> None:
    order = await a_message(archive, "defer+1@example.com")
    handle = await started(client, order, queue)
    await asyncio.sleep(2)
    for signal in ("hold", "release", "retry_now", "look_again"):
        await handle.signal(signal)
        await asyncio.sleep(1)
    await handle.cancel()
    try:
        await handle.result()
    except WorkflowFailureError:
        await record(client, "message_cancelled", f"bulk-{order.bulk_id}")


async def message_started_again(client: Client, archive: Archive, queue: str) -> None:
    order = await a_message(archive, "bounce+1@example.com")
    await (await started(client, order, queue)).result()
    failed = QueueFilter(bulk=(order.bulk_id,), state=STARTED_AGAIN)
    op = await operated(archive, Verb.RETRY_FAILED, failed, client, queue)
    await client.get_workflow_handle(f"bulk-{order.bulk_id}").result()
    await record(client, "message_again", f"bulk-{order.bulk_id}", f"operation-{op.id}")


async def coalesced(client: Client, archive: Archive, queue: str) -> None:
    """Three in one window, and one behind its end."""
    arrival = None
    for rank in (70, 90, 80, 10):
        order = await a_message(archive, "ok+1@example.com")
        at = datetime.now(UTC) + timedelta(seconds=3 if rank == 10 else 0)
        async with archive.writing() as connection:
            wish = Coalescing("quota", rank, timedelta(seconds=2))
            arrival = await wait_with_others(connection, order.bulk_id, "", wish, lambda at=at: at)
        await hand_in(client, arrival, task_queue=queue)
    assert arrival is not None
    await client.get_workflow_handle(arrival.workflow_id).result()
    await record(client, "coalesced", arrival.workflow_id)


async def webhook(client: Client, archive: Archive, queue: str) -> None:
    """Refused once, woken in its wait, then told everything, and disabled."""
    with Receiver(answer(500), OK) as receiver:
        hook = await a_webhook(archive, receiver.url, max_events=10)
        await some_events(archive, 15)
        await wake_webhook(client, hook.id, task_queue=queue)
        await receiver.requests(1)
        await asyncio.sleep(1)
        await wake_webhook(client, hook.id, task_queue=queue)
        await receiver.requests(3)
        await asyncio.sleep(1)
        async with archive.writing() as connection:
            await change_webhook(connection, hook.id, datetime.now(UTC), state=WebhookState.DISABLED)
        name = webhook_workflow_id(hook.id)
        await client.get_workflow_handle(name).result()
        await record(client, "webhook", name)


async def webhook_replayed(client: Client, archive: Archive, queue: str) -> None:
    with Receiver(answer(500), OK) as receiver:
        hook = await a_webhook(archive, receiver.url, max_events=10)
        await some_events(archive, 15)
        async with archive.reading() as connection:
            end = await newest(connection)
        order = ReplayOrder(
            webhook_id=hook.id, position=Position(xid=0, id=0), last=Position(xid=end.xid, id=end.id)
        )
        name = await start_replay(client, "replay_1", order, task_queue=queue)
        await client.get_workflow_handle(name).result()
        await record(client, "webhook_replayed", name)


async def many_held(client: Client, archive: Archive, queue: str) -> None:
    """Enough children to be told all at once, and an operator's order to all of them."""
    addresses = [f"defer+{n}@example.com" for n in range(options.TOLD_ONE_BY_ONE + 2)]
    order = await a_stored_bulk_send(archive, addresses, retry=QUICK, recipients_per_child=1, rate="20/s")
    handle = await started(client, order, queue)
    await asyncio.sleep(4)
    await handle.signal("hold", HoldSignal(reason="recording"))
    await handle.signal("release")
    await asyncio.sleep(2)
    bulk = (order.bulk_id,)
    await operated(archive, Verb.HOLD, QueueFilter(bulk=bulk, code=4), client, queue)
    held = QueueFilter(bulk=bulk, state=(MessageState.HELD,))
    op = await operated(archive, Verb.RELEASE, held, client, queue)
    await handle.cancel()
    try:
        await handle.result()
    except WorkflowFailureError:
        await record(client, "many_held", f"bulk-{order.bulk_id}", f"operation-{op.id}")


async def coalesced_afresh(client: Client, archive: Archive, queue: str) -> None:
    """A key that is hit so often that its workflow goes on in a new run, which is recorded."""
    arrival = None
    with patch.object(options, "LONG_HISTORY", SHORT_HISTORY):
        for rank in range(12):
            order = await a_message(archive, "ok+1@example.com")
            async with archive.writing() as connection:
                wish = Coalescing("often", rank, timedelta(seconds=3))
                arrival = await wait_with_others(
                    connection, order.bulk_id, "", wish, lambda: datetime.now(UTC)
                )
            await hand_in(client, arrival, task_queue=queue)
        assert arrival is not None
        handle = client.get_workflow_handle(arrival.workflow_id)
        first = (await handle.fetch_history()).events[0].workflow_execution_started_event_attributes
        await handle.result()
    history = await client.get_workflow_handle(
        arrival.workflow_id, run_id=first.first_execution_run_id
    ).fetch_history()
    (FOLDER / "coalesced_afresh-0-Coalesce.json").write_text(history.to_json())
    await record(client, "coalesced_afresh_end", arrival.workflow_id)


STORIES = (
    completed,
    planned_and_expanded,
    everybody_suppressed,
    held_released_and_cancelled,
    expired,
    told,
    told_and_cancelled,
    held_by_itself,
    started_again,
    held_and_moved,
    scheduled,
    expired_while_held,
    recurring,
    message_sent,
    message_held_and_cancelled,
    message_started_again,
    coalesced,
    many_held,
    coalesced_afresh,
    webhook,
    webhook_replayed,
)


async def main(names: Sequence[str]) -> None:
    with tempfile.TemporaryDirectory() as folder, SandboxProcess() as sandbox:
        environment = await WorkflowEnvironment.start_local(
            dev_server_existing_path=program("temporal"), data_converter=pydantic_data_converter
        )
        async with environment, open_archive(f"sqlite:///{folder}/archive.db") as archive:
            client = environment.client
            await add_search_attributes(client)
            async with working(client, archive, sandbox.relay_url, webhook_allow_private=True) as queue:
                for story in STORIES:
                    if names and story.__name__ not in names:
                        continue
                    await story(client, archive, queue)
                    sys.stdout.write(f"recorded {story.__name__}\n")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
