"""Activities of a whole bulk send: begin, plan, hold, release, progress, close."""

from __future__ import annotations

from datetime import datetime

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.clock import ActivityClock
from activities.heartbeat import heartbeating
from activities.parts import WorkerParts
from postwerk.archive import bulks, plan, suppressing
from postwerk.archive.counters import counts_of
from postwerk.archive.delivery import bulk_content
from postwerk.archive.looks import look_at
from postwerk.archive.suppressions import settle_suppressed
from postwerk.contracts.orders import BatchOrder, BulkOrder, Counts, ExpansionInput, Look, Plan
from postwerk.contracts.states import ENDED, BulkState, MessageState


class BulkActivities:
    """Each is safe to repeat: the archive remembers what was done."""

    def __init__(self, parts: WorkerParts) -> None:
        self._parts = parts

    @activity.defn
    async def begin_bulk(self, order: BulkOrder) -> str:
        """Mark it running from now until its deadline; answers the state it is in."""
        assert order.deadline is not None
        async with self._parts.archive.writing() as connection:
            state = await bulks.begin_bulk(
                connection,
                order.bulk_id,
                now=order.now,
                deadline=order.deadline,
                begins_at=order.begins_at,
            )
        if state is None:
            raise ApplicationError(
                f"The archive holds no bulk send {order.bulk_id}.", type="NotFound", non_retryable=True
            )
        return state.value

    @activity.defn
    async def schedule_bulk(self, order: BulkOrder) -> None:
        """It was released before it has begun: it waits until `order.begins_at`."""
        await self._set_beginning(order, released=True)

    @activity.defn
    async def set_beginning(self, order: BulkOrder) -> None:
        """It begins at `order.begins_at`, if it has not begun, and its time is over at `order.deadline`."""
        await self._set_beginning(order, released=False)

    async def _set_beginning(self, order: BulkOrder, *, released: bool) -> None:
        assert order.begins_at is not None
        assert order.deadline is not None
        async with self._parts.archive.writing() as connection:
            await bulks.set_beginning(
                connection, order.bulk_id, order.begins_at, order.deadline, released=released
            )
        if released:
            self._parts.permission.allow(order.bulk_id)

    @activity.defn
    async def plan_bulk(self, order: BulkOrder) -> Plan:
        """How the bulk send falls into batches; planned once, then read."""
        now = ActivityClock().now()
        async with heartbeating():
            async with self._parts.archive.reading() as connection:
                found = await bulk_content(connection, order.bulk_id)
            if found is None:
                raise ApplicationError(
                    f"The archive holds no bulk send {order.bulk_id}.", type="NotFound", non_retryable=True
                )
            await self._suppress_all(order.bulk_id, now)
            await self._gather_lanes(order.bulk_id)
            async with self._parts.archive.writing() as connection:
                return await plan.plan_batches(
                    connection,
                    order.bulk_id,
                    found[1].recipients_per_child,
                    now=now,
                    shard=self._parts.shard,
                )

    async def _suppress_all(self, bulk_id: str, now: datetime) -> None:
        """Found by reading, settled in small commits; a repeated plan goes on with who is left."""
        archive = self._parts.archive
        async with archive.reading() as connection:
            search = await suppressing.begin_search(connection, bulk_id)
        while search is not None:
            async with archive.reading() as connection:
                seqs, search = await suppressing.search_page(connection, search)
            for some in plan.in_groups(seqs, bulks.ROWS_PER_COMMIT):
                async with archive.writing() as connection:
                    await settle_suppressed(connection, bulk_id, some, now, self._parts.shard)

    async def _gather_lanes(self, bulk_id: str) -> None:
        async with self._parts.archive.reading() as connection:
            small = await plan.small_lanes(connection, bulk_id)
        for some in plan.in_groups(small):
            async with self._parts.archive.writing() as connection:
                await plan.gather_lanes(connection, bulk_id, some)

    @activity.defn
    async def batches_of(self, order: ExpansionInput) -> list[BatchOrder]:
        """The orders for batches first to last, at most 200."""
        async with self._parts.archive.reading() as connection:
            return list(await plan.batches(connection, order.bulk_id, order.first, order.last))

    @activity.defn
    async def hold_bulk(self, order: BulkOrder) -> bool:
        """From its commit on no worker starts another transaction for longer than a second (P6)."""
        return await self._move(order, BulkState.PAUSED)

    @activity.defn
    async def is_paused(self, order: BulkOrder) -> bool:
        """Whether the archive says so now."""
        async with self._parts.archive.reading() as connection:
            return await bulks.bulk_state(connection, order.bulk_id) is BulkState.PAUSED

    @activity.defn
    async def release_bulk(self, order: BulkOrder) -> bool:
        """`order.deadline` is the new one: held time stopped the clock."""
        async with self._parts.archive.writing() as connection:
            await bulks.watch_from_now(connection, order.bulk_id)
        released = await self._move(order, BulkState.RUNNING)
        self._parts.permission.allow(order.bulk_id)
        return released

    @activity.defn
    async def set_deadline(self, order: BulkOrder) -> None:
        """`order.deadline` is the new one, as it is while the send is not paused."""
        assert order.deadline is not None
        async with self._parts.archive.writing() as connection:
            await bulks.set_deadline(connection, order.bulk_id, order.deadline)

    @activity.defn
    async def cancel_bulk(self, order: BulkOrder) -> bool:
        return await self._move(order, BulkState.CANCELLING)

    async def _move(self, order: BulkOrder, state: BulkState) -> bool:
        async with self._parts.archive.writing() as connection:
            return await bulks.move_bulk(
                connection,
                order.bulk_id,
                state,
                now=order.now,
                reason=order.reason,
                deadline=order.deadline,
            )

    @activity.defn
    async def progress_of(self, bulk_id: str) -> Look:
        """The counters, and what the rest waits for: small reads, whatever the size of the bulk send."""
        async with self._parts.archive.reading() as connection:
            return await look_at(connection, bulk_id, ActivityClock().now())

    @activity.defn
    async def close_bulk(self, order: BulkOrder) -> Counts:
        """Completed: what a lost child left open ends failed. Not closed while batches are to be carried."""
        if order.batches is not None:
            async with self._parts.archive.reading() as connection:
                if not await bulks.all_is_carried(connection, order.bulk_id, order.batches):
                    return await self._not_closed(order.bulk_id)
        return await self._close(order, BulkState.COMPLETED, MessageState.FAILED)

    @activity.defn
    async def close_cancelled(self, order: BulkOrder) -> Counts:
        """Cancelled: what was not handed over ends cancelled."""
        return await self._close(order, BulkState.CANCELLED, MessageState.CANCELLED)

    async def _close(self, order: BulkOrder, state: BulkState, leftovers: MessageState) -> Counts:
        now = ActivityClock().now()
        async with heartbeating():
            await self._settle_all(order, leftovers, now)
            async with self._parts.archive.writing() as connection:
                await bulks.finish_bulk(
                    connection, order.bulk_id, state, now=now, reason=order.reason, batches=order.batches
                )
                ended = await bulks.bulk_state(connection, order.bulk_id) in ENDED
                return Counts(states=await counts_of(connection, order.bulk_id), is_closed=ended)

    async def _not_closed(self, bulk_id: str) -> Counts:
        async with self._parts.archive.reading() as connection:
            return Counts(states=await counts_of(connection, bulk_id), is_closed=False)

    async def _settle_all(self, order: BulkOrder, state: MessageState, now: datetime) -> None:
        """In small commits, so that the journals of other bulk sends are not held up.

        Unless there is more to carry since: then what is open is no leftover.
        """
        async with self._parts.archive.reading() as connection:
            left = await bulks.open_range(connection, order.bulk_id)
        if left is None:
            return
        for first in range(left[0], left[1] + 1, bulks.ROWS_PER_COMMIT):
            async with self._parts.archive.writing() as connection:
                goes_on = await bulks.settle_some(
                    connection,
                    order.bulk_id,
                    first,
                    first + bulks.ROWS_PER_COMMIT - 1,
                    state,
                    now=now,
                    shard=self._parts.shard,
                    batches=order.batches,
                )
            if not goes_on:
                return
