"""Carrying the due messages of a batch over a few connections, on each one message after the other."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from datetime import timedelta

from temporalio import activity

from activities.attempt import Attempt
from activities.clock import ActivityClock
from activities.parts import BulkContent, WorkerParts
from postwerk.archive.delivery import DueMessage
from postwerk.contracts.orders import SendBatchInput
from postwerk.contracts.smtp import Exchange
from postwerk.smtp.pool import Lease

_NOW = timedelta(0)
"""Patience of a carrier that only helps: it takes a connection that is free, or none."""
LAST_CHANCE_SECONDS = 1.0
"""A server that owes a reply to a dot when the time of a stopping worker is up; then it is ambiguous."""


class Carriage:
    """One run over due messages: as many carriers as the lane has connections to spare, at least one."""

    def __init__(
        self,
        parts: WorkerParts,
        order: SendBatchInput,
        bulk: BulkContent,
        clock: ActivityClock,
        due: Iterable[DueMessage],
    ) -> None:
        self._parts = parts
        self._order = order
        self._bulk = bulk
        self._clock = clock
        self._due = deque(due)
        self._carriers: set[asyncio.Task[None]] = set()
        self._leases: set[Lease] = set()
        self._accident: BaseException | None = None
        self.stopped = False
        """The bulk send was held or cancelled, or this worker stops: messages may be left."""
        self.unreachable: Exchange | None = None
        """Why the lane gave no further connection."""

    async def run(self, lease: Lease) -> None:
        """Send until nothing is due or the send is stopped; returns when every transaction has ended.

        A cancelled activity takes no new message and lets running transactions come to their end: a 250
        at the dot is recorded as delivered even when a cancel arrives meanwhile. Only a stopping worker
        whose time is up cuts them off.
        """
        self._hire(lease)
        cancelled = False
        while self._carriers:
            try:
                await asyncio.wait(self._carriers)
            except asyncio.CancelledError:
                cancelled = self.stopped = True
                if activity.is_worker_shutdown():
                    self._cut_off()
        if cancelled:
            raise asyncio.CancelledError
        if self._accident is not None:
            raise self._accident

    def _cut_off(self) -> None:
        """Before the dot this ends a transaction at once; after it the reply gets its last chance."""
        for carrier in self._carriers:
            carrier.cancel()
        asyncio.get_running_loop().call_later(LAST_CHANCE_SECONDS, self._hang_up)

    def _hang_up(self) -> None:
        for lease in self._leases:
            if not lease.released:
                lease.conversation.abort()

    def _hire(self, lease: Lease | None) -> None:
        carrier = asyncio.create_task(self._carry(lease))
        self._carriers.add(carrier)
        carrier.add_done_callback(self._retire)

    def _retire(self, carrier: asyncio.Task[None]) -> None:
        self._carriers.discard(carrier)
        if not carrier.cancelled() and (error := carrier.exception()) is not None:
            self._accident = self._accident or error
            self.stopped = True

    async def _carry(self, lease: Lease | None) -> None:
        """One connection after the other, one message after the other."""
        try:
            lease = lease or await self._connection()
            while lease is not None and self._due and await self._may_go_on():
                self._leases.add(lease)
                self._call_for_help()
                await Attempt(self._parts, self._order, self._bulk, self._clock, self._due.popleft()).make(
                    lease
                )
                lease = await self._keep_or_change(lease)
        finally:
            if lease is not None:
                self._parts.pool.release(lease)

    async def _may_go_on(self) -> bool:
        if not self.stopped:
            self.stopped = activity.is_worker_shutdown() or not await self._parts.permission.may_send(
                self._order.batch.bulk_id
            )
        return not self.stopped and bool(self._due)

    def _call_for_help(self) -> None:
        """Whoever takes a message hires the next carrier, while messages and connections are left."""
        if len(self._due) > 1 and self._parts.pool.has_room(self._order.batch.lane):
            self._hire(None)

    async def _keep_or_change(self, lease: Lease) -> Lease | None:
        """The same connection while it is good for another message, else another one of the lane."""
        if lease.usable:
            return lease
        self._parts.pool.release(lease)
        return await self._connection() if self._due else None

    async def _connection(self) -> Lease | None:
        got = await self._parts.pool.acquire(self._order.batch.lane, _NOW)
        if isinstance(got, Exchange):
            self.unreachable = got
            return None
        return got
