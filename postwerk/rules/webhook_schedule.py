"""What a receiver's answer to a webhook means, and when it is asked again (Standard Webhooks 1.0)."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum

WAITS = (
    timedelta(0),
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
    timedelta(hours=14),
    timedelta(hours=20),
    timedelta(hours=24),
)
"""Before each try: the first is made at once, the tenth a day after the ninth, three days in all."""
JITTER = 0.1
"""A wait is longer by up to this share: those whose receiver fell over do not all come back at once."""
SLOWED_DOWN = timedelta(minutes=1)
"""The shortest wait for a receiver that says it has too much to do."""
LONGEST_ASKED_FOR = timedelta(hours=24)
"""Whatever Retry-After says."""
_SECONDS = re.compile(r"[0-9]{1,12}", re.ASCII)
_TOO_BUSY = (429, 502, 503, 504)
_GONE = 410


class Verdict(StrEnum):
    """What an answer means for what was sent."""

    TAKEN = "taken"
    FAILED = "failed"
    SLOW_DOWN = "slow_down"
    """Failed; and it has too much to do, or is being restarted."""
    GONE = "gone"
    """It wants nothing any more."""


def verdict_on(status: int | None) -> Verdict:
    """None: there was no answer. Only 2xx is success; a redirection is followed by nobody, so it fails."""
    if status is not None and 200 <= status < 300:
        return Verdict.TAKEN
    if status == _GONE:
        return Verdict.GONE
    return Verdict.SLOW_DOWN if status in _TOO_BUSY else Verdict.FAILED


def wait_after(
    failures: int, verdict: Verdict, asked_for: timedelta | None, chance: float
) -> timedelta | None:
    """How long to wait after so many failed tries; None: that was the last one.

    `asked_for`: by Retry-After; it makes a wait longer, never shorter. `chance` lies between 0 and 1.
    """
    if failures >= len(WAITS):
        return None
    least = SLOWED_DOWN if verdict is Verdict.SLOW_DOWN else timedelta(0)
    wait = max(WAITS[failures], least) * (1 + JITTER * chance)
    return max(wait, asked_for or timedelta(0))


def read_retry_after(header: str | None, now: datetime) -> timedelta | None:
    """Seconds or a date (RFC 9110 10.2.3), a day at most; None for what is neither."""
    text = (header or "").strip()
    if _SECONDS.fullmatch(text):
        return min(timedelta(seconds=int(text)), LONGEST_ASKED_FOR)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(timedelta(0), min(moment - now, LONGEST_ASKED_FOR))
