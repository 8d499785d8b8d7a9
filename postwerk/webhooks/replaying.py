"""One run of a replay: what happened from one event to another is posted again, beside the live ones."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from postwerk.archive.engine import Archive
from postwerk.archive.event_cursor import Cursor
from postwerk.archive.outbox import events_after
from postwerk.archive.webhook_deliveries import Delivery, write_deliveries
from postwerk.archive.webhooks import Webhook, webhook
from postwerk.contracts.events import Event
from postwerk.contracts.webhooks import DeliveryKind, DeliveryReport, Position, ReplayOrder, RunOutcome
from postwerk.errors import NotFound
from postwerk.rules.webhook_types import wanted_types
from postwerk.webhooks.batches import batch_of
from postwerk.webhooks.delivering import BUSY_SECONDS, counted
from postwerk.webhooks.sending import Sender

_PAGE = 100


class ReplayRun:
    """Keeps its place in its reports, not in the archive: a run whose worker dies is made again."""

    def __init__(
        self, archive: Archive, sender: Sender, order: ReplayOrder, is_over: Callable[[], bool]
    ) -> None:
        self._archive = archive
        self._sender = sender
        self._order = order
        self._is_over = is_over
        self._cursor = Cursor(order.position.xid, order.position.id)
        self._last = Cursor(order.last.xid, order.last.id)
        self._tries = order.tries
        self._report = DeliveryReport(outcome=RunOutcome.GO_ON)

    async def deliver(self) -> DeliveryReport:
        """Until everything is sent again, something fails, or its time is over."""
        end = time.monotonic() + BUSY_SECONDS
        while time.monotonic() < end and not self._is_over():
            try:
                async with self._archive.reading() as connection:
                    hook = await webhook(connection, self._order.webhook_id)
            except NotFound:
                return self._ended(RunOutcome.STOPPED, trouble="deleted")
            if not hook.is_enabled:
                return self._ended(RunOutcome.STOPPED, trouble=hook.state.value)
            page = await self._turn_page(hook)
            if not page:
                return self._ended(RunOutcome.STOPPED)
            if (ended := await self._send_all(hook, page, end)) is not None:
                return ended
        return self._ended(RunOutcome.GO_ON)

    async def _turn_page(self, hook: Webhook) -> list[Event]:
        """The next ones; none: that was all."""
        while self._cursor < self._last:
            async with self._archive.reading() as connection:
                page = await events_after(
                    connection,
                    self._cursor,
                    limit=max(hook.max_events, _PAGE if hook.max_events == 1 else 1),
                    types=wanted_types(hook.types),
                    owner=hook.owner or None,
                    with_repeated=hook.repeated,
                )
            found = [one for one in page.events if Cursor.parse(one.id) <= self._last]
            if found or page.reached == self._cursor:
                return found
            self._cursor = page.reached
        return []

    async def _send_all(self, hook: Webhook, page: Sequence[Event], end: float) -> DeliveryReport | None:
        """A report ends the run."""
        while page and time.monotonic() < end and not self._is_over():
            batch = batch_of(hook.id, page, hook.max_events)._replace(attempt=self._tries + 1)
            sent = await self._sender.send(hook, batch, self._sender.row_of(hook, batch, DeliveryKind.REPLAY))
            await self._write(sent.row)
            self._report = counted(self._report, batch, sent, self._sender.now())
            if not sent.is_taken:
                self._tries = sent.row.attempt
                outcome = RunOutcome.STOPPED if sent.wait is None else RunOutcome.FAILED
                return self._ended(outcome, trouble=sent.trouble, wait=sent.wait)
            self._tries, self._cursor, page = 0, batch.last, page[batch.events :]
        return None

    async def _write(self, row: Delivery) -> None:
        await self._archive.at_once(lambda connection: write_deliveries(connection, [row]))

    def _ended(self, outcome: RunOutcome, *, trouble: str = "", wait: object = None) -> DeliveryReport:
        return self._report.model_copy(
            update={
                "outcome": outcome,
                "trouble": trouble,
                "wait": wait,
                "tries": self._tries,
                "position": Position(xid=self._cursor.xid, id=self._cursor.id),
                "at": self._sender.now(),
            }
        )
