"""The SMTP-send activity, and closing what a batch leaves open."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from datetime import datetime, timedelta
from typing import Any, TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection
from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from activities.attempt import BatchRun
from activities.carrying import Carriage
from activities.clock import ActivityClock
from activities.heartbeat import heartbeating
from activities.parts import WorkerParts
from postwerk.archive import delivery, lanes
from postwerk.contracts.orders import BatchOrder, Counts, SendBatchInput, SettleInput
from postwerk.contracts.smtp import Exchange
from postwerk.contracts.states import OPEN_STATES
from postwerk.errors import NotFound
from postwerk.observe import log
from postwerk.rules.reply_words import plain_words
from postwerk.rules.retry_schedule import is_over, wait_after
from postwerk.smtp.pool import Lease

T = TypeVar("T")

PATIENCE = timedelta(seconds=60)
"""How long a batch waits for one of its lane's connections before it makes room for other batches."""
BUSY_PAUSE = timedelta(seconds=5)
CANCELLED = "BulkSendCancelled"
"""Type of the error that ends a batch because its bulk send is cancelled."""
HELD_PAUSE = timedelta(seconds=10)
HANDED_ON = timedelta(seconds=1)
"""A batch of a stopping worker goes to another one after this."""
PAST_THE_END = timedelta(seconds=1)


class DeliveryActivities:
    """Activities of one batch."""

    def __init__(self, parts: WorkerParts) -> None:
        self._parts = parts

    @activity.defn
    async def send_batch(self, order: SendBatchInput) -> Counts:
        """Try everything that is due; answers the counts when nothing is open any more.

        Raises ApplicationError "Deferred" with the delay until the next message is due: Temporal keeps the
        timer and shows the last reply. Called again it goes on where it was: what is final is skipped.
        """
        clock = ActivityClock()
        async with heartbeating():
            status = await self._wait_for_lane(order, clock)
            lease = await self._connect(order, clock)
            await self._carry_due(order, clock, lease, status)
            return await self._report(order, clock)

    @activity.defn
    async def hurry_batch(self, batch: BatchOrder) -> None:
        """What is deferred is due now, and the lane may be tried again."""
        async with self._parts.archive.writing() as connection:
            await delivery.make_due(connection, batch, ActivityClock().now())
            await lanes.end_cool_down(connection, self._parts.relay, batch.lane)

    @activity.defn
    async def settle_batch(self, order: SettleInput) -> Counts:
        """Give what is open in the batch a final state: expired, or cancelled."""
        now = ActivityClock().now()
        async with self._parts.archive.writing() as connection:
            return await delivery.settle_batch(connection, order.batch, order.state, now, self._parts.shard)

    async def _wait_for_lane(self, order: SendBatchInput, clock: ActivityClock) -> lanes.LaneStatus:
        """A stopped send or a lane that cools down costs nobody an attempt: come back later."""
        if not await self._parts.permission.may_send(order.batch.bulk_id):
            raise await self._stopped(order)
        async with self._parts.archive.reading() as connection:
            status = await lanes.lane_status(connection, self._parts.relay, order.batch.lane)
        if status.cool_until and status.cool_until > clock.now():
            raise self._deferred_until(order, clock, status.cool_until, f"lane waits: {status.reason}")
        return status

    async def _connect(self, order: SendBatchInput, clock: ActivityClock) -> Lease:
        got = await _unless_stopping(self._parts.pool.acquire(order.batch.lane, PATIENCE))
        if got is None:
            raise _deferred("all connections of the lane are busy", _pause(BUSY_PAUSE))
        if isinstance(got, Exchange):
            raise await self._unreachable(order, clock, got)
        return got

    async def _carry_due(
        self, order: SendBatchInput, clock: ActivityClock, lease: Lease, status: lanes.LaneStatus
    ) -> None:
        try:
            await self._recovered(order.batch.lane, status)
            bulk = await self._parts.contents.of(order.batch.bulk_id)
        except BaseException as error:
            self._parts.pool.release(lease)
            if isinstance(error, NotFound):
                raise ApplicationError(error.message, type="NotFound", non_retryable=True) from None
            raise
        carriage = Carriage(BatchRun(self._parts, order, bulk, clock))
        await carriage.run(lease)
        if carriage.unreachable is not None and not carriage.stopped:
            raise await self._unreachable(order, clock, carriage.unreachable)
        if carriage.stopped:
            raise await self._stopped(order)

    async def _stopped(self, order: SendBatchInput) -> ApplicationError:
        """Cancelled is for good, and need not wait for the word to come down the tree; held is not."""
        if await self._parts.permission.is_cancelled(order.batch.bulk_id):
            return ApplicationError("cancelled", type=CANCELLED, non_retryable=True)
        return _deferred("held, or this worker stops", _pause(HELD_PAUSE))

    async def _report(self, order: SendBatchInput, clock: ActivityClock) -> Counts:
        async with self._parts.archive.reading() as connection:
            left = await delivery.left_in_batch(connection, order.batch)
            said = await delivery.last_reply_of_batch(connection, order.batch) if left.next_at else ""
        if left.next_at is None:
            log.batch_finished(
                order.batch.bulk_id, order.batch.number, {s.value: n for s, n in left.counts.states.items()}
            )
            return left.counts
        still_open = sum(n for state, n in left.counts.states.items() if state in OPEN_STATES)
        words = f"{still_open} of {order.batch.messages} open; last reply: {plain_words(said)}"
        raise self._deferred_until(order, clock, left.next_at, words)

    async def _recovered(self, lane: str, status: lanes.LaneStatus) -> None:
        if status.failures:
            async with self._parts.archive.writing() as connection:
                await lanes.lane_recovered(connection, self._parts.relay, lane)

    async def _unreachable(
        self, order: SendBatchInput, clock: ActivityClock, exchange: Exchange
    ) -> ApplicationError:
        """No session: the lane cools down, what is due waits for it, and nobody loses an attempt (P5)."""
        now = clock.now()
        bulk = await self._parts.contents.of(order.batch.bulk_id)
        reason = _session_words(exchange)
        async with self._parts.archive.writing() as connection:
            before = await lanes.lane_status(connection, self._parts.relay, order.batch.lane)
            wait = wait_after(bulk.options.retry, before.failures + 1, self._parts.chance.random())
            status = await lanes.lane_failed(
                connection, self._parts.relay, order.batch.lane, until=now + wait, now=now, reason=reason
            )
            until = status.cool_until or now + wait
            await self._put_off(connection, order.batch, exchange, until, now)
        log.lane_unreachable(order.batch.lane, reason, (until - now).total_seconds())
        return self._deferred_until(order, clock, until, f"no session: {reason}")

    async def _put_off(
        self,
        connection: AsyncConnection,
        batch: BatchOrder,
        exchange: Exchange,
        until: datetime,
        now: datetime,
    ) -> None:
        reply = exchange.reply
        await delivery.put_off_due(
            connection,
            batch,
            until=until,
            now=now,
            stage=exchange.stage,
            code=reply.code if reply else None,
            enhanced=reply.enhanced if reply else None,
            said=reply.text if reply else exchange.detail,
            shard=self._parts.shard,
        )

    def _deferred_until(
        self, order: SendBatchInput, clock: ActivityClock, until: datetime, words: str
    ) -> ApplicationError:
        """Back at `until`; after the last attempt past the deadline, so that the server ends it."""
        now = clock.now()
        if is_over(now, order.deadline):
            return _deferred(words, order.deadline - now + PAST_THE_END)
        wait = min(until, order.deadline) - now
        return _deferred(f"{words}; next at {until:%Y-%m-%d %H:%M:%S} UTC", wait)


def _deferred(words: str, wait: timedelta) -> ApplicationError:
    return ApplicationError(
        words,
        type="Deferred",
        next_retry_delay=max(wait, timedelta(milliseconds=100)),
        category=ApplicationErrorCategory.BENIGN,
    )


def _pause(otherwise: timedelta) -> timedelta:
    return HANDED_ON if activity.is_worker_shutdown() else otherwise


async def _unless_stopping(waiting: Coroutine[Any, Any, T]) -> T | None:
    """The answer, or None as soon as this worker is to stop: it must not wait for a connection then."""
    asked = asyncio.create_task(waiting)
    stopping = asyncio.create_task(activity.wait_for_worker_shutdown())
    try:
        await asyncio.wait([asked, stopping], return_when=asyncio.FIRST_COMPLETED)
        return asked.result() if asked.done() else None
    finally:
        stopping.cancel()
        if not asked.done():
            asked.cancel()


def _session_words(exchange: Exchange) -> str:
    reply = exchange.reply
    said = plain_words(f"{reply.code} {reply.text}") if reply else exchange.detail
    return f"{exchange.stage}: {said}"
