"""One run of a webhook: what happened since is posted, one request at a time, in order."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from postwerk.archive.api_keys import has_active_key
from postwerk.archive.engine import Archive
from postwerk.archive.event_cursor import Cursor
from postwerk.archive.outbox import Page, events_after
from postwerk.archive.webhook_deliveries import Delivery, unfinished
from postwerk.archive.webhooks import Webhook, change_webhook, last_change, webhook
from postwerk.contracts.events import Event
from postwerk.contracts.webhooks import (
    DeliveryKind,
    DeliveryOutcome,
    DeliveryReport,
    RunOutcome,
    WebhookState,
)
from postwerk.errors import NotFound
from postwerk.rules.webhook_schedule import Verdict
from postwerk.rules.webhook_types import wanted_types
from postwerk.webhooks.batches import Batch, batch_of, same_batch
from postwerk.webhooks.ledger import Ledger, Superseded
from postwerk.webhooks.sending import Sender, Sent
from postwerk.webhooks.watching import OutboxWatch

BUSY_SECONDS = 30.0
"""A run that has sent something ends after this: its workflow shows what it came to."""
_PAGE = 100
"""Events that are read at once for a receiver of single ones."""
_FRESH_SECONDS = 1.0
"""Settings are at most so old."""
_WAIT_SECONDS = 5.0
_KEEP_SECONDS = 5.0
"""A cursor that only moved past what nobody wanted is written down so often."""

GONE = "its receiver answered 410 Gone"
WITHOUT_KEY = "the API key that made it was revoked or has expired"
FAILED_TO_THE_END = "its receiver failed in every try for three days"


class Run:
    """Ends by a failure, when its time is over, or when the webhook is to be told of nothing more."""

    def __init__(
        self,
        archive: Archive,
        sender: Sender,
        watch: OutboxWatch,
        webhook_id: str,
        is_over: Callable[[], bool],
    ) -> None:
        """`is_over`: whether the worker stops, or others wait for its place."""
        self._archive = archive
        self._sender = sender
        self._watch = watch
        self._webhook_id = webhook_id
        self._is_over = is_over
        self._page: list[Event] = []
        self._reached: Cursor | None = None
        """Up to where the page was looked for."""
        self._unfinished: Delivery | None = None
        self._busy_since: float | None = None
        self._report = DeliveryReport(outcome=RunOutcome.GO_ON)

    async def deliver(self) -> DeliveryReport:
        """Until it ends. Raises what the archive raises."""
        try:
            await self._begin()
            while not self._is_done():
                if (ended := await self._step()) is not None:
                    return ended
            await self._ledger.write()
        except NotFound:
            return self._ended(RunOutcome.STOPPED, trouble="deleted")
        except Superseded:
            pass  # the next run goes on from where the row says
        return self._ended(RunOutcome.GO_ON)

    async def _begin(self) -> None:
        await self._refresh()
        self._ledger = Ledger(self._archive, self._webhook_id, self._hook.cursor)
        async with self._archive.reading() as connection:
            self._unfinished = await unfinished(connection, self._webhook_id, self._hook.cursor)

    async def _step(self) -> DeliveryReport | None:
        """Send one batch, or wait for one. A report ends the run."""
        if time.monotonic() - self._refreshed_at > _FRESH_SECONDS:
            await self._refresh()
        if not self._hook.is_enabled:
            await self._ledger.write()
            return self._ended(RunOutcome.STOPPED, trouble=self._hook.state.value)
        batch = await self._next_batch()
        if batch is None:
            return None
        return await self._send(batch)

    async def _refresh(self) -> None:
        async with self._archive.reading() as connection:
            self._changed_at: datetime = await last_change(connection)
            self._hook: Webhook = await webhook(connection, self._webhook_id)
            may_go_on = await self._has_key(connection)
        if self._hook.is_enabled and not may_go_on:
            await self._disable()
        self._refreshed_at = time.monotonic()

    async def _has_key(self, connection: AsyncConnection) -> bool:
        """Who may not ask any more is told nothing any more."""
        owner = self._hook.owner
        return not owner or await has_active_key(connection, owner, self._sender.now())

    async def _disable(self) -> None:
        async with self._archive.writing() as connection:
            self._hook = await change_webhook(
                connection,
                self._webhook_id,
                self._sender.now(),
                state=WebhookState.DISABLED,
                reason=WITHOUT_KEY,
            )

    # What comes next

    async def _next_batch(self) -> Batch | None:
        if not self._page:
            await self._turn_page()
        if not self._page:
            await self._wait()
            return None
        if self._unfinished is not None:
            return self._again(self._unfinished)
        if (rest := self._time_to_fill()) > 0:
            self._page.clear()
            await self._watch.wait(self._reached or self._ledger.cursor, self._changed_at, rest)
            return None
        return batch_of(self._webhook_id, self._page, self._hook.max_events)

    async def _turn_page(self) -> None:
        """Read what comes behind the cursor; whatever was left out there is behind too."""
        limit = self._unfinished.events if self._unfinished else max(self._hook.max_events, 1)
        limit = _PAGE if limit == 1 and not self._unfinished else limit
        page = await self._read(limit)
        self._page, self._reached = page.events, page.reached
        if self._unfinished is not None:
            self._page = [one for one in page.events if Cursor.parse(one.id) <= self._unfinished.last]
            self._reached = None
            if not self._page:  # it wants none of these any more
                self._unfinished = None
                await self._turn_page()
        elif not self._page:
            self._ledger.cursor = page.reached

    async def _read(self, limit: int) -> Page:
        hook = self._hook
        async with self._archive.reading() as connection:
            return await events_after(
                connection,
                self._ledger.cursor,
                limit=limit,
                types=wanted_types(hook.types),
                owner=hook.owner or None,
                with_repeated=hook.repeated,
            )

    def _again(self, before: Delivery) -> Batch:
        """The same events under the same id. A try whose worker died is made again as the same one."""
        batch = same_batch(self._webhook_id, self._page, before.message_id)
        if before.outcome is DeliveryOutcome.SENDING:
            return batch._replace(attempt=before.attempt, delivery_id=before.id)
        tries = 0 if before.outcome is DeliveryOutcome.GIVEN_UP else before.attempt
        return batch._replace(attempt=tries + 1)

    def _time_to_fill(self) -> float:
        """Seconds that this batch may still wait for others."""
        hook = self._hook
        if len(self._page) >= hook.max_events or hook.max_events == 1:
            return 0.0
        return (self._page[0].timestamp + hook.max_wait - self._sender.now()).total_seconds()

    async def _wait(self) -> None:
        if self._ledger.has_rows or self._ledger.seconds_since_written > _KEEP_SECONDS:
            await self._ledger.write()
        self._report = self._report.model_copy(update={"behind": None})
        await self._watch.wait(self._ledger.cursor, self._changed_at, _WAIT_SECONDS)

    # Sending

    async def _send(self, batch: Batch) -> DeliveryReport | None:
        self._busy_since = self._busy_since or time.monotonic()
        row = self._sender.row_of(self._hook, batch, DeliveryKind.EVENTS)
        if batch.is_list:  # which ones go together must be known whatever happens to this process
            self._ledger.note(row)
            await self._ledger.write()
        sent = await self._sender.send(self._hook, batch, row)
        self._ledger.note(sent.row)
        self._count(batch, sent)
        if not sent.is_taken:
            return await self._failed(sent)
        await self._taken(batch)
        return None

    async def _taken(self, batch: Batch) -> None:
        self._unfinished = None
        self._page = self._page[batch.events :]
        self._ledger.cursor = batch.last
        if not self._page and self._reached is not None:
            self._ledger.cursor = self._reached
        if batch.is_list or self._ledger.is_due:
            await self._ledger.write()

    async def _failed(self, sent: Sent) -> DeliveryReport:
        if sent.wait is not None:
            await self._ledger.write()
            return self._ended(RunOutcome.FAILED, trouble=sent.trouble, wait=sent.wait)
        await self._ledger.give_up(GONE if sent.verdict is Verdict.GONE else FAILED_TO_THE_END)
        return self._ended(RunOutcome.STOPPED, trouble=sent.trouble)

    # How it stands

    def _count(self, batch: Batch, sent: Sent) -> None:
        self._report = counted(self._report, batch, sent, self._sender.now())

    def _is_done(self) -> bool:
        busy = self._busy_since is not None and time.monotonic() - self._busy_since > BUSY_SECONDS
        return busy or self._is_over()

    def _ended(
        self, outcome: RunOutcome, *, trouble: str = "", wait: timedelta | None = None
    ) -> DeliveryReport:
        ended = {"outcome": outcome, "trouble": trouble, "wait": wait, "at": self._sender.now()}
        return self._report.model_copy(update=ended)


def counted(report: DeliveryReport, batch: Batch, sent: Sent, now: datetime) -> DeliveryReport:
    """The report with one request more."""
    return report.model_copy(
        update={
            "events": report.events + (batch.events if sent.is_taken else 0),
            "requests": report.requests + 1,
            "status": sent.row.status,
            "tries": 0 if sent.is_taken else sent.row.attempt,
            "behind": max(now - batch.oldest, timedelta(0)),
        }
    )
