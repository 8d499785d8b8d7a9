"""Timeouts and retry policies, named by what they promise."""

from __future__ import annotations

from datetime import timedelta

from temporalio.common import RetryPolicy

HEARTBEAT = timedelta(seconds=30)
"""A killed worker is noticed within this time."""
ONE_RUN = timedelta(hours=24)
"""One run over a batch; heartbeats watch it, this only bounds it."""
ACCIDENTS = RetryPolicy(
    initial_interval=timedelta(seconds=1), backoff_coefficient=2.0, maximum_interval=timedelta(minutes=1)
)
"""A worker died, the archive is away: again after 1, 2, 4 ... 60 seconds, as long as it takes.
Deliberate waiting does not use this: it comes with its own delay."""
ARCHIVE_STEP = timedelta(seconds=45)
"""One short step in the archive; it has no heartbeat, so a worker killed in it is noticed only then."""
QUICK_STEP = timedelta(seconds=10)
"""The same where somebody's mail waits for it: a killed worker costs no more than this."""
ARCHIVE_WALK = timedelta(hours=1)
"""A step that touches every message of a bulk send, with heartbeats."""
TELLING = timedelta(hours=6)
"""So long it is tried to store a notice; a send has ended for everyone else meanwhile."""
ANOTHER_LOOK = timedelta(minutes=1)
"""Failed messages are being started again, and nobody said that it is done: look again after this."""
LATE_AFTER = timedelta(hours=24)
"""What is still open so long after the beginning is late (Exim: delay_warning 24h)."""
MESSAGE_PRIORITY = 2
"""Of a transactional message's tasks; operators' come first, with 1."""
BULK_PRIORITY = 3
"""Of a bulk send's tasks."""
AT_ONCE = RetryPolicy(initial_interval=timedelta(milliseconds=200), maximum_attempts=2)
"""A step beside the workflow, in its own worker; if that fails it is done like any other."""
LONG_HISTORY = 1500
"""Events after which a workflow that can go on in a new run does so; none is to have more than 2,000."""
TOLD_ONE_BY_ONE = 20
"""Up to so many children are signalled by their parent itself, which costs its history two events each."""
FIRST_LOOK = timedelta(seconds=2)
LAST_LOOK = timedelta(hours=6)
"""Live details are read after 2, 4, 8 ... seconds, then every 6 hours: 30 looks in five days."""
