"""Delivery: the child workflow that carries one batch of a bulk send."""

from __future__ import annotations

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from postwerk.contracts.orders import Counts, DeadlineSignal, DeliveryInput, ExpirySignal, HoldSignal
    from workflows.batch_details import batch_details
    from workflows.carrier import Carrier
    from workflows.told import HOLD, LOOK_AGAIN, PROGRESS, RELEASE, RETRY_NOW, SET_DEADLINE, SET_EXPIRY


@workflow.defn
class Delivery:
    """One batch. Signals: hold, release, retry_now, look_again, set_deadline, set_expiry. Query: progress.

    Cancel records it.
    """

    @workflow.init
    def __init__(self, order: DeliveryInput) -> None:
        self._carrier = Carrier(order.batch, order.deadline, self._show, expires_at=order.expires_at)

    @workflow.run
    async def run(self, _order: DeliveryInput) -> Counts:
        return await self._carrier.carry()

    def _show(self) -> None:
        workflow.set_current_details(batch_details(self._carrier.standing()))

    @workflow.signal(description=HOLD)
    def hold(self, signal: HoldSignal | None = None) -> None:
        """Stop sending; the deadline's clock stands still."""
        self._carrier.hold(signal)

    @workflow.signal(description=RELEASE)
    def release(self, signal: HoldSignal | None = None) -> None:
        """Go on."""
        self._carrier.release(signal)

    @workflow.signal(description=RETRY_NOW)
    def retry_now(self, _signal: HoldSignal | None = None) -> None:
        """Do not wait for the next due time."""
        self._carrier.retry_now()

    @workflow.signal(description=LOOK_AGAIN)
    def look_again(self, _signal: HoldSignal | None = None) -> None:
        """Lane or relay have changed: ask them anew instead of sleeping on. What is deferred stays so."""
        self._carrier.look_again()

    @workflow.signal(description=SET_DEADLINE)
    def set_deadline(self, signal: DeadlineSignal) -> None:
        """The end of its time has been changed for the whole send."""
        self._carrier.set_deadline(signal)

    @workflow.signal(description=SET_EXPIRY)
    def set_expiry(self, signal: ExpirySignal) -> None:
        """The moment at which it ends at the latest has been changed for the whole send."""
        self._carrier.set_expiry(signal)

    @workflow.query(description=PROGRESS)
    def progress(self) -> dict[str, str | int]:
        """Where this batch stands; what each message came to is in the archive."""
        return self._carrier.progress()
