"""How often somebody may call: so many calls a minute, all at once if he likes (GCRA). Microseconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from postwerk.rules.pace import SECOND


class Call(NamedTuple):
    """What becomes of a call. `tat` is kept for the next one; `wait` 0: it may go through."""

    tat: int
    remaining: int
    """So many more may come at once."""
    reset: int
    """Seconds until all of them may come again."""
    wait: int
    """Seconds after which it is worth coming again."""


@dataclass(frozen=True, slots=True)
class CallRate:
    """`calls` in `seconds` at most."""

    calls: int
    seconds: int = 60

    def take(self, tat: int, now: int) -> Call:
        """One call at `now`; `tat` is where the last one left it, 0 at first."""
        interval = max(1, self.seconds * SECOND // self.calls)
        most = interval * self.calls
        after = max(tat, now) + interval
        over = after - now - most
        if over > 0:
            return Call(tat, 0, _seconds(tat - now), _seconds(over))
        return Call(after, -over // interval, _seconds(after - now), 0)


def _seconds(length: int) -> int:
    """Whole seconds, rounded up."""
    return -(-length // SECOND)
