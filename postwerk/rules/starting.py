"""What starts the workflow of a bulk send: made of its options, by whoever starts it."""

from __future__ import annotations

from datetime import datetime, timedelta

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
    send_at: datetime | None = None,
    kind: SendKind = SendKind.BULK,
) -> BulkSendInput:
    """`left` is what a send that ran before has left of its deadline; that run's batches are not repeated.

    `send_at` of one that has not begun and is to begin at another time than its options said first.
    """
    if left is None and not again:
        send_at = send_at or options.send_at
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
        send_at=None if again else send_at,
        expires_at=options.expires_at,
        kind=kind,
        rate=options.rate or "",
    )
