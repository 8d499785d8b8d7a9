"""Delivery: the child workflow that carries one batch of a bulk send."""

from __future__ import annotations

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from postwerk.contracts.orders import Counts, DeadlineSignal, DeliveryInput, ExpirySignal, HoldSignal
    from workflows import told
    from workflows.batch_details import batch_details
    from workflows.carrier import Carrier
    from workflows.long_histories import is_long


@workflow.defn
class Delivery:
    """One batch. Signals: hold, release, retry_now, look_again, set_deadline, set_expiry. Query: progress.

    Cancel records it.
    """

    @workflow.init
    def __init__(self, order: DeliveryInput) -> None:
        self._carrier = Carrier(
            order.batch,
            order.deadline,
            self._show,
            afresh=_go_on_afresh_if_long,
            expires_at=order.expires_at,
            heard=order.heard,
            runs=order.runs,
        )

    @workflow.run
    async def run(self, _order: DeliveryInput) -> Counts:
        return await self._carrier.carry()

    def _show(self) -> None:
        workflow.set_current_details(batch_details(self._carrier.standing()))

    @workflow.signal(description=told.HOLD)
    def hold(self, signal: HoldSignal | None = None) -> None:
        """Stop sending; the deadline's clock stands still."""
        self._carrier.hold(signal)

    @workflow.signal(description=told.RELEASE)
    def release(self, signal: HoldSignal | None = None) -> None:
        """Go on."""
        self._carrier.release(signal)

    @workflow.signal(description=told.RETRY_NOW)
    def retry_now(self, _signal: HoldSignal | None = None) -> None:
        """Do not wait for the next due time."""
        self._carrier.retry_now()

    @workflow.signal(description=told.LOOK_AGAIN)
    def look_again(self, _signal: HoldSignal | None = None) -> None:
        """Lane or relay have changed: ask them anew instead of sleeping on. What is deferred stays so."""
        self._carrier.look_again()

    @workflow.signal(description=told.SET_DEADLINE)
    def set_deadline(self, signal: DeadlineSignal) -> None:
        """The end of its time has been changed for the whole send."""
        self._carrier.set_deadline(signal)

    @workflow.signal(description=told.SET_EXPIRY)
    def set_expiry(self, signal: ExpirySignal) -> None:
        """The moment at which it ends at the latest has been changed for the whole send."""
        self._carrier.set_expiry(signal)

    @workflow.query(description=told.PROGRESS)
    def progress(self) -> dict[str, str | int]:
        """Where this batch stands; what each message came to is in the archive."""
        return self._carrier.progress()


def _go_on_afresh_if_long(order: DeliveryInput) -> None:
    """Hundreds of signals have stopped its activity and started it again."""
    if is_long():
        workflow.continue_as_new(order)
