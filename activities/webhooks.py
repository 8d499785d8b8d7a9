"""Activities of webhooks: a run that delivers, and a run that sends again."""

from __future__ import annotations

import time

from temporalio import activity

from activities.heartbeat import heartbeating
from postwerk.archive.engine import Archive
from postwerk.contracts.webhooks import DeliveryReport, ReplayOrder, WebhookOrder
from postwerk.observe import log
from postwerk.webhooks.delivering import Run
from postwerk.webhooks.replaying import ReplayRun
from postwerk.webhooks.sending import Sender
from postwerk.webhooks.watching import OutboxWatch
from postwerk.webhooks.wire import Wire

PATIENCE_SECONDS = 600.0
"""A run that finds nothing to send waits for so long."""
CROWDED_SECONDS = 5.0
"""The same when this process has no room for another one."""


class WebhookActivities:
    """What all webhooks of a worker process share: connections to receivers, and the look at the outbox."""

    def __init__(self, archive: Archive, wire: Wire, most: int) -> None:
        """`most`: runs that this process may have at a time."""
        self._archive = archive
        self._sender = Sender(wire)
        self._watch = OutboxWatch(archive)
        self._most = most
        self._running = 0

    @activity.defn
    async def deliver(self, order: WebhookOrder) -> DeliveryReport:
        """Post what happened since, in order, until something fails or the run's time is over."""
        began = time.monotonic()
        self._running += 1
        try:
            async with heartbeating():
                run = Run(
                    self._archive, self._sender, self._watch, order.webhook_id, lambda: self._is_over(began)
                )
                report = await run.deliver()
        finally:
            self._running -= 1
        _tell(order.webhook_id, report)
        return report

    @activity.defn
    async def deliver_again(self, order: ReplayOrder) -> DeliveryReport:
        """Post once more what its receiver had been told of."""
        async with heartbeating():
            run = ReplayRun(self._archive, self._sender, order, _worker_stops)
            return await run.deliver()

    def _is_over(self, began: float) -> bool:
        waited = time.monotonic() - began
        crowded = self._running >= self._most and waited > CROWDED_SECONDS
        return crowded or waited > PATIENCE_SECONDS or _worker_stops()

    async def close(self) -> None:
        await self._watch.close()


def _worker_stops() -> bool:
    return activity.is_worker_shutdown()


def _tell(webhook_id: str, report: DeliveryReport) -> None:
    if report.wait is not None:
        log.webhook_failed(webhook_id, report.trouble, report.tries, report.wait.total_seconds())
    elif report.trouble and report.tries:
        log.webhook_gone(webhook_id, report.trouble, report.tries)
