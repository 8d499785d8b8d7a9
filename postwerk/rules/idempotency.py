"""Calls that may come again under one key: what is to be done with such a call. Times are handed in."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import sha256
from typing import NamedTuple

KEPT = timedelta(hours=24)
"""An answer is kept so long; for a send at a later time, so long after that."""
LEASE = timedelta(seconds=5)
"""A call that has not said for so long that it is still at it is taken for dead."""
RENEWED = timedelta(seconds=1.5)
"""So often it says so."""
_KEY = re.compile(r"[!-~]{1,255}", re.ASCII)


class Verdict(StrEnum):
    """What becomes of a call whose key is known already."""

    REPLAY = "replay"
    """It was answered: the same answer again."""
    REUSED = "reused"
    """The key belongs to another call."""
    IN_PROGRESS = "in_progress"
    """Somebody is at it right now."""
    TAKE_OVER = "take_over"
    """Whoever was at it died, or gave it back: go on."""
    EXPIRED = "expired"
    """Kept long enough: as if it had never come."""


class Known(NamedTuple):
    """A remembered call, as far as the verdict depends on it. `holder` is empty when it was given back."""

    fingerprint: str
    holder: str
    held_since: datetime | None
    status: int | None
    keep_until: datetime


def is_key(text: str) -> bool:
    """1 to 255 visible ASCII characters."""
    return _KEY.fullmatch(text) is not None


def call_fingerprint(method: str, path: str, query: str, media_type: str = "") -> str:
    """What is known of a call before its body is read: SHA-256 in hex, with a full stop behind it."""
    parts = [part.encode("utf-8", "surrogateescape") for part in (method, path, query, media_type)]
    return sha256(b"".join(b"%d:%s" % (len(part), part) for part in parts)).hexdigest() + "."


def same_call(known: str, given: str) -> bool:
    """Whether two fingerprints are of one call; one that ends in its full stop says nothing of the body."""
    shorter, longer = sorted((known, given), key=len)
    return longer == shorter or (shorter.endswith(".") and longer.startswith(shorter))


def verdict(known: Known, fingerprint: str, now: datetime) -> Verdict:
    """What is to be done with a call of this fingerprint."""
    held = bool(known.holder) and known.held_since is not None and now - known.held_since <= LEASE
    if known.status is None and held:
        return Verdict.IN_PROGRESS if same_call(known.fingerprint, fingerprint) else Verdict.REUSED
    if known.keep_until <= now:
        return Verdict.EXPIRED
    if not same_call(known.fingerprint, fingerprint):
        return Verdict.REUSED
    return Verdict.TAKE_OVER if known.status is None else Verdict.REPLAY


def is_remembered(status: int) -> bool:
    """429 and 5xx are about the moment, and 499 about the line: their key is free again."""
    return status < 500 and status not in (429, 499)


def kept_until(now: datetime, moments: Sequence[datetime | None] = ()) -> datetime:
    """`moments`: when its mail is to be sent, if that is later."""
    return max([now, *(moment for moment in moments if moment is not None)]) + KEPT
