"""Ctrl-C, SIGTERM and a closed terminal: remembered, and looked at where it suits."""

from __future__ import annotations

import signal
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopSignals:
    """Counts the signals. A handler that raises could leave behind a child that is just being started."""

    def __init__(self) -> None:
        self.count = 0
        for number in _SIGNALS:
            signal.signal(number, self._remember)

    def _remember(self, _number: int, _frame: FrameType | None) -> None:
        self.count += 1

    def told_to_stop(self) -> bool:
        return self.count > 0

    def told_to_hurry(self) -> bool:
        return self.count > 1
