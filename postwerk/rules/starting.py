"""What starts the workflow of a bulk send: made of its options, by whoever starts it."""

from __future__ import annotations

from datetime import timedelta

from postwerk.contracts.options import BulkOptions, Notify, NotifyMode, NotifyOn
from postwerk.contracts.orders import BatchOrder, BulkSendInput
from postwerk.contracts.states import SendKind


def start_order(
    bulk_id: str,
    messages: int,
    options: BulkOptions,
    batches: tuple[BatchOrder, ...] | None,
    *,
    left: timedelta | None = None,
    first_batch: int = 1,
    again: bool = False,
    kind: SendKind = SendKind.BULK,
) -> BulkSendInput:
    """`left` is what a send that ran before has left of its deadline; that run's batches are not repeated."""
    notify = options.notify or Notify(to=(), mode=NotifyMode.NONE)
    failure = notify.tells(NotifyOn.FAILURE)
    return BulkSendInput(
        bulk_id=bulk_id,
        messages=messages,
        deadline=options.deadline if left is None else left,
        batches=batches,
        tell_delay=notify.tells(NotifyOn.DELAY),
        tell_each=failure and notify.mode is NotifyMode.EACH,
        tell_end=failure or notify.tells(NotifyOn.COMPLETION),
        first_batch=first_batch,
        again=again,
        kind=kind,
    )
