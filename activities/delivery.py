"""The SMTP-send activity, and closing what a batch leaves open."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from typing import Any, TypeVar

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.attempt import BatchRun
from activities.carrying import Carriage
from activities.clock import ActivityClock
from activities.coming_back import due_together, when_lane_may_go, window_opens
from activities.consequences import config_words, refusal_of
from activities.deferring import deferred, deferred_until, pause
from activities.heartbeat import heartbeating
from activities.lane_desk import LaneDesk
from activities.measuring import count_delay
from activities.parts import BulkContent, WorkerParts
from activities.routes import Route
from postwerk.archive import bulks, delivery, lanes
from postwerk.archive.columns import from_microseconds
from postwerk.archive.lanes import LaneState
from postwerk.contracts.orders import BatchOrder, Counts, SendBatchInput, SettleInput
from postwerk.contracts.smtp import Exchange
from postwerk.contracts.states import OPEN_STATES, MessageState
from postwerk.errors import NotFound
from postwerk.observe import log, tracing
from postwerk.observe.metrics import sending
from postwerk.observe.metrics.sending import Delay
from postwerk.rules.providers import provider_label
from postwerk.rules.reply_class import BulkEffect, classify
from postwerk.rules.reply_words import plain_words
from postwerk.smtp.pool import Lease

T = TypeVar("T")

PATIENCE = timedelta(seconds=60)
"""How long a batch waits for one of its lane's connections before it makes room for other batches."""
FEW_WAITING = 8
"""Batches of one lane that may wait for a connection also when this worker has hardly room for others."""
CROWDED = 0.8
"""Above this share of its batches a worker keeps its room for lanes that move."""
BUSY_PAUSE, URGENT_PAUSE = timedelta(seconds=5), timedelta(seconds=1)
CANCELLED = "BulkSendCancelled"
"""Type of the error that ends a batch because its bulk send is cancelled."""
HELD_PAUSE, LONGEST_HELD_PAUSE = timedelta(seconds=3), timedelta(seconds=30)
"""A batch of a paused send looks again after 3, 6, 9 ... seconds, until its workflow has heard of it."""
UNKNOWN_PAUSE = timedelta(seconds=10)
"""Until the next worker is asked whether it knows the relay; another one's settings may."""
HELD_BACK = timedelta(seconds=2)
HELD_LOOK = timedelta(minutes=5)
JUST_NOW = timedelta(seconds=30)
BEGUN_SOON = 0.1
"""Seconds after which a send that has begun says so: most transactional mails are handed over by then."""
EARLY = timedelta(seconds=3)
"""Who waits for a permit comes back a little before it is free: none is to fall due unused."""


class DeliveryActivities:
    """Activities of one batch."""

    def __init__(self, parts: WorkerParts) -> None:
        self._parts = parts
        self._in_hand = 0

    @activity.defn
    async def send_batch(self, order: SendBatchInput) -> Counts:
        """Try everything that is due; answers the counts when nothing is open any more but what is held.

        Raises ApplicationError "Deferred" with the delay until the next message is due: Temporal keeps the
        timer and shows the last reply. Called again it goes on where it was: what is final is skipped.
        """
        clock = ActivityClock()
        async with heartbeating(), self._counted(), self._beginning(order):
            if clock.now() >= order.deadline:  # no worker was there in time
                raise deferred_until("the deadline is over", order.deadline, order.deadline, clock)
            if not await self._parts.permission.may_send(order.batch.bulk_id):
                raise await self._stopped(order, clock)
            bulk = await self._content(order)
            self._check_outfit(order, bulk, clock)
            if closed_until := window_opens(bulk.options, order.batch, clock.now()):
                count_delay(order.batch, Delay.WINDOW)
                raise deferred_until("outside its sending window", closed_until, order.deadline, clock)
            route = self._route(order, bulk, clock)
            tracing.batch(provider_label(order.batch.lane), route.desk.relay, order.batch.messages)
            await self._wait_for_relay(order, clock, route.desk)
            carriage = Carriage(BatchRun(self._parts, order, bulk, route, clock))
            try:
                if await carriage.prepare():
                    lease = await self._connect(order, clock, route, carriage)
                    await self._carry(order, clock, route, carriage, lease)
            finally:
                await carriage.permits.give_back()
            return await self._report(order, clock, route.desk, carriage)

    @activity.defn
    async def hurry_batch(self, batch: BatchOrder) -> None:
        """What is deferred is due now, and lane and relay may be tried again."""
        now = ActivityClock().now()
        bulk = await self._parts.current(batch.bulk_id)
        async with self._parts.archive.writing() as connection:
            await delivery.make_due(connection, batch, now)
            for name in (batch.lane, lanes.RELAY):
                await lanes.end_cool_down(connection, bulk.options.relay_name, name, now - JUST_NOW)

    @activity.defn
    async def settle_batch(self, order: SettleInput) -> Counts:
        """Give what is open in the batch a final state: expired, or cancelled.

        Not yet expired is what is held, or was, and so has a later deadline; the counts say how much later.
        """
        now, shard = ActivityClock().now(), self._parts.shard
        async with self._parts.archive.writing() as connection:
            if order.state is MessageState.EXPIRED and order.deadline is not None:
                late = max(now - order.deadline, order.more_time)
                return await delivery.expire_batch(connection, order.batch, late, now, shard)
            return await delivery.settle_batch(connection, order.batch, order.state, now, shard)

    @activity.defn
    async def await_release(self, batch: BatchOrder) -> Counts:
        """Everything open in the batch is held: answers when something of it may be sent again.

        Raises ApplicationError "Deferred" while it may not; a release tells the batch, so this only makes
        sure that none is missed.
        """
        async with self._parts.archive.reading() as connection:
            left = await delivery.left_in_batch(connection, batch)
        held = left.counts.states.get(MessageState.HELD, 0)
        if held and left.next_at is None:
            raise deferred(f"{held} of {batch.messages} held", HELD_LOOK)
        return left.counts

    @asynccontextmanager
    async def _beginning(self, order: SendBatchInput) -> AsyncIterator[None]:
        """A send that begins with this run is marked so: soon, or behind the mail if that is quicker."""
        if order.begins_at is None:
            yield
            return
        ends = asyncio.Event()
        marking = asyncio.create_task(self._mark_begun(order, order.begins_at, ends))
        try:
            yield
        finally:
            ends.set()
            await asyncio.shield(marking)

    async def _mark_begun(self, order: SendBatchInput, begins_at: datetime, ends: asyncio.Event) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(ends.wait(), BEGUN_SOON)
        async with self._parts.archive.writing() as connection:
            await bulks.begin_bulk(
                connection,
                order.batch.bulk_id,
                now=begins_at,
                deadline=order.deadline - order.more_time,
            )

    @asynccontextmanager
    async def _counted(self) -> AsyncIterator[None]:
        self._in_hand += 1
        sending.IN_HAND.inc()
        try:
            yield
        finally:
            self._in_hand -= 1
            sending.IN_HAND.dec()

    @property
    def _is_crowded(self) -> bool:
        return self._in_hand > CROWDED * self._parts.most_batches

    async def _content(self, order: SendBatchInput) -> BulkContent:
        try:
            return await self._parts.contents.of(order.batch.bulk_id)
        except NotFound as error:
            raise ApplicationError(error.message, type="NotFound", non_retryable=True) from None

    def _check_outfit(self, order: SendBatchInput, bulk: BulkContent, clock: ActivityClock) -> None:
        """What was asked for is not left out: the batch waits for a worker whose settings have it."""
        if lacks := bulk.composer.lacks:
            back_at = clock.now() + pause(UNKNOWN_PAUSE * (1 + self._parts.chance.random()))
            raise deferred_until(lacks, back_at, order.deadline, clock)

    def _route(self, order: SendBatchInput, bulk: BulkContent, clock: ActivityClock) -> Route:
        """Over a relay that this worker does not know nothing is sent, and never over another one instead."""
        route = self._parts.route(bulk.options.relay)
        if route is None:
            words = f"this worker knows no relay {bulk.options.relay_name}; name it in POSTWERK_RELAYS"
            back_at = clock.now() + pause(UNKNOWN_PAUSE * (1 + self._parts.chance.random()))
            raise deferred_until(words, back_at, order.deadline, clock)
        return route

    async def _wait_for_relay(self, order: SendBatchInput, clock: ActivityClock, desk: LaneDesk) -> None:
        """A relay that gives no session costs nobody an attempt: come back later."""
        await desk.look(order.batch.lane, clock.now())
        if desk.relay_state.cools(clock.now()):
            raise await self._after_cool_down(order, clock, desk, desk.relay_state, "relay waits")

    async def _after_cool_down(
        self, order: SendBatchInput, clock: ActivityClock, desk: LaneDesk, state: LaneState, words: str
    ) -> ApplicationError:
        """Each batch comes back at a time of its own: thousands may wait for the same moment."""
        count_delay(order.batch, Delay.RELAY if state.name == lanes.RELAY else Delay.COOL_DOWN)
        place = await desk.place_after(state.name, state.cool_until or clock.now())
        return deferred_until(f"{words}: {state.reason}", from_microseconds(place), order.deadline, clock)

    async def _connect(
        self, order: SendBatchInput, clock: ActivityClock, route: Route, carriage: Carriage
    ) -> Lease:
        pool, lane, desk = route.pool, order.batch.lane, route.desk
        crowded = self._is_crowded and not order.urgent and pool.waiting(lane) >= FEW_WAITING
        if pool.is_full(lane, urgent=order.urgent) or crowded:
            raise self._busy(order, clock)
        if desk.relay_state.failures and not await desk.may_probe(clock.now()):
            count_delay(order.batch, Delay.RELAY)
            words = f"another batch tries the relay: {desk.relay_state.reason}"
            raise deferred_until(words, clock.now() + BUSY_PAUSE, order.deadline, clock)
        got = await _unless_stopping(
            pool.acquire(lane, PATIENCE, retry=carriage.only_retries, urgent=order.urgent)
        )
        if got is None:
            raise self._busy(order, clock)
        if isinstance(got, Exchange):
            raise await self._no_session(order, clock, route, got)
        await desk.session_works(got.conversation.size_limit)
        return got

    def _busy(self, order: SendBatchInput, clock: ActivityClock) -> ApplicationError:
        count_delay(order.batch, Delay.CONNECTIONS)
        shortest = URGENT_PAUSE if order.urgent else BUSY_PAUSE
        back_at = clock.now() + pause(shortest * (1 + self._parts.chance.random()))
        return deferred_until("all connections to the relay are busy", back_at, order.deadline, clock)

    async def _carry(
        self, order: SendBatchInput, clock: ActivityClock, route: Route, carriage: Carriage, lease: Lease
    ) -> None:
        await carriage.run(lease)
        if carriage.stopped:
            raise await self._stopped(order, clock)
        if carriage.moved:
            return
        if carriage.unreachable is not None:
            raise await self._no_session(order, clock, route, carriage.unreachable)

    async def _stopped(self, order: SendBatchInput, clock: ActivityClock) -> ApplicationError:
        """Cancelled is for good, and need not wait for the word to come down the tree; held is not."""
        if await self._parts.permission.is_cancelled(order.batch.bulk_id):
            return ApplicationError("cancelled", type=CANCELLED, non_retryable=True)
        back_at = clock.now() + pause(min(HELD_PAUSE * activity.info().attempt, LONGEST_HELD_PAUSE))
        return deferred_until("held, or this worker stops", back_at, order.deadline, clock)

    async def _report(
        self, order: SendBatchInput, clock: ActivityClock, desk: LaneDesk, carriage: Carriage
    ) -> Counts:
        """Done, or back when the next message is due, and not before the lane allows it."""
        async with self._parts.archive.reading() as connection:
            left = await delivery.left_in_batch(connection, order.batch)
            next_at = await due_together(connection, desk, order.batch, left, clock.now())
            said = await delivery.last_reply_of_batch(connection, order.batch) if next_at else ""
        if next_at is None:
            log.batch_finished(
                order.batch.bulk_id, order.batch.number, {s.value: n for s, n in left.counts.states.items()}
            )
            return left.counts
        still_open = sum(n for state, n in left.counts.states.items() if state in OPEN_STATES)
        words = f"{still_open} of {order.batch.messages} open; last reply: {plain_words(said)}"
        if carriage.moved:
            back_at = max(next_at, clock.now())
            raise deferred_until(f"{words}; goes over another relay now", back_at, order.deadline, clock)
        if closed_until := window_opens(carriage.options, order.batch, max(next_at, clock.now())):
            count_delay(order.batch, Delay.WINDOW)
            raise deferred_until(f"{words}; outside its sending window", closed_until, order.deadline, clock)
        if ends := when_lane_may_go(desk, order.batch, next_at, clock.now()):
            count_delay(order.batch, Delay.SUSPENSION)
            words, next_at = f"{words}; lane is suspended", ends
        lane = desk.state(order.batch.lane)
        if lane.cool_until and max(next_at, clock.now()) < lane.cool_until:
            raise await self._after_cool_down(order, clock, desk, lane, f"{words}; lane cools down")
        if carriage.turned_away and carriage.permits.back_at:
            count_delay(order.batch, Delay.RATE)
            back_at = max(next_at, carriage.permits.back_at - EARLY)
            raise deferred_until(f"{words}; {carriage.permits.reason}", back_at, order.deadline, clock)
        if carriage.held_back or carriage.made_way:
            next_at = max(next_at, clock.now() + HELD_BACK)
        raise deferred_until(words, next_at, order.deadline, clock)

    async def _no_session(
        self, order: SendBatchInput, clock: ActivityClock, route: Route, exchange: Exchange
    ) -> ApplicationError:
        """The relay takes no more connections than it has, or it is away, or it does not want us."""
        if classify(exchange).bulk is BulkEffect.NONE and route.pool.relay_refused():
            return self._busy(order, clock)
        return await self._unreachable(order, clock, route.desk, exchange)

    async def _unreachable(
        self, order: SendBatchInput, clock: ActivityClock, desk: LaneDesk, exchange: Exchange
    ) -> ApplicationError:
        """No session: the relay cools down, what is due says so, and nobody loses an attempt (P5)."""
        now = clock.now()
        decision = classify(exchange)
        our_fault = decision.bulk is BulkEffect.CONFIG
        relay = await desk.session_failed(refusal_of(decision, exchange), now, our_fault=our_fault)
        async with self._parts.archive.writing() as connection:
            await delivery.note_unreachable(
                connection, order.batch, exchange, decision.reason, now=now, shard=self._parts.shard
            )
        words = config_words(decision, exchange)
        if our_fault:
            await self._parts.watch.our_fault(
                order.batch.bulk_id, lanes.RELAY, await self._content(order), words
            )
        log.relay_unreachable(desk.relay, words, relay.failures)
        return await self._after_cool_down(order, clock, desk, relay, f"no session: {words}")


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
