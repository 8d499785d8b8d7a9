"""What an operator says about the queue: which messages, and what is to become of them."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from postwerk.contracts.orders import BulkSendInput
from postwerk.contracts.states import FINAL_STATES, MessageState


class Verb(StrEnum):
    """What is done to messages."""

    RETRY = "retry"
    """Deferred ones are due now; lanes keep their pace and their rests."""
    HOLD = "hold"
    RELEASE = "release"
    CANCEL = "cancel"
    """They end at once, and nobody is told."""
    EXPIRE = "expire"
    """They end at once, and the sender is told as of any failure."""
    RETRY_FAILED = "retry_failed"
    """Messages that have ended are started again, with a fresh deadline, in a round of their own."""


STOPPING = (Verb.HOLD, Verb.CANCEL, Verb.EXPIRE)
"""Workers obey these from the moment they are recorded, before the messages themselves say so (P6)."""
NEEDS_REASON = STOPPING


class OperationState(StrEnum):
    """Where an operation stands."""

    RUNNING = "running"
    TELLING = "telling"
    """Every message is changed; sleeping batches are still being told. For callers it is done."""
    DONE = "done"
    FAILED = "failed"


MOST_IDS = 1000
STARTED_AGAIN = (MessageState.BOUNCED, MessageState.EXPIRED, MessageState.FAILED)
"""What retry_failed starts again unless it is told which."""
MAY_START_AGAIN = FINAL_STATES - {MessageState.DELIVERED}


class QueueFilter(BaseModel):
    """Which messages are meant; criteria are joined by AND, None and empty mean any.

    Without a state only open messages (queued, sending, deferred, held) are meant.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    ids: tuple[str, ...] = ()
    """Public ids, `<bulk id>.<seq>`."""
    bulk: tuple[str, ...] = ()
    provider: str | None = None
    """A lane by its name."""
    domain: str | None = None
    """Of the address, A-labels in lower case."""
    recipient: str | None = None
    """An address in normal form."""
    state: tuple[MessageState, ...] = ()
    code: int | None = None
    """The last reply's, 250; or its class alone, 2 to 5."""
    reason: str | None = None
    """Name of the last outcome's reason (rules/replies.toml)."""
    q: str | None = None
    """Part of the address, of any case; no wildcards."""
    older_than: timedelta | None = None
    """Since its bulk send was accepted."""
    younger_than: timedelta | None = None
    all: bool = False
    """Every message in the queue; has to be said."""

    @property
    def names_sends_only(self) -> bool:
        """Whole bulk sends are meant, so the sends themselves can be paused, resumed or cancelled."""
        return self == QueueFilter(bulk=self.bulk, all=self.all) and (self.all or bool(self.bulk))

    @property
    def is_empty(self) -> bool:
        return self == QueueFilter()


class NextRun(BaseModel):
    """A send whose workflow has ended and is to be started again."""

    model_config = ConfigDict(frozen=True)

    order: BulkSendInput
    name: str


class Account(BaseModel):
    """What an operation has done. `matched`: None while it is being counted."""

    model_config = ConfigDict(frozen=True)

    verb: Verb
    state: OperationState
    matched: int | None = None
    changed: int = 0
    skipped: int = 0


class OperationOrder(BaseModel):
    """Starts the workflow that carries out a recorded operation."""

    model_config = ConfigDict(frozen=True)

    operation_id: str
    public_url: str = ""
    """Of the API, for people who look at the workflow."""
