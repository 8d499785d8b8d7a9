"""Ends what a supervisor leaves behind when it is killed itself. Run as a script of its own session.

It reads "+<group>" and "-<group>" lines; the end of input means that the supervisor is gone. A pipe tells
that on every system and whichever thread started a child, which PR_SET_PDEATHSIG does not.
"""

from __future__ import annotations

import os
import signal
import sys
import time

_GRACE_SECONDS = 5.0


def watch() -> None:
    """Read until the supervisor is gone, then end what it still had running."""
    groups: set[int] = set()
    for line in sys.stdin:
        group = int(line[1:])
        if line.startswith("+"):
            groups.add(group)
        else:
            groups.discard(group)
    _end(groups)


def _end(groups: set[int]) -> None:
    _signal(groups, signal.SIGTERM)
    deadline = time.monotonic() + _GRACE_SECONDS
    while time.monotonic() < deadline and _signal(groups, 0):
        time.sleep(0.1)
    _signal(groups, signal.SIGKILL)


def _signal(groups: set[int], number: int) -> bool:
    """Whether any of the groups was there to hear it."""
    heard = False
    for group in groups:
        try:
            os.killpg(group, number)
            heard = True
        except (ProcessLookupError, PermissionError):
            continue
    return heard


if __name__ == "__main__":
    # Ctrl-C reaches only the foreground group; if we are signalled all the same, the supervisor decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    watch()
