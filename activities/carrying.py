"""Carrying the due messages of a batch over a few connections, on each one message after the other."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import timedelta

from temporalio import activity

from activities.attempt import Attempt, BatchRun
from activities.passed_over import PassedOver
from activities.permits import Permits
from postwerk.archive.delivery import DueMessage, due_messages, expire_some
from postwerk.archive.suppressions import settle_suppressed, suppressed_seqs
from postwerk.contracts.options import BulkOptions
from postwerk.contracts.smtp import SESSION_STAGES, Exchange
from postwerk.contracts.states import MessageState
from postwerk.rules.sending_window import is_closed
from postwerk.smtp.pool import Lease

_NOW = timedelta(0)
"""Patience of a carrier that only helps: it takes a connection that is free, or none."""
MADE_WAY = timedelta(seconds=60)
"""Patience of who has just let somebody urgent pass."""
PAGE = 128
"""Messages of a batch in memory at a time."""
PAGE_SECONDS = 5.0
"""Then the page is read again: an address that was suppressed meanwhile gets nothing."""
LAST_CHANCE_SECONDS = 1.0
"""A server that owes a reply to a dot when the time of a stopping worker is up; then it is ambiguous."""


class Carriage:
    """One run over due messages: as many carriers as the lane has connections to spare, at least one."""

    def __init__(self, run: BatchRun) -> None:
        self._run = run
        batch = run.order.batch
        self._lane = batch.lane
        self._pool = run.route.pool
        self.permits = Permits(
            run.route.desk,
            batch.lane,
            batch.bulk_id,
            run.bulk.options.rate,
            run.clock,
            self._may_go_on,
            urgent=run.order.urgent,
        )
        self._passed_over = PassedOver(run.route.desk, batch.lane, run.clock)
        self._due: deque[DueMessage] = deque()
        self._read_at = float("-inf")
        self._read_under: frozenset[str] = frozenset()
        """Stopping operations that the page was read under."""
        self._loading = asyncio.Lock()
        self._all_loaded = False
        self._last_seq = 0
        self._tried: set[int] = set()
        """Taken in hand by this run: they are not read again, whatever the archive says of them by now."""
        self._carriers: set[asyncio.Task[None]] = set()
        self._connecting: set[asyncio.Task[None]] = set()
        """Helpers who have no connection yet."""
        self._leases: set[Lease] = set()
        self._accident: BaseException | None = None
        self.stopped = False
        """The bulk send was held or cancelled, or this worker stops: messages may be left."""
        self.unreachable: Exchange | None = None
        """Why there is no further session."""
        self.held_back = False
        """An operation under way stops messages that are due; soon they say so themselves."""
        self.made_way = False
        """Somebody urgent took its connection, and no other became free."""
        self.turned_away = False
        """The pace allows no further message soon: `permits` knows until when, and why."""
        self.moved = False
        """The bulk send goes over another relay from now on: so does what is left."""

    async def prepare(self) -> bool:
        """Whether there is a message to send, and it may go now; before a connection is asked for."""
        await self._load_pages()
        return bool(self._due) and await self._first_permit()

    async def _first_permit(self) -> bool:
        """Without a free connection none is leased yet: it would lapse, and nobody else could use it."""
        if self._pool.has_room(self._lane):
            self.turned_away = not await self.permits.look(len(self._due))
        else:
            self.turned_away = await self.permits.lane_rests()
        return not self.turned_away

    @property
    def only_retries(self) -> bool:
        return all(message.attempts for message in self._due)

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
        """One message after the other; the lease itself changes a connection that is spent or was lost.

        Only the first carrier keeps its connection while it waits for a permit: others may want the rest.
        """
        helps = lease is None
        try:
            lease = lease or await self._helpers_connection()
            while lease is not None and (self.permits.ready() or not helps):
                if self._pool.is_wanted(self._lane) and (lease := await self._make_way(lease, helps)) is None:
                    break
                if (message := await self._next()) is None:
                    break
                self._leases.add(lease)
                self._call_for_help()
                exchange = await Attempt(self._run, message).make(lease)
                if exchange is not None and exchange.stage in SESSION_STAGES:
                    self.unreachable = exchange  # the others would only find the same
            if not self._due or self._halted or self.stopped:
                self._send_helpers_home()
        finally:
            if lease is not None:
                self._leases.discard(lease)
                self._pool.release(lease)

    async def _make_way(self, lease: Lease, helps: bool) -> Lease | None:
        """Somebody urgent waits: after this the connection is theirs, and ours is the next that is free."""
        self._leases.discard(lease)
        self._pool.release(lease)
        if helps or not self._due:
            return None
        got = await self._pool.acquire(self._lane, MADE_WAY, retry=self.only_retries)
        if isinstance(got, Exchange):
            self.unreachable = got
            return None
        self.made_way = got is None
        return got

    async def _next(self) -> DueMessage | None:
        """The next due message, unless there is a reason to send none."""
        if not await self._may_take():
            return None
        if not self.permits.free():
            if not await self.permits.take(len(self._due)):
                self.turned_away = not (self.stopped or self.moved)
                return None
            if not await self._may_take():  # while it waited the send was held, or the page grew old
                return None
        message = self._due.popleft()
        self._tried.add(message.seq)
        return message

    async def _may_take(self) -> bool:
        return not self._halted and await self._may_go_on() and await self._has_message()

    @property
    def options(self) -> BulkOptions:
        """As this run knows them by now."""
        return self._run.bulk.options

    @property
    def _halted(self) -> bool:
        halted = self.unreachable is not None or self.turned_away or self.moved
        return halted or is_closed(self.options.window, self._run.clock.now())

    async def _has_message(self) -> bool:
        if await self._grew_old() or self._passed_over.may_return():
            self._read_again()
        if self._passed_over.suspended():
            self._due = deque(self._passed_over.pick(self._due))
        if not self._due and not self._all_loaded:
            async with self._loading:
                await self._load_pages()
        return bool(self._due)

    async def _grew_old(self) -> bool:
        """A page is read again after a while, and when an operation means to stop some of its messages."""
        stopping = await self._run.parts.stopping.look()
        old = time.monotonic() - self._read_at > PAGE_SECONDS
        return bool(self._due) and (old or not stopping <= self._read_under)

    def _read_again(self) -> None:
        seqs = [*(message.seq for message in self._due), *self._passed_over.returning()]
        self._last_seq = min([self._last_seq, *(seq - 1 for seq in seqs)])
        self._due.clear()
        self._all_loaded = False

    async def _load_pages(self) -> None:
        """Until one holds a message that may go, or there are no more."""
        while not self._due and not self._all_loaded:
            await self._load_page()

    async def _load_page(self) -> None:
        batch, parts = self._run.order.batch, self._run.parts
        await self._run.route.desk.look_at_domains(self._lane, self._run.clock.now())
        under = await parts.stopping.look()
        async with parts.archive.reading() as connection:
            page = await due_messages(
                connection, batch, self._run.clock.now(), after=self._last_seq, limit=PAGE
            )
            listed = await suppressed_seqs(connection, batch.bulk_id, [due.seq for due in page])
        untried = [message for message in page if message.seq not in self._tried]
        if listed:
            await self._suppress([message for message in untried if message.seq in listed])
        gone = listed | await self._stopped(untried) | await self._expired(untried, listed)
        wanted = [message for message in untried if message.seq not in gone]
        may_go = self._passed_over.pick(wanted)
        if len(may_go) < len(wanted):
            await self._settle_cut_off(message for message in wanted if message not in may_go)
        self._read_at, self._read_under = time.monotonic(), under
        self._due.extend(sorted(may_go, key=lambda message: message.attempts > 0))
        self._all_loaded = len(page) < PAGE
        if page:
            self._last_seq = page[-1].seq

    async def _stopped(self, page: Sequence[DueMessage]) -> set[int]:
        """Whom an operation under way holds or ends."""
        batch = self._run.order.batch
        found = await self._run.parts.stopping.stopped(batch.bulk_id, [due.seq for due in page])
        self.held_back = self.held_back or bool(found)
        return found

    async def _expired(self, page: Sequence[DueMessage], listed: set[int]) -> set[int]:
        """Some of the batch have a later deadline, as they were held; who has none of that is late by now."""
        now, order = self._run.clock.now(), self._run.order
        if not order.more_time:
            return set()
        late = [due for due in page if due.seq not in listed and order.deadline_of(due.extra) <= now]
        if late:
            await self._settle_cut_off(late)
            seqs = [message.seq for message in late]
            async with self._run.parts.archive.writing() as connection:
                await expire_some(connection, order.batch.bulk_id, seqs, now, self._run.parts.shard)
        return {message.seq for message in late}

    async def _suppress(self, messages: Sequence[DueMessage]) -> None:
        """Their addresses came on the suppression list since the send was planned."""
        await self._settle_cut_off(messages)
        async with self._run.parts.archive.writing() as connection:
            await settle_suppressed(
                connection,
                self._run.order.batch.bulk_id,
                [message.seq for message in messages],
                self._run.clock.now(),
                self._run.parts.shard,
            )

    async def _settle_cut_off(self, left_out: Iterable[DueMessage]) -> None:
        """What is not sent any more, or not now, must not look as if it were under way."""
        for message in left_out:
            if message.state is MessageState.SENDING:
                await Attempt(self._run, message).settle_cut_off()

    async def _may_go_on(self) -> bool:
        """Whether the send still goes, and over this relay; by its options as they are now."""
        bulk_id = self._run.order.batch.bulk_id
        if not self.stopped:
            self.stopped = activity.is_worker_shutdown() or not await self._run.parts.permission.may_send(
                bulk_id
            )
        if self._run.parts.contents.is_outdated(bulk_id, self._run.bulk):
            await self._read_options(bulk_id)
        return not self.stopped and not self.moved

    async def _read_options(self, bulk_id: str) -> None:
        """They were changed: the rest of this run goes by the new ones. Another relay takes a new run."""
        bulk = await self._run.parts.contents.of(bulk_id)
        self._run = replace(self._run, bulk=bulk)
        if bulk.options.relay_name != self._run.route.desk.relay:
            self.moved = True
        elif bulk.options.rate != self.permits.bulk_rate:
            self.permits.change_rate(bulk.options.rate)

    def _call_for_help(self) -> None:
        """Whoever takes a message hires the next carrier, while messages and connections are left."""
        if self._due and self.permits.ready() and self._pool.has_room(self._lane):
            self._hire(None)

    async def _helpers_connection(self) -> Lease | None:
        helper = asyncio.current_task()
        assert helper is not None
        self._connecting.add(helper)
        try:
            return await self._connection()
        finally:
            self._connecting.discard(helper)

    def _send_helpers_home(self) -> None:
        """Nothing is left for those who still wait for the server's greeting."""
        for helper in list(self._connecting):
            helper.cancel()

    async def _connection(self) -> Lease | None:
        """A helper's own connection; that there is no more of them does not trouble those at work."""
        got = await self._pool.acquire(self._lane, _NOW)
        if isinstance(got, Exchange):
            self._pool.crowded(self._lane)
            self._pool.relay_refused()
            return None
        return got
