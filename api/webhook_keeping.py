"""Making, changing and ending webhooks: first in the archive, then in Temporal, now or by the reconciler."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from api.dependencies import Parts
from api.errors import Unavailable
from api.starting import PATIENCE, TEMPORAL_AWAY
from api.webhook_orders import before, read_delivery_id, read_since, state_changes
from api.webhook_schemas import WebhookReplayRequest
from postwerk.archive import webhooks
from postwerk.archive.audit import Actor, write_audit
from postwerk.archive.event_cursor import Cursor
from postwerk.archive.event_places import place_before
from postwerk.archive.ids import new_id
from postwerk.archive.outbox import newest
from postwerk.archive.webhook_deliveries import Delivery, begin_afresh, delivery, write_deliveries
from postwerk.archive.webhooks import Webhook
from postwerk.contracts.webhooks import TEST_TYPE, Position, ReplayOrder, WebhookState
from postwerk.errors import Conflict, InvalidRequest, NotFound
from postwerk.observe import log
from postwerk.webhooks.batches import single_body
from postwerk.webhooks.sending import Sender
from workflows.client import start_replay, wake_webhook

MOST_OF_ONE_OWNER = 100
Remember = Callable[[AsyncConnection, Webhook], Awaitable[None]]


async def create(parts: Parts, made: Webhook, actor: Actor, remember: Remember) -> None:
    """It is told of what happens from now on. Raises Conflict."""
    async with parts.archive.writing() as connection:
        if await webhooks.count_webhooks(connection, made.owner) >= MOST_OF_ONE_OWNER:
            raise Conflict(f"There may be {MOST_OF_ONE_OWNER} webhooks of one owner; delete one first.")
        await webhooks.create_webhook(connection, made)
        await _note(connection, actor, "webhook.create", made.id, made.created_at)
        await remember(connection, made)
    await wake(parts, made.id)


async def change(
    parts: Parts, webhook_id: str, changes: dict[str, Any], actor: Actor, action: str = "webhook.change"
) -> Webhook:
    """In force at its next request. Raises NotFound."""
    now = parts.now()
    async with parts.archive.writing() as connection:
        changed = await webhooks.change_webhook(connection, webhook_id, now, **changes)
        if changes.keys() & {"url", "state"}:  # what failed there says nothing of this
            await begin_afresh(connection, webhook_id, changed.cursor)
        await _note(connection, actor, action, webhook_id, now, changed=sorted(changes))
    await wake(parts, webhook_id)
    return changed


async def enable(parts: Parts, webhook_id: str, actor: Actor, *, skip_missed: bool) -> Webhook:
    """It goes on where it stopped, or with what happens from now on. Raises NotFound."""
    changes = state_changes(WebhookState.ENABLED)
    if skip_missed:
        async with parts.archive.reading() as connection:
            changes["cursor"] = await newest(connection)
    return await change(parts, webhook_id, changes, actor, "webhook.enable")


async def rotate(parts: Parts, webhook_id: str, actor: Actor, keep: Any, remember: Remember) -> Webhook:
    """Raises NotFound."""
    now = parts.now()
    async with parts.archive.writing() as connection:
        changed = await webhooks.rotate_secret(connection, webhook_id, now, keep)
        await _note(connection, actor, "webhook.rotate_secret", webhook_id, now)
        await remember(connection, changed)
    await wake(parts, webhook_id)
    return changed


async def delete(parts: Parts, webhook_id: str, actor: Actor) -> None:
    """Raises NotFound."""
    async with parts.archive.writing() as connection:
        await webhooks.delete_webhook(connection, webhook_id)
        await _note(connection, actor, "webhook.delete", webhook_id, parts.now())
    await wake(parts, webhook_id)


async def send_test(parts: Parts, webhook_id: str, actor: Actor) -> Delivery:
    """Send an event that only says so, now, and once. Raises NotFound."""
    now, message_id = parts.now(), new_id("msg")
    async with parts.archive.reading() as connection:
        hook = await webhooks.webhook(connection, webhook_id)
    body = single_body(TEST_TYPE, now, {"webhook_id": hook.id, "description": hook.description})
    sent = await Sender(parts.wire, parts.now).send_test(hook, message_id, body)
    async with parts.archive.writing() as connection:
        await connection.run_sync(lambda plain: write_deliveries(plain, [sent.row]))
        await _note(connection, actor, "webhook.test", webhook_id, now, outcome=sent.row.outcome.value)
    return sent.row


async def replay(
    parts: Parts, webhook_id: str, wanted: WebhookReplayRequest, replay_id: str, actor: Actor
) -> tuple[ReplayOrder, str]:
    """Raises NotFound, InvalidRequest, Conflict, Unavailable: Temporal is away, and nothing is sent later."""
    since = read_since(wanted)
    async with parts.archive.reading() as connection:
        hook = await webhooks.webhook(connection, webhook_id)
        if not hook.is_enabled:
            raise Conflict(f"It is {hook.state}; enable it first.")
        first, last = await _stretch(connection, hook, since, wanted)
    order = ReplayOrder(webhook_id=hook.id, position=_position(first), last=_position(last))
    try:
        async with asyncio.timeout(PATIENCE):
            workflow_id = await start_replay(
                parts.client, replay_id, order, task_queue=parts.config.task_queue
            )
    except TEMPORAL_AWAY as error:
        raise Unavailable("Temporal is away, so nothing is sent again; try again soon.") from error
    async with parts.archive.writing() as connection:
        await _note(connection, actor, "webhook.replay", webhook_id, parts.now(), replay=replay_id)
    return order, workflow_id


async def _stretch(
    connection: AsyncConnection, hook: Webhook, since: Cursor | datetime | None, wanted: WebhookReplayRequest
) -> tuple[Cursor, Cursor]:
    """Behind which event it begins, and the last one: what is still to come comes by itself."""
    if isinstance(since, datetime):
        return await place_before(connection, since), hook.cursor
    if since is not None:
        return since, hook.cursor
    try:
        found = await delivery(connection, hook.id, read_delivery_id(wanted.delivery or ""))
    except NotFound as error:
        raise InvalidRequest(error.message, pointer="#/delivery", code="unknown_delivery") from error
    if not found.last.id:
        raise InvalidRequest("That was a test; send another one.", pointer="#/delivery", code="no_events")
    return before(found.first), found.last


async def wake(parts: Parts, webhook_id: str) -> None:
    """It is stored, so it is taken; what its workflow does not hear now the reconciler tells it."""
    try:
        async with asyncio.timeout(PATIENCE):
            await wake_webhook(parts.client, webhook_id, task_queue=parts.config.task_queue)
    except TEMPORAL_AWAY as error:
        log.left_to_reconciler("webhook", webhook_id, error)


def _position(cursor: Cursor) -> Position:
    return Position(xid=cursor.xid, id=cursor.id)


async def _note(
    connection: AsyncConnection, actor: Actor, action: str, webhook_id: str, at: datetime, **details: Any
) -> None:
    await write_audit(connection, actor, action, at=at, target=webhook_id, details=details or None)
