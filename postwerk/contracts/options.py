"""What a sender may choose for one bulk send besides its content."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

DEFAULT_DEADLINE = timedelta(days=5)
"""RFC 5321 4.5.4.1: give up after four to five days."""


class OnAmbiguous(StrEnum):
    """What becomes of a message whose dot was written and whose reply was never read (RFC 1047)."""

    RESEND = "resend"
    """At least once: sent again and marked `possible_duplicate`."""
    STOP = "stop"
    """At most once: it ends `unknown`."""


class RetrySchedule(BaseModel):
    """Waits between attempts: `initial`, then times `factor` each, at most `maximum`, +-`jitter`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    initial: timedelta = Field(default=timedelta(minutes=5), ge=timedelta(seconds=1), le=timedelta(days=1))
    factor: float = Field(default=2.0, ge=1.0, le=10.0)
    maximum: timedelta = Field(default=timedelta(hours=3), ge=timedelta(seconds=1), le=timedelta(days=1))
    jitter: float = Field(default=0.2, ge=0.0, le=0.5)


class BulkOptions(BaseModel):
    """Options of a bulk send, as stored."""

    model_config = ConfigDict(frozen=True)

    recipients_per_child: int | None = None
    """None: 1 up to 100 recipients, growing to 250 for large sends (rules/partition.py)."""
    deadline: timedelta = DEFAULT_DEADLINE
    retry: RetrySchedule = RetrySchedule()
    on_ambiguous: OnAmbiguous = OnAmbiguous.RESEND
