"""What root workflows of sends have in common: from stored to closed, and every signal in between."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.bulks import BulkActivities
    from postwerk.contracts.options import earlier
    from postwerk.contracts.orders import (
        BeginningSignal,
        BulkOrder,
        BulkSendInput,
        Counts,
        DeadlineSignal,
        ExpirySignal,
        HoldSignal,
        Plan,
    )
    from postwerk.contracts.states import BulkState
    from workflows import bulk_steps, told
    from workflows.bulk_steps import Step
    from workflows.carriers import Carriers
    from workflows.looking import Looking
    from workflows.markdown import number
    from workflows.names import BULK_STATE
    from workflows.options import ANOTHER_LOOK
    from workflows.progress import Progress, details, together
    from workflows.telling import Telling
    from workflows.until import until


class Root:
    """Signals: hold, release, retry_now, look_again, set_deadline, set_expiry (passed down), set_beginning,
    carry_more. Query: progress.

    Cancel records it. Who carries the batches is for those to say who inherit from it.
    """

    def __init__(self, order: BulkSendInput, carriers: Carriers) -> None:
        self._order = order
        self._send_at = order.send_at
        """When it begins; set for one that was to begin later than it was accepted."""
        self._is_to_begin = order.send_at is not None
        """That moment has not come yet, or it is paused since before."""
        self._state = BulkState.SCHEDULED if self._is_to_begin else BulkState.RUNNING
        self._reason = ""
        self._lasts = order.deadline
        self._deadline = (self._send_at or workflow.now()) + order.deadline
        self._expires_at = order.expires_at
        self._batches = 0
        """Carried so far, by this run and by former ones."""
        self._carried: list[asyncio.Task[None]] = []
        """First what the plan says, then what was started again since."""
        self._counting_more = asyncio.Lock()
        self._told_of_more = False
        self._begun = False
        self._released_early = False
        """Released before it had begun: the pause that the beginning finds is over."""
        self._heard_hold = False
        """The pause that the beginning finds is an answer of long ago: what was heard since is newer."""
        self._nobody_left = False
        """Planned, and every recipient is on the suppression list: no child will start."""
        self._children = carriers
        carriers.changed = self._show
        carriers.expires_at = order.expires_at
        self._telling = Telling(order)
        self._looking = Looking(order.bulk_id, order.messages, self._show, self._telling.of_failures)
        self._held_since: datetime | None = None
        self._turn = asyncio.Lock()
        """One change of state at a time: they take effect in the order they came."""

    async def carry_to_the_end(self, order: BulkSendInput) -> Counts:
        """Carry, close and tell; a cancel is recorded, then raised again."""
        self._carrying = carrying = asyncio.create_task(self._carry(order))
        if not self._is_to_begin:
            self._telling.begin()
        try:
            await workflow.wait([carrying])  # unlike `await carrying`, leaves it running when cancelled
            return await self._end(await carrying)
        except asyncio.CancelledError:
            await self._stop(carrying)
            await self._end(await self._close(BulkState.CANCELLED))
            raise
        finally:
            self._telling.stop()
            self._looking.stop()

    async def _carry(self, order: BulkSendInput) -> Counts:
        """Carry, and close; unless it cannot be closed since there is more to carry meanwhile."""
        self._carried.append(asyncio.create_task(self._carry_plan(order)))
        while True:
            await self._all_carried()
            self._told_of_more = False
            counts = await self._close(BulkState.COMPLETED)
            if counts.is_closed:
                return counts
            await self._wait_for_more()

    async def _all_carried(self) -> None:
        """However often it is cancelled, what runs is waited for: its outcomes are still to be recorded."""
        cancelled = False
        while not all(part.done() for part in self._carried):
            try:
                await workflow.wait_condition(lambda: all(part.done() for part in self._carried))
            except asyncio.CancelledError:
                cancelled = True
                for part in self._carried:
                    part.cancel()
        if cancelled:
            raise asyncio.CancelledError
        for part in self._carried:
            part.result()

    async def _wait_for_more(self) -> None:
        """Messages are being started again just now: whoever does it tells us, and if not we look."""
        with suppress(TimeoutError):
            await workflow.wait_condition(
                lambda: self._told_of_more,
                timeout=ANOTHER_LOOK,
                timeout_summary="failed messages are being started again",
            )
        if not self._told_of_more:
            self._carried.append(asyncio.create_task(self._carry_rest()))

    async def _carry_plan(self, order: BulkSendInput) -> None:
        """The beginning is recorded beside it; one that was waited for is recorded before."""
        if self._is_to_begin:
            await self._begin_in_time()
            await self._carry_batches(order)
        else:
            beginning = asyncio.create_task(self._begin())
            await self._carry_batches(order)
            await beginning

    async def _carry_batches(self, order: BulkSendInput) -> None:
        """Plan, then carry."""
        plan = await self._plan(order)
        self._batches = plan.batches
        self._nobody_left = plan.batches < order.first_batch
        await until(
            lambda: self._state is not BulkState.PAUSED, lambda: self._expires_at, "held until it expires"
        )
        if self._state is BulkState.CANCELLING and workflow.patched("cancelled-starts-nobody"):
            await workflow.wait_condition(lambda: False)  # its cancel is on the way
        if plan.batches > len(plan.orders) or order.first_batch > 1:
            await self._children.expand(order.bulk_id, order.first_batch, plan.batches, self._deadline)
        else:
            await self._children.deliver(plan.orders, self._deadline)

    async def _carry_rest(self) -> None:
        """The batches that were made after the plan."""
        async with self._counting_more:
            await workflow.wait_condition(lambda: self._begun)
            behind, plan = self._batches, await self._plan_now("count the batches")
            self._batches = max(behind, plan.batches)
        if plan.batches > behind:
            await self._children.expand(self._order.bulk_id, behind + 1, plan.batches, self._deadline)

    async def _begin(self) -> None:
        """Whoever stopped it before it had begun is obeyed: nothing, or nothing for now, is to be carried.

        Only when the first child has started: the first mail need not wait for a row that says so.
        """
        await workflow.wait_condition(lambda: self._children.started > 0 or self._nobody_left)
        await self._obey(await self._step(BulkActivities.begin_bulk, "begin", deadline=True))

    async def _begin_in_time(self) -> None:
        """A durable timer until it is to begin, which may be moved; not while it is paused.

        Recorded before the first child starts: the Date of its messages says when it began.
        """
        state = None
        while state is None:
            await until(
                lambda: False, self._beginning, f"begins: {number(self._order.messages, 'recipient')}"
            )
            async with self._turn:
                if not self._is_time():
                    continue
                self._is_to_begin = self._heard_hold = False
                if self._state is BulkState.SCHEDULED:
                    self._set_state(BulkState.RUNNING, "")
                self._telling.begin()
                state = await self._step(BulkActivities.begin_bulk, "begin", deadline=True)
        await self._obey(state)

    def _beginning(self) -> datetime | None:
        """None: not before it is released. One that expires while it is paused begins in order to end."""
        return self._send_at if self._state is BulkState.SCHEDULED else self._expires_at

    def _is_time(self) -> bool:
        moment = self._beginning()
        return moment is not None and moment <= workflow.now()

    async def _obey(self, state: str) -> None:
        """What the archive says of it as it begins."""
        self._begun = True
        if state in (BulkState.CANCELLING, BulkState.CANCELLED):
            self._carrying.cancel()
        elif state == BulkState.PAUSED and self._released_early:
            await self._step(BulkActivities.release_bulk, "release", deadline=True)
        elif state == BulkState.PAUSED and not (self._heard_hold and workflow.patched("hold-was-heard")):
            await self.hold()
        self._looking.begin()

    async def _plan(self, order: BulkSendInput) -> Plan:
        if order.batches is not None:
            return Plan(batches=len(order.batches), messages=order.messages, orders=order.batches)
        return await self._plan_now(f"plan {order.messages:,} messages")

    async def _plan_now(self, summary: str) -> Plan:
        return await bulk_steps.plan(self._order.bulk_id, summary)

    async def _stop(self, carrying: asyncio.Task[Counts]) -> None:
        """The archive first: within a second no worker starts another transaction. Then the children."""
        self._set_state(BulkState.CANCELLING, workflow.cancellation_reason() or "cancelled")
        await self._step(BulkActivities.cancel_bulk, "cancel")
        carrying.cancel()
        await workflow.wait([carrying])

    async def _end(self, counts: Counts) -> Counts:
        """It is closed; tell by what the archive holds for good."""
        await self._telling.of_end()
        return counts

    async def _close(self, state: BulkState) -> Counts:
        """What is still open gets its final state, unless there is more to carry; answers the counters."""
        completed = state is BulkState.COMPLETED
        await workflow.wait_condition(workflow.all_handlers_finished)
        counts = await self._close_by(
            BulkOrder(
                bulk_id=self._order.bulk_id,
                now=workflow.now(),
                reason=self._reason,
                batches=self._batches if completed else None,
            )
        )
        self._looking.end(counts)
        if counts.is_closed:
            self._set_state(state, self._reason)
        return counts

    async def _close_by(self, order: BulkOrder) -> Counts:
        return await bulk_steps.close(order)

    async def _step(self, activity: Step, summary: str, *, deadline: bool = False) -> Any:
        """One short step in the archive; with the deadline where it is set or has moved."""
        order = BulkOrder(
            bulk_id=self._order.bulk_id,
            now=workflow.now(),
            reason=self._reason,
            deadline=self._ends_at if deadline else None,
            begins_at=self._send_at if deadline else None,
        )
        return await bulk_steps.short_step(activity, order, summary)

    @property
    def _ends_at(self) -> datetime:
        """When its time is over; held time moves the deadline, but not beyond the moment it expires."""
        return earlier(self._deadline, self._expires_at)

    def _set_state(self, state: BulkState, reason: str) -> None:
        self._state, self._reason = state, reason
        workflow.upsert_search_attributes([BULK_STATE.value_set(state.value)])
        self._show()

    def _show(self) -> None:
        begins_at = self._send_at if self._is_to_begin else None
        moments = self._looking.moments(begins_at=begins_at, held_since=self._held_since)
        workflow.set_current_details(details(self.progress(), moments))

    @workflow.query(description=told.PROGRESS)
    def progress(self) -> Progress:
        return Progress(
            bulk_id=self._order.bulk_id,
            state=self._state,
            reason=self._reason,
            messages=self._order.messages,
            counts=together(self._looking.counts),
            batches=self._batches,
            children=self._children.started,
            children_done=self._children.done,
            children_lost=self._children.lost,
            deadline=self._ends_at,
        )

    @workflow.signal(description=told.HOLD)
    async def hold(self, signal: HoldSignal | None = None) -> None:
        """Stop sending at once; the deadline's clock stands still until release."""
        self._heard_hold = self._heard_hold or signal is None or not signal.if_paused
        async with self._turn:
            if not await self._is_meant(signal):
                return
            self._released_early = False
            if self._state not in (BulkState.RUNNING, BulkState.SCHEDULED):
                return
            self._held_since = workflow.now()
            self._set_state(BulkState.PAUSED, signal.reason if signal else "")
            await self._step(BulkActivities.hold_bulk, "hold")
        # Outside: a release need not wait until a thousand children have heard of the hold.
        await self._children.hold(signal or HoldSignal())

    async def _is_meant(self, signal: HoldSignal | None) -> bool:
        """A reminder of a pause may come when that is over."""
        if signal is None or not signal.if_paused:
            return True
        return bool(await self._step(BulkActivities.is_paused, "still paused?"))

    @workflow.signal(description=told.RELEASE)
    async def release(self, signal: HoldSignal | None = None) -> None:
        async with self._turn:
            if self._is_to_begin:
                await self._wait_again()
                return
            if self._held_since is None or self._state is not BulkState.PAUSED:
                self._released_early = not self._begun
                if self._begun and workflow.patched("release-of-running"):
                    # The archive may say paused all the same: the word of it has not come through to here.
                    await self._step(BulkActivities.release_bulk, "release", deadline=True)
                return
            self._deadline += workflow.now() - self._held_since
            self._held_since, self._children.deadline = None, self._deadline
            self._set_state(BulkState.RUNNING, "")
            await self._step(BulkActivities.release_bulk, "release", deadline=True)
        released = HoldSignal(reason=signal.reason if signal else "", deadline=self._deadline)
        await self._children.release(released)

    async def _wait_again(self) -> None:
        """Released before it has begun: it begins when it is to, or now if that is over."""
        assert self._send_at is not None
        self._held_since, self._heard_hold = None, False
        self._begin_at(max(self._send_at, workflow.now()))
        if self._state is BulkState.PAUSED:
            self._set_state(BulkState.SCHEDULED, "")
        await self._step(BulkActivities.schedule_bulk, "scheduled again", deadline=True)
        if workflow.patched("free-when-it-begins"):
            await self._children.release(HoldSignal())  # there are none; those that start are not held

    def _begin_at(self, moment: datetime) -> None:
        self._send_at, self._deadline = moment, moment + self._lasts

    @workflow.signal(description=told.RETRY_NOW)
    async def retry_now(self, signal: HoldSignal | None = None) -> None:
        """What is deferred is tried at once."""
        async with self._turn:
            if self._state is BulkState.RUNNING:
                await self._children.signal("retry_now", signal or HoldSignal())

    @workflow.signal(description=told.LOOK_AGAIN)
    async def look_again(self, signal: HoldSignal | None = None) -> None:
        """Lanes or relay have changed: who sleeps because of them asks anew."""
        async with self._turn:
            if self._state is BulkState.RUNNING:
                await self._children.signal("look_again", signal or HoldSignal())

    @workflow.signal(description=told.SET_DEADLINE)
    async def set_deadline(self, signal: DeadlineSignal) -> None:
        """Its time ends then, if it is not paused; the clock of a paused one stands still."""
        async with self._turn:
            if self._is_to_begin and self._send_at is not None:
                self._lasts = signal.deadline - self._send_at
                self._begin_at(self._send_at)
                await self._step(BulkActivities.set_deadline, "set the deadline", deadline=True)
                return
            if self._state not in (BulkState.RUNNING, BulkState.PAUSED):
                return
            held = workflow.now() - self._held_since if self._held_since else timedelta(0)
            self._deadline = self._children.deadline = signal.deadline - held
            await self._step(BulkActivities.set_deadline, "set the deadline", deadline=True)
            await self._children.signal("set_deadline", signal)

    @workflow.signal(description=told.SET_EXPIRY)
    async def set_expiry(self, signal: ExpirySignal) -> None:
        """Its time ends then at the latest, held or not."""
        async with self._turn:
            self._expires_at = self._children.expires_at = signal.expires_at
            await self._step(BulkActivities.set_deadline, "set when it expires", deadline=True)
            await self._children.signal("set_expiry", signal)

    @workflow.signal(description=told.SET_BEGINNING)
    async def set_beginning(self, signal: BeginningSignal) -> None:
        """When it begins, if it has not begun yet; its deadline moves along."""
        async with self._turn:
            if self._is_to_begin:
                self._begin_at(signal.send_at or workflow.now())
                await self._step(BulkActivities.set_beginning, "set the beginning", deadline=True)

    @workflow.signal(description=told.CARRY_MORE)
    def carry_more(self, _signal: HoldSignal | None = None) -> None:
        """Failed messages were started again: there are more batches than were planned."""
        if self._state is BulkState.CANCELLING and workflow.patched("cancelled-carries-no-more"):
            return  # one that has not begun would wait for its beginning for ever
        self._told_of_more = True
        self._carried.append(asyncio.create_task(self._carry_rest()))
