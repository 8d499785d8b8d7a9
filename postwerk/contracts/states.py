"""The states of a bulk send and of a message (docs/lifecycle.md shows the arrows)."""

from __future__ import annotations

from enum import StrEnum


class SendKind(StrEnum):
    """What a stored send is."""

    BULK = "bulk"
    MESSAGE = "message"
    """One transactional mail, by POST /v1/messages."""
    TEST = "test"
    """One mail that shows its sender what a bulk send would look like."""
    NOTICE = "notice"
    """Tells the sender of another one."""
    MODEL = "model"
    """What a schedule sends again and again; itself it is never sent."""


class SuppressionScope(StrEnum):
    """What an address on the suppression list gets no more."""

    ALL = "all"
    """No mail at all."""
    BULK = "bulk"
    """No bulk sends; transactional mail still."""


class BulkState(StrEnum):
    """Where a bulk send stands."""

    STORING = "storing"
    """Its recipients are being written; a crash here leaves nothing to send."""
    OPEN = "open"
    """Takes further recipients until it is started."""
    SCHEDULED = "scheduled"
    """Accepted and stored; its workflow waits until it is to begin."""
    QUEUED = "queued"
    """Accepted and stored; its workflow starts now or by the reconciler within 60 seconds."""
    RUNNING = "running"
    PAUSED = "paused"
    """Held: no SMTP transaction starts, the deadline's clock stands still."""
    CANCELLING = "cancelling"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    FAILED = "failed"
    """Ended by an accident of ours; what was open is recorded as failed."""


ENDED = frozenset({BulkState.COMPLETED, BulkState.CANCELLED, BulkState.FAILED})
"""Bulk states that never change again."""


class MessageState(StrEnum):
    """Where a message stands. The open ones may still change; of the final ones only
    `delivered` does, by a late bounce, unless somebody starts failed ones again.
    """

    QUEUED = "queued"
    SENDING = "sending"
    """An SMTP transaction runs, or ran when its worker died: then it is ambiguous."""
    DEFERRED = "deferred"
    """Refused for now; tried again at `next_attempt_at`."""
    HELD = "held"
    """An operator said not now: it is not tried, and its own clock stands still until it is released."""
    DELIVERED = "delivered"
    """A 2yz reply to the final dot: the next server has taken responsibility."""
    BOUNCED = "bounced"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    SUPPRESSED = "suppressed"
    FAILED = "failed"
    """Ours: it could not be made from content and variables."""
    UNKNOWN = "unknown"
    """Handed over without a readable reply, and not sent again (`on_ambiguous: "stop"`, or a cancel)."""


OPEN_STATES = frozenset({MessageState.QUEUED, MessageState.SENDING, MessageState.DEFERRED, MessageState.HELD})
FINAL_STATES = frozenset(MessageState) - OPEN_STATES
