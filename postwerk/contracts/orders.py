"""What workflows and activities tell each other: ids and counts, never an address or a content.

They live for months in histories: a new field needs a default, none changes its meaning.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from pydantic import BaseModel, ConfigDict

from postwerk.contracts.states import MessageState


class _Order(BaseModel):
    model_config = ConfigDict(frozen=True)


class BatchOrder(_Order):
    """The messages `first_seq` to `last_seq` of one lane of a bulk send."""

    bulk_id: str
    number: int
    lane: str
    first_seq: int
    last_seq: int
    messages: int


class BulkSendInput(_Order):
    """Starts the workflow of a stored bulk send."""

    bulk_id: str
    messages: int
    deadline: timedelta
    batches: tuple[BatchOrder, ...] | None = None
    """The plan of a small bulk send, made while it was stored; None: ask the activity `plan`."""
    tell_delay: bool = False
    """The sender wants to be told of what is still open after 24 hours."""
    tell_each: bool = False
    """... of each failure, soon after it happened."""
    tell_end: bool = False
    """... at the end: a digest, or the failures not yet told of."""


class ExpansionInput(_Order):
    """The batches `first` to `last` (numbers, inclusive) of a bulk send, to be started as children."""

    bulk_id: str
    first: int
    last: int
    deadline: datetime


class DeliveryInput(_Order):
    """One batch, to be carried until nothing is open or the deadline is over."""

    batch: BatchOrder
    deadline: datetime


class SendBatchInput(_Order):
    """One run of the SMTP-send activity over a batch."""

    batch: BatchOrder
    deadline: datetime


class SettleInput(_Order):
    """Give every open message of a batch this final state."""

    batch: BatchOrder
    state: MessageState


class BulkOrder(_Order):
    """A bulk send, and why something is done to it. `now` is the workflow's time: one clock for all."""

    bulk_id: str
    now: datetime
    reason: str = ""
    deadline: datetime | None = None


class Plan(_Order):
    """How a bulk send falls into batches; up to 200 of them are named right away."""

    batches: int
    messages: int
    orders: tuple[BatchOrder, ...] = ()


class Counts(_Order):
    """How many messages stand in which state. Adds up with +."""

    states: dict[MessageState, int] = {}

    def __add__(self, other: Counts) -> Counts:
        both = dict(self.states)
        for state, n in other.states.items():
            both[state] = both.get(state, 0) + n
        return Counts(states=both)


class HoldSignal(_Order):
    """Input of the signals hold, release and retry_now."""

    reason: str = ""
