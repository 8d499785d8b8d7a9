"""Carrying one batch until nothing is open or its deadline is over: what a Delivery does, and a Message."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.common import Priority
from temporalio.exceptions import ActivityError, ApplicationError, RetryState, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from activities.delivery import CANCELLED, DeliveryActivities
    from postwerk.contracts.options import earlier
    from postwerk.contracts.orders import (
        BatchOrder,
        Counts,
        DeadlineSignal,
        ExpirySignal,
        HoldSignal,
        SendBatchInput,
        SettleInput,
    )
    from postwerk.contracts.states import OPEN_STATES, MessageState
    from workflows.batch_details import Standing
    from workflows.captions import send_summary
    from workflows.heard import Heard
    from workflows.options import ACCIDENTS, ARCHIVE_STEP, HEARTBEAT, ONE_RUN
    from workflows.until import until


@dataclass(frozen=True, slots=True)
class Manner:
    """How a batch is carried by a workflow that has more to do than this."""

    urgent: bool = False
    """Before the batches of bulk sends."""
    begins_at: datetime | None = None
    """Whoever sends first marks the send begun since then."""
    runs: str = ""
    """Stands before the ids of its activities."""


AS_CHILD = Manner()


class Carrier:
    """One batch. What a workflow hears is told by the methods named as its signals."""

    def __init__(
        self,
        batch: BatchOrder,
        deadline: datetime,
        show: Callable[[], None],
        manner: Manner = AS_CHILD,
        expires_at: datetime | None = None,
    ) -> None:
        """`show` is called whenever `standing` is another one."""
        self._batch = batch
        self._deadline = deadline
        self._expires_at = expires_at
        """Nothing of it goes on after this, held or not; the deadline may be later."""
        self._show = show
        self._manner = manner
        self._more_time = timedelta(0)
        """So much later is the last deadline of those in it that were held by themselves."""
        self._only_held = False
        """Nothing may be sent until an operator releases a message."""
        self._held = False
        """The whole bulk send is."""
        self._held_since: datetime | None = None
        self._reason = ""
        self._heard = Heard()
        self._interrupt = False
        """Set by hold, retry_now and look_again: the running or waiting activity is to be stopped."""
        self._hurry = False
        self._runs = 0
        """Runs of the activity; each has its own id, since one just cancelled may still hold the last."""
        self._run_began: datetime | None = None
        self._counts: Counts | None = None
        """How its messages stood when a run had ended by itself."""

    async def carry(self) -> Counts:
        """Answers how its messages stand in the end. A cancel is recorded, then raised again."""
        try:
            while True:
                await self._wait_for_release()
                counts = await self._end_held() if self._is_expired() else await self._send()
                if counts is not None and self._is_done(counts):
                    return counts
        except asyncio.CancelledError:
            await self._settle(MessageState.CANCELLED)
            raise

    def _is_done(self, counts: Counts) -> bool:
        """Nothing is open; or it goes on, until a later deadline or until something is released."""
        self._counts = counts
        left = {state for state in OPEN_STATES if counts.states.get(state)}
        self._only_held = left == {MessageState.HELD}
        if left and not self._only_held:
            self._more_time = counts.more_time
        self._run_began = None
        self._show()
        return not left

    async def _wait_for_release(self) -> None:
        """Held time stops the clock: the deadline moves by it, but not beyond the moment it expires."""
        if not self._held:
            return
        self._held_since = workflow.now()
        await until(lambda: not self._held, lambda: self._expires_at, "held until it expires")
        self._deadline += workflow.now() - self._held_since
        self._held_since = None

    def _is_expired(self) -> bool:
        """Nothing runs that would end it: it is held, or all that is open in it is."""
        waits = self._held or self._only_held
        return waits and self._expires_at is not None and self._expires_at <= workflow.now()

    async def _end_held(self) -> Counts:
        return await self._settle(MessageState.EXPIRED, for_good=True)

    async def _send(self) -> Counts | None:
        """Run the activity; None when a signal stopped it and it is to be started again."""
        self._interrupt = False
        self._runs += 1
        self._run_began = workflow.now()
        self._show()
        if self._hurry:
            self._hurry = False
            await self._make_due()
        sending = self._start_waiting() if self._only_held else self._start_sending()
        interrupted = asyncio.create_task(until(lambda: self._interrupt, self._end_of_waiting))
        by_signal = False
        try:
            try:
                await workflow.wait([sending, interrupted], return_when=asyncio.FIRST_COMPLETED)
            except asyncio.CancelledError:
                sending.cancel()  # workflow.wait does not cancel what it waits for
            else:
                if not sending.done():
                    by_signal = True
                    sending.cancel()
            # Completed all the same: the last transaction ended before it heard of the stop.
            return await sending
        except (ActivityError, asyncio.CancelledError) as error:
            return await self._after_stop(error, by_signal)
        finally:
            interrupted.cancel()

    def _end_of_waiting(self) -> datetime | None:
        return self._expires_at if self._only_held else None

    def _start_waiting(self) -> workflow.ActivityHandle[Counts]:
        """Without an end: the clock of who is held stands still."""
        return workflow.start_activity_method(
            DeliveryActivities.await_release,
            self._batch,
            activity_id=self._activity_id,
            summary=f"batch {self._batch.number:,} · all that is open is held by itself",
            start_to_close_timeout=ARCHIVE_STEP,
            retry_policy=ACCIDENTS,
            cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        )

    def _start_sending(self) -> workflow.ActivityHandle[Counts]:
        own, deadline = self._ends()
        return workflow.start_activity_method(
            DeliveryActivities.send_batch,
            SendBatchInput(
                batch=self._batch,
                deadline=deadline,
                more_time=deadline - own,
                expires_at=self._expires_at,
                urgent=self._manner.urgent,
                begins_at=self._manner.begins_at,
            ),
            activity_id=self._activity_id,
            summary=send_summary(self._batch, self._runs, deadline),
            start_to_close_timeout=ONE_RUN,
            schedule_to_close_timeout=max(deadline - workflow.now(), timedelta(seconds=1)),
            heartbeat_timeout=HEARTBEAT,
            retry_policy=ACCIDENTS,
            cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        )

    def _ends(self) -> tuple[datetime, datetime]:
        """The end of its time, and that of those in it who have the latest of their own."""
        own, last = self._deadline, self._deadline + self._more_time
        return earlier(own, self._expires_at), earlier(last, self._expires_at)

    async def _after_stop(self, error: BaseException, by_signal: bool) -> Counts | None:
        """A cancel looks like a failure, so that is asked first; then the deadline; else an accident."""
        if _stopped(error):
            if by_signal and workflow.cancellation_reason() is None:
                return None
            raise asyncio.CancelledError from None
        if _type_of(error) == CANCELLED:
            return await self._settle(MessageState.CANCELLED)
        if isinstance(error, ActivityError) and error.retry_state == RetryState.TIMEOUT:
            return await self._settle(MessageState.EXPIRED, for_good=self._ends()[1] == self._expires_at)
        raise error

    async def _make_due(self) -> None:
        await workflow.execute_activity_method(
            DeliveryActivities.hurry_batch,
            self._batch,
            summary=f"batch {self._batch.number:,} · retry now",
            start_to_close_timeout=ARCHIVE_STEP,
            retry_policy=ACCIDENTS,
        )

    async def _settle(self, state: MessageState, *, for_good: bool = False) -> Counts:
        """`for_good`: whatever is open in it ends, also who is held or has a later deadline."""
        own, last = self._ends()
        return await workflow.execute_activity_method(
            DeliveryActivities.settle_batch,
            SettleInput(
                batch=self._batch,
                state=state,
                deadline=None if for_good else own,
                more_time=last - own,
            ),
            summary=f"batch {self._batch.number:,} · what is open ends {state.value}",
            start_to_close_timeout=ARCHIVE_STEP,
            retry_policy=ACCIDENTS,
            priority=Priority(priority_key=1),
        )

    def hold(self, signal: HoldSignal | None = None) -> None:
        """Stop sending; the deadline's clock stands still."""
        if not self._heard.is_news(signal):
            return
        self._held = self._interrupt = True
        self._reason = signal.reason if signal else ""
        self._show()

    def release(self, signal: HoldSignal | None = None) -> None:
        """Go on. One that was not held may be sleeping all the same: it found its send paused."""
        if not self._heard.is_news(signal):
            return
        if not self._held and workflow.patched("release-wakes"):
            self._interrupt = True
        self._held = False
        self._show()

    def retry_now(self, _signal: HoldSignal | None = None) -> None:
        """Do not wait for the next due time."""
        if not self._held:
            self._hurry = self._interrupt = True

    def look_again(self, _signal: HoldSignal | None = None) -> None:
        """Lane or relay have changed: ask them anew instead of sleeping on. What is deferred stays so."""
        if not self._held:
            self._interrupt = True

    def set_deadline(self, signal: DeadlineSignal) -> None:
        """The end of its time has been changed for the whole send."""
        held = workflow.now() - self._held_since if self._held_since else timedelta(0)
        self._deadline = signal.deadline - held
        self._show()
        if not self._held:
            self._interrupt = True

    def set_expiry(self, signal: ExpirySignal) -> None:
        """The moment at which it ends at the latest has been changed for the whole send."""
        self._expires_at = signal.expires_at
        self._show()
        if not self._held:
            self._interrupt = True

    def standing(self) -> Standing:
        """For people who look at its workflow."""
        return Standing(
            batch=self._batch,
            deadline=earlier(self._deadline, self._expires_at),
            held_since=(self._held_since or workflow.now()) if self._held else None,
            reason=self._reason,
            runs=self._runs,
            run_began=self._run_began,
            only_held=self._only_held,
            counts=self._counts,
            activity_id=self._activity_id,
        )

    @property
    def _activity_id(self) -> str:
        return f"{self._manner.runs}{'held' if self._only_held else 'send'}-{self._runs}"

    def progress(self) -> dict[str, str | int]:
        """Where this batch stands; what each message came to is in the archive."""
        return {
            "batch": self._batch.number,
            "lane": self._batch.lane,
            "messages": self._batch.messages,
            "state": "held" if self._held else "running",
            "reason": self._reason,
            "deadline": earlier(self._deadline, self._expires_at).isoformat(),
        }


def _type_of(error: BaseException) -> str | None:
    cause = error.cause if isinstance(error, ActivityError) else None
    return cause.type if isinstance(cause, ApplicationError) else None


def _stopped(error: BaseException) -> bool:
    """Cancelled, also when the activity had just asked for its next retry as the cancel arrived."""
    return is_cancelled_exception(error) or (
        isinstance(error, ActivityError) and error.retry_state == RetryState.CANCEL_REQUESTED
    )
