"""Webhooks: where they stand, and what their workflows and activities tell each other: ids and counts."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum

from pydantic import BaseModel, ConfigDict

TEST_TYPE = "webhook.test"
"""Of the event that only says that a receiver can be reached."""


class WebhookState(StrEnum):
    """Whether a webhook's receiver is told of events."""

    ENABLED = "enabled"
    DISABLED = "disabled"
    """By hand."""
    GONE = "gone"
    """Its receiver answered 410, or failed in every try."""


class DeliveryKind(StrEnum):
    """Why a request was made."""

    EVENTS = "events"
    TEST = "test"
    REPLAY = "replay"


class DeliveryOutcome(StrEnum):
    """What came of a request."""

    SENDING = "sending"
    """Nobody knows yet."""
    DELIVERED = "delivered"
    FAILED = "failed"
    GIVEN_UP = "given_up"
    """Failed, in the last of its tries."""


class RunOutcome(StrEnum):
    """How an activity that delivers came to its end."""

    GO_ON = "go_on"
    """Its time was over; there may be more."""
    FAILED = "failed"
    """The receiver did not take something; it is tried again."""
    STOPPED = "stopped"
    """Disabled, gone or deleted; or a replay that is done."""


class _Order(BaseModel):
    model_config = ConfigDict(frozen=True)


class WebhookInput(_Order):
    """Starts the workflow of a webhook; what it has delivered in former runs."""

    webhook_id: str
    events: int = 0
    requests: int = 0


class WebhookOrder(_Order):
    """Tell its receiver what happened since."""

    webhook_id: str


class Position(_Order):
    """A place among the events: everything up to here is behind."""

    xid: int
    id: int


class ReplayOrder(_Order):
    """Send again what happened behind `position` up to `last`. `tries`: how often its next batch failed."""

    webhook_id: str
    position: Position
    last: Position
    tries: int = 0
    events: int = 0
    """Sent again by former runs."""


class DeliveryReport(_Order):
    """What one run has come to."""

    outcome: RunOutcome
    events: int = 0
    requests: int = 0
    status: int | None = None
    """Of the last answer."""
    trouble: str = ""
    """Why there was no answer, in a word; or why it stopped."""
    wait: timedelta | None = None
    """After which it is tried again."""
    tries: int = 0
    """Failed ones in a row."""
    behind: timedelta | None = None
    """Age of the oldest event that its receiver has not taken; None: it has them all."""
    position: Position | None = None
    """Of a replay: how far it has come."""
    at: datetime | None = None
