"""Webhooks over days: when a receiver that fails is asked again, and when no more."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from temporalio.client import WorkflowHandle

from postwerk.archive.engine import Archive
from postwerk.archive.webhooks import change_webhook
from postwerk.contracts.webhooks import Position, ReplayOrder, WebhookInput, WebhookState
from postwerk.rules.webhook_schedule import WAITS
from tests.support.receiver import OK, Receiver, answer
from tests.support.sandbox import SandboxProcess
from tests.support.webhooks import a_webhook, requests_of, some_events, stored
from tests.support.worker import skipping_server, working
from workflows.names import webhooks_queue

pytestmark = pytest.mark.parametrize("archive", ["sqlite"], indirect=True)
ERROR = answer(500)


async def timers_of(handle: WorkflowHandle[object, object]) -> list[timedelta]:
    history = await handle.fetch_history()
    started = [
        event.timer_started_event_attributes
        for event in history.events
        if event.HasField("timer_started_event_attributes")
    ]
    return [one.start_to_fire_timeout.ToTimedelta() for one in started]


async def test_a_receiver_that_fails_for_three_days_is_asked_ten_times_and_told_when_it_is_enabled(
    archive: Archive,
) -> None:
    with Receiver(ERROR) as receiver, SandboxProcess() as sandbox:
        hook = await a_webhook(archive, receiver.url)
        await some_events(archive, 2)
        async with skipping_server() as environment:
            client, name = environment.client, f"webhook-{hook.id}"
            async with working(client, archive, sandbox.relay_url, webhook_allow_private=True) as queue:
                start = {"id": name, "task_queue": webhooks_queue(queue)}
                handle = await client.start_workflow("Webhook", WebhookInput(webhook_id=hook.id), **start)
                assert await handle.result() == "status_500"
                waits = await timers_of(handle)
                gone = await stored(archive, hook.id)
                receiver.answers[:] = [OK, OK, answer(410)]
                async with archive.writing() as connection:
                    await change_webhook(connection, hook.id, datetime.now(UTC), state=WebhookState.ENABLED)
                await some_events(archive, 1)
                handle = await client.start_workflow("Webhook", WebhookInput(webhook_id=hook.id), **start)
                assert await handle.result() == "status_410"

    assert len(receiver.got) == 10 + 3
    assert [planned <= wait <= planned * 1.1 for planned, wait in zip(WAITS[1:], waits, strict=True)] == [
        True
    ] * 9
    assert gone.state is WebhookState.GONE
    assert [event["data"]["lane"] for event in receiver.events[10:]] == ["lane0", "lane1", "lane0"]
    assert [row.attempt for row in await requests_of(archive, hook.id)] == [*range(1, 11), 1, 1, 1]


@pytest.mark.slow
async def test_a_replay_waits_for_its_receiver_and_then_has_sent_everything(archive: Archive) -> None:
    with Receiver(OK, ERROR, ERROR, OK) as receiver, SandboxProcess() as sandbox:
        hook = await a_webhook(archive, receiver.url)
        await some_events(archive, 3)
        order = ReplayOrder(webhook_id=hook.id, position=Position(xid=0, id=0), last=Position(xid=0, id=3))
        async with skipping_server() as environment:
            client = environment.client
            async with working(client, archive, sandbox.relay_url, webhook_allow_private=True) as queue:
                handle = await client.start_workflow(
                    "WebhookReplay", order, id="replay", task_queue=webhooks_queue(queue)
                )
                assert await handle.result() == 3
                waits = await timers_of(handle)
    assert len(receiver.got) == 5
    assert [planned <= wait <= planned * 1.1 for planned, wait in zip(WAITS[1:3], waits, strict=True)] == [
        True
    ] * 2
