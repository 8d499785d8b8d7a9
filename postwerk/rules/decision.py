"""What follows from the end of an SMTP transaction, as values. Which of them, reply_class.py decides."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum


class Effect(StrEnum):
    """What becomes of the recipient."""

    DELIVER = "deliver"
    RETRY = "retry"
    """Deferred; counts for the retry schedule."""
    WAIT = "wait"
    """Not this recipient's fault (host, pace, our settings): costs nobody an attempt (P5)."""
    BOUNCE = "bounce"
    FAIL = "fail"
    """Ours: no server will ever take it as it is."""
    AMBIGUOUS = "ambiguous"
    """The dot was written and no reply was read (RFC 1047): nobody knows."""


class LaneEffect(StrEnum):
    """What it says of the destination."""

    NONE = "none"
    SUSPECT = "suspect"
    """Perhaps about it: 421, 451, 454 without a known text; the lane slows when nearly all say so."""
    SLOW = "slow"
    """About our pace or reputation: the lane cools down at once."""
    HOST = "host"
    """No session: the relay cannot be used now."""


class BulkEffect(StrEnum):
    """What it says of the whole send."""

    NONE = "none"
    CONFIG = "config"
    """Our settings or our sender, so true of everyone: several in a row pause the send."""
    TOO_BIG = "too_big"
    """Its messages are larger than the server takes: none as large is tried again."""


@dataclass(frozen=True, slots=True)
class Decision:
    """All that follows, and a stable name for its reason."""

    effect: Effect
    reason: str
    lane: LaneEffect = LaneEffect.NONE
    bulk: BulkEffect = BulkEffect.NONE
    suppress: bool = False
    """Hard bounce: the address goes on the suppression list."""
    cool_for: timedelta | None = None
    """This reply's own cool-down; None: the usual one."""
    hint: timedelta | None = None
    """How long the server of a temporary reply asks us to wait, 1 s to 24 h, without any margin."""
