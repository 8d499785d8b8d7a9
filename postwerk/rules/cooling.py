"""How long a lane rests after a refusal, and how it comes back step by step."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from postwerk.rules.pace import SECOND


@dataclass(frozen=True, slots=True)
class Cooling:
    """What a worker is told about resting."""

    first: timedelta = timedelta(minutes=1)
    """After the first rate reply; doubled each time it is still refused afterwards."""
    longest: timedelta = timedelta(hours=2)
    """Also for replies that name their own time, e.g. Yahoo's TSS04."""
    probe_every: timedelta = timedelta(minutes=5)
    """A relay that gives no session is tried so often, and by one worker only."""


FIRST_STEP = 10 * SECOND
"""The first messages after a cool-down go ten seconds apart; each that goes through halves that."""
LAST_STEP = SECOND // 100
"""Below this nothing is slow any more."""
FIRST_STEP_SHARE = 6
"""... but after a short cool-down sooner: a sixth of it."""
LONGEST_REFUSED = timedelta(hours=1)
TOLD_TIMES = 3
"""So often in a row a server's own "try again in N seconds" is the rest; then no shorter one than usual."""
QUICK_PROBES = 5
"""So often a relay is tried soon again (after 5, 10, 20, 40 seconds); then it counts as dead."""
FIRST_PROBE = timedelta(seconds=5)
OUR_FAULT_PAUSE = timedelta(seconds=2)
"""Between two tries with settings that the relay refuses; after ten the bulk send is paused."""


def cool_down(
    cooling: Cooling, refusals: int, own: timedelta | None = None, hint: timedelta | None = None
) -> timedelta:
    """The rest after the n-th rate reply in a row (n = 1, 2 ...); what the reply itself says wins."""
    usual = min(cooling.first * float(2 ** min(refusals - 1, 20)), max(LONGEST_REFUSED, cooling.first))
    return _within(cooling, own or (hint and _as_told(hint, refusals, usual)) or usual)


def _as_told(hint: timedelta, refusals: int, usual: timedelta) -> timedelta:
    return hint if refusals <= TOLD_TIMES else max(hint, usual)


def _within(cooling: Cooling, rest: timedelta) -> timedelta:
    return min(max(rest, timedelta(seconds=1)), cooling.longest)


def first_step(rest: timedelta) -> int:
    """Microseconds between the first messages after that rest."""
    return min(FIRST_STEP, int(rest.total_seconds() * SECOND) // FIRST_STEP_SHARE)


def next_step(interval: int) -> int | None:
    """The pace after another message went through: half the interval; None: as fast as ever."""
    return interval // 2 if interval // 2 > LAST_STEP else None


def probe_wait(
    cooling: Cooling, failures: int, own: timedelta | None = None, hint: timedelta | None = None
) -> timedelta:
    """The rest after the n-th failure in a row to get a session (n = 1, 2 ...); what it was told wins."""
    quick = failures < QUICK_PROBES
    usual = (
        min(FIRST_PROBE * float(2 ** (failures - 1)), cooling.probe_every) if quick else cooling.probe_every
    )
    told = own or (hint and _as_told(hint, failures, usual))
    return _within(cooling, told) if told else usual


@dataclass(slots=True)
class Evidence:
    """Whether replies that may be about the destination really are: when nearly all of the latest say so.

    One address that is always answered 451 must not slow a lane, nor must a twentieth of random refusals.
    So each address has one voice: its latest reply.
    """

    LEAST = 10
    SHARE = 0.9
    MOST = 30
    _latest: dict[str, bool] = field(default_factory=dict)

    def add(self, address: str, *, suspect: bool) -> bool:
        """Take in one more reply; True when the lane is to slow down. Then it starts anew."""
        self._latest.pop(address, None)
        self._latest[address] = suspect
        if len(self._latest) > self.MOST:
            del self._latest[next(iter(self._latest))]
        convincing = (
            suspect
            and len(self._latest) >= self.LEAST
            and sum(self._latest.values()) >= self.SHARE * len(self._latest)
        )
        if convincing:
            self._latest.clear()
        return convincing
