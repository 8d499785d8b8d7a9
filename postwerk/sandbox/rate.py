"""Rates as people write them, and the token bucket that keeps one."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Self

from postwerk.errors import ConfigurationError

_WRITTEN = re.compile(r"(\d+)(?:/(s|min|h|d))?")
_SECONDS = {"s": 1, "min": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True, slots=True)
class Rate:
    """So many in so many seconds."""

    count: int
    seconds: int = 1

    @classmethod
    def parse(cls, written: str) -> Self:
        """Read `100/s`, `30/min`, `1000/h`, `10000/d`; a bare number is per second."""
        match = _WRITTEN.fullmatch(written.strip())
        if match is None or int(match[1]) == 0:
            raise ConfigurationError(
                f"{written!r} is not a rate; write it like 100/s, 30/min, 1000/h or 10000/d"
            )
        return cls(int(match[1]), _SECONDS[match[2] or "s"])

    @property
    def per_second(self) -> float:
        return self.count / self.seconds

    @property
    def burst(self) -> float:
        """One second's worth, never less than one: a slow rate lets single messages through evenly."""
        return max(1.0, self.per_second)

    def __str__(self) -> str:
        return f"{self.count}/{next(unit for unit, seconds in _SECONDS.items() if seconds == self.seconds)}"


@dataclass(slots=True)
class Bucket:
    """Tokens for one rate: full at first, refilled as time goes by."""

    rate: Rate
    _tokens: float = field(init=False)
    _filled_at: float | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self._tokens = self.rate.burst

    def take(self, now: float) -> bool:
        """Take one token at `now` (seconds of any steady clock); False when there is none left."""
        if self._filled_at is not None:
            gained = (now - self._filled_at) * self.rate.per_second
            self._tokens = min(self.rate.burst, self._tokens + gained)
        self._filled_at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
