"""What a sender may choose for one bulk send besides its content."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from postwerk.contracts.content import Mailbox
from postwerk.contracts.windows import SendingWindow

DEFAULT_DEADLINE = timedelta(days=5)
"""RFC 5321 4.5.4.1: give up after four to five days."""
MOST_CONFIG_ERRORS = 10
"""So many failures of our own settings in a row pause a bulk send."""


DEFAULT_RELAY = "default"
"""Name of the relay that POSTWERK_RELAY_URL says; the others have theirs from POSTWERK_RELAYS."""


class OnAmbiguous(StrEnum):
    """What becomes of a message whose dot was written and whose reply was never read (RFC 1047)."""

    RESEND = "resend"
    """At least once: sent again and marked `possible_duplicate`."""
    STOP = "stop"
    """At most once: it ends `unknown`."""


class RetrySchedule(BaseModel):
    """Waits between attempts: `initial`, then times `factor` each, at most `maximum`, +-`jitter`.

    `waits` names each wait instead; its last one repeats.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    initial: timedelta = Field(default=timedelta(minutes=5), ge=timedelta(seconds=1), le=timedelta(days=1))
    factor: float = Field(default=2.0, ge=1.0, le=10.0)
    maximum: timedelta = Field(default=timedelta(hours=3), ge=timedelta(seconds=1), le=timedelta(days=1))
    jitter: float = Field(default=0.2, ge=0.0, le=0.5)
    waits: tuple[timedelta, ...] = Field(default=(), max_length=100)


RETRY_PRESETS = {
    "bulk": RetrySchedule(),
    # Postfix: minimal_backoff_time 300 s, maximal_backoff_time 4000 s.
    "postfix": RetrySchedule(maximum=timedelta(seconds=4000)),
}


class NotifyOn(StrEnum):
    """What a sender is told of."""

    FAILURE = "failure"
    """Messages that bounced, expired or failed."""
    DELAY = "delay"
    """Messages that are still open after 24 hours."""
    COMPLETION = "completion"
    """The end of the send, also when all went well."""


class NotifyMode(StrEnum):
    """How: one mail for the whole send, or a delivery status notification (RFC 3464) for each message."""

    DIGEST = "digest"
    EACH = "each"
    NONE = "none"


class Notify(BaseModel):
    """Whom to tell what. Nobody is told by mail when a bulk send has none."""

    model_config = ConfigDict(frozen=True)

    to: tuple[Mailbox, ...]
    on: tuple[NotifyOn, ...] = (NotifyOn.FAILURE,)
    mode: NotifyMode = NotifyMode.DIGEST

    def tells(self, of: NotifyOn) -> bool:
        return self.mode is not NotifyMode.NONE and of in self.on


class AutoPause(BaseModel):
    """Pause when more than `bounce_rate` of at least `min_sent` finished attempts bounced."""

    model_config = ConfigDict(frozen=True)

    bounce_rate: float = 0.05
    min_sent: int = 100


class TemplateUsed(BaseModel):
    """Which template a content was made from; the content itself is a copy."""

    model_config = ConfigDict(frozen=True)

    id: str
    version: int


class BulkOptions(BaseModel):
    """Options of a bulk send, as stored."""

    model_config = ConfigDict(frozen=True)

    recipients_per_child: int | None = None
    """None: 1 up to 100 recipients, growing to 250 for large sends (rules/partition.py)."""
    deadline: timedelta = DEFAULT_DEADLINE
    retry: RetrySchedule = RetrySchedule()
    on_ambiguous: OnAmbiguous = OnAmbiguous.RESEND
    rate: str | None = None
    """As written, e.g. "30/min,burst=5" (rules/pace.py); None: as fast as the lanes allow."""
    notify: Notify | None = None
    auto_pause: AutoPause | None = None
    max_consecutive_config_errors: int = MOST_CONFIG_ERRORS
    relay: str = ""
    """Name of the relay that takes its mail; empty: the default one."""
    template: TemplateUsed | None = None
    send_at: datetime | None = None
    """When it is to begin; None: as soon as it is accepted."""
    expires_at: datetime | None = None
    """What is not delivered by then expires, however much of the deadline is left, held or not."""
    window: SendingWindow | None = None
    """Nothing is tried outside of it; None: at any time."""

    @property
    def relay_name(self) -> str:
        return self.relay or DEFAULT_RELAY

    def ends_at(self, begin: datetime) -> datetime:
        """When its time is over if it begins then and is not held."""
        return earlier(begin + self.deadline, self.expires_at)


def earlier(moment: datetime, limit: datetime | None) -> datetime:
    """`moment`, but not after `limit`."""
    return moment if limit is None else min(moment, limit)
