"""One request with events: sign ▸ post ▸ judge the answer. What comes of it is a row for the log."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from postwerk.archive.event_cursor import START
from postwerk.archive.ids import new_id
from postwerk.archive.webhook_deliveries import Delivery
from postwerk.archive.webhooks import Webhook
from postwerk.contracts.webhooks import DeliveryKind, DeliveryOutcome
from postwerk.observe.metrics.webhooks import answered
from postwerk.rules.webhook_schedule import Verdict, read_retry_after, verdict_on, wait_after
from postwerk.webhooks.batches import Batch
from postwerk.webhooks.signing import signed_headers
from postwerk.webhooks.wire import Answer, Wire


class Sent(NamedTuple):
    """A request that was made."""

    row: Delivery
    verdict: Verdict
    trouble: str
    """A word for the failure: `status_500`, `timeout`; empty: none."""
    wait: timedelta | None
    """After a failure: when to try again; None: never."""

    @property
    def is_taken(self) -> bool:
        return self.verdict is Verdict.TAKEN


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Sender:
    """Posts batches. Its clock and its chance come from outside."""

    wire: Wire
    now: Callable[[], datetime] = _now
    chance: random.Random = field(default_factory=random.Random)

    def row_of(self, hook: Webhook, batch: Batch, kind: DeliveryKind) -> Delivery:
        """How the request stands in the log while it is under way."""
        return Delivery(
            id=batch.delivery_id or new_id("whd"),
            webhook=hook.id,
            message_id=batch.message_id,
            kind=kind,
            events=batch.events,
            first=batch.first,
            last=batch.last,
            attempt=batch.attempt,
            at=self.now(),
        )

    async def send(self, hook: Webhook, batch: Batch, row: Delivery) -> Sent:
        """Post it; `attempt` of its row counts the failures if this is one."""
        now = self.now()
        headers = signed_headers(batch.message_id, batch.body, hook.secrets(now), now)
        answer = await self.wire.post(hook.url, batch.body, headers)
        return self._judged(row, answer)

    async def send_test(self, hook: Webhook, message_id: str, body: bytes) -> Sent:
        """One request that is not tried again."""
        batch = Batch(message_id, body, 1, START, START, self.now())
        sent = await self.send(hook, batch, self.row_of(hook, batch, DeliveryKind.TEST))
        outcome = DeliveryOutcome.DELIVERED if sent.is_taken else DeliveryOutcome.GIVEN_UP
        return sent._replace(row=replace(sent.row, outcome=outcome, next_at=None), wait=None)

    def _judged(self, row: Delivery, answer: Answer) -> Sent:
        verdict, now = verdict_on(answer.status), self.now()
        asked_for = read_retry_after(answer.retry_after, now)
        wait = None
        if verdict not in (Verdict.TAKEN, Verdict.GONE):
            wait = wait_after(row.attempt, verdict, asked_for, self.chance.random())
        row = replace(
            row,
            milliseconds=answer.milliseconds,
            status=answer.status,
            detail=answer.detail,
            outcome=_outcome(verdict, wait),
            next_at=now + wait if wait is not None else None,
        )
        answered(row.outcome, row.events, answer.milliseconds / 1000)
        return Sent(row, verdict, _trouble(verdict, answer), wait)


def _outcome(verdict: Verdict, wait: timedelta | None) -> DeliveryOutcome:
    if verdict is Verdict.TAKEN:
        return DeliveryOutcome.DELIVERED
    return DeliveryOutcome.FAILED if wait is not None else DeliveryOutcome.GIVEN_UP


def _trouble(verdict: Verdict, answer: Answer) -> str:
    if verdict is Verdict.TAKEN:
        return ""
    return answer.trouble or f"status_{answer.status}"
