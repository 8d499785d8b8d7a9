"""Whoever made a webhook with an API key is told nothing any more without one."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest

from postwerk.archive import key_orders
from postwerk.archive.audit import Actor
from postwerk.archive.engine import Archive
from postwerk.archive.key_orders import NewKey
from postwerk.contracts.webhooks import DeliveryReport, RunOutcome, WebhookState
from postwerk.webhooks.delivering import WITHOUT_KEY, Run
from postwerk.webhooks.sending import Sender
from postwerk.webhooks.watching import OutboxWatch
from postwerk.webhooks.wire import Wire
from tests.support.keys import a_key, a_revoked_key, an_expired_key
from tests.support.webhooks import a_webhook, requests_of, stored


async def run_once(archive: Archive, webhook_id: str) -> DeliveryReport:
    """A run that ends as soon as it has looked who may be told."""
    wire, watch = Wire(private=True), OutboxWatch(archive)
    try:
        looks = iter([False])
        sender = Sender(wire, chance=random.Random(1))
        return await Run(archive, sender, watch, webhook_id, lambda: next(looks, True)).deliver()
    finally:
        await watch.close()
        await wire.close()


@pytest.mark.parametrize("ended", [a_revoked_key, an_expired_key])
async def test_a_webhook_ends_with_its_key(archive: Archive, ended) -> None:
    owner = (await ended(archive, "send")).key.owner
    hook = await a_webhook(archive, "http://127.0.0.1:9/", owner=owner)
    report = await run_once(archive, hook.id)
    now = await stored(archive, hook.id)
    assert (report.outcome, report.trouble) == (RunOutcome.STOPPED, "disabled")
    assert (now.state, now.reason, now.cursor) == (WebhookState.DISABLED, WITHOUT_KEY, hook.cursor)
    assert await requests_of(archive, hook.id) == []


async def test_a_rotated_key_takes_its_webhooks_along(archive: Archive) -> None:
    old = await a_key(archive, "send")
    hook = await a_webhook(archive, "http://127.0.0.1:9/", owner=old.key.owner)
    await rotated(archive, old)
    assert (await run_once(archive, hook.id)).outcome is RunOutcome.GO_ON
    assert (await stored(archive, hook.id)).is_enabled


async def rotated(archive: Archive, old: NewKey) -> None:
    """Its successor is there, and the old one is revoked."""
    now = datetime.now(UTC)
    async with archive.writing() as connection:
        await key_orders.rotate_key(
            connection, old.key, grace=timedelta(0), expires_at=None, actor=Actor("tests"), now=now
        )
