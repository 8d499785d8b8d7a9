"""What workflows and activities tell each other: ids and counts, never an address or a content.

They live for months in histories: a new field needs a default, none changes its meaning.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from pydantic import BaseModel, ConfigDict

from postwerk.contracts.states import MessageState, SendKind


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
    round: int = 0
    """Of its send: 0 as it was accepted, then each time failed messages were started again."""


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
    first_batch: int = 1
    """Behind those that a former run of this workflow has carried."""
    again: bool = False
    """There was a former run: failed messages of it were started again."""
    send_at: datetime | None = None
    """Nothing happens before; `deadline` counts from then."""
    expires_at: datetime | None = None
    """Its time ends then at the latest."""
    kind: SendKind = SendKind.BULK
    """A message is carried by its root workflow itself."""
    rate: str = ""
    """As written, for people who look at it; the archive has what is in force."""


class ExpansionInput(_Order):
    """The batches `first` to `last` (numbers, inclusive) of a bulk send, to be started as children."""

    bulk_id: str
    first: int
    last: int
    deadline: datetime
    expires_at: datetime | None = None


class DeliveryInput(_Order):
    """One batch, to be carried until nothing is open or the deadline is over."""

    batch: BatchOrder
    deadline: datetime
    expires_at: datetime | None = None
    """Its time ends then at the latest, held or not."""


class SendBatchInput(_Order):
    """One run of the SMTP-send activity over a batch."""

    batch: BatchOrder
    deadline: datetime
    more_time: timedelta = timedelta(0)
    """Of this deadline so much belongs to messages with a later one of their own."""
    expires_at: datetime | None = None
    """No message's own deadline is later."""
    urgent: bool = False
    """Transactional mail: it waits behind no bulk send."""
    begins_at: datetime | None = None
    """The send begins with this run, since then, and is to be marked so."""

    def deadline_of(self, extra: timedelta) -> datetime:
        """A message's own deadline."""
        own = self.deadline - self.more_time + max(extra, timedelta(0))
        return own if self.expires_at is None else min(own, self.expires_at)


class SettleInput(_Order):
    """Give every open message of a batch this final state."""

    batch: BatchOrder
    state: MessageState
    deadline: datetime | None = None
    """The batch's, for `expired`: who was held has a later one. None: nobody has, all of it ends."""
    more_time: timedelta = timedelta(0)
    """... and it was sent until so much later."""


class BulkOrder(_Order):
    """A bulk send, and why something is done to it. `now` is the workflow's time: one clock for all."""

    bulk_id: str
    now: datetime
    reason: str = ""
    deadline: datetime | None = None
    begins_at: datetime | None = None
    """When it begins, or has begun: the Date of its messages. None: when it was accepted."""
    batches: int | None = None
    """To close: so many of its batches have been carried. None: close it anyway."""


class Plan(_Order):
    """How a bulk send falls into batches; up to 200 of them are named right away."""

    batches: int
    messages: int
    orders: tuple[BatchOrder, ...] = ()


class Counts(_Order):
    """How many messages stand in which state. Adds up with +."""

    states: dict[MessageState, int] = {}
    more_time: timedelta = timedelta(0)
    """So much later than the batch's is the last deadline of what is open in it and not held."""
    is_closed: bool = True
    """False: there are batches that nobody has carried yet, so the send was not closed."""

    def __add__(self, other: Counts) -> Counts:
        both = dict(self.states)
        for state, n in other.states.items():
            both[state] = both.get(state, 0) + n
        return Counts(states=both)


class Rest(_Order):
    """A lane that nothing is sent on before `until`, and why. An empty name is the relay itself."""

    lane: str
    until: datetime
    why: str


class Look(Counts):
    """What a look at a bulk send found: how many stand where, and what the rest of them wait for."""

    at: datetime | None = None
    rests: tuple[Rest, ...] = ()
    """Of lanes in which it has open messages."""
    next_at: datetime | None = None
    """The next of its deferred messages is due then, its lane permitting."""
    next_lane: str = ""
    next_why: str = ""
    """The last reply to it, in plain words."""
    window: str = ""
    """Its sending window, in words, if it is outside of it."""
    window_opens: datetime | None = None


class HoldSignal(_Order):
    """Input of the signals hold, release, retry_now and look_again."""

    reason: str = ""
    deadline: datetime | None = None
    """On its way down: the deadline of children that start later."""
    number: int = 0
    """Of a hold or release on its way down, counted by the parent: an older one is not obeyed later."""
    if_paused: bool = False
    """Of a hold that reminds the root: obeyed only if the archive still says paused."""


class ChildrenSignal(_Order):
    """A signal for many children of one workflow."""

    parent: str
    """What their ids have in common."""
    children: tuple[str, ...]
    """What stands behind it in each."""
    name: str
    body: str
    """Its input as JSON."""


class DeadlineSignal(_Order):
    """Input of the signal set_deadline."""

    deadline: datetime
    """The end of its time if it were released now."""
    reason: str = ""


class BeginningSignal(_Order):
    """Input of the signal set_beginning."""

    send_at: datetime | None = None
    """None: now."""


class ExpirySignal(_Order):
    """Input of the signal set_expiry."""

    expires_at: datetime | None = None
    """None: it ends by its deadline alone."""
