"""One clock for all: the Temporal server's."""

from __future__ import annotations

import time
from datetime import datetime, timedelta

from temporalio import activity


class ActivityClock:
    """The server's time when it handed this activity out, plus what passed since by the monotonic clock.

    Deadlines and due times so mean the same on every machine, however wrong its own clock is, and the
    time-skipping test server can let five days pass in a second.
    """

    def __init__(self) -> None:
        self._started = activity.info().started_time
        self._monotonic = time.monotonic()

    def now(self) -> datetime:
        return self._started + timedelta(seconds=time.monotonic() - self._monotonic)
