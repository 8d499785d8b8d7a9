"""How often a key, or a peer without one, may call: kept in this process, each process by itself."""

from __future__ import annotations

import time

from postwerk.rules.call_rate import Call, CallRate

_MOST_KNOWN = 10_000
_MICROSECONDS = 1_000_000


class CallLimits:
    """`per_minute` calls of each at most; 0: any number."""

    def __init__(self, per_minute: int) -> None:
        self.rate = CallRate(per_minute) if per_minute else None
        self._tats: dict[str, int] = {}

    def take(self, who: str) -> Call | None:
        """What becomes of a call of `who`; None without a limit."""
        if self.rate is None:
            return None
        now = int(time.monotonic() * _MICROSECONDS)
        call = self.rate.take(self._tats.get(who, 0), now)
        if len(self._tats) >= _MOST_KNOWN and who not in self._tats:
            self._forget(now)
        self._tats[who] = call.tat
        return call

    def _forget(self, now: int) -> None:
        """Who has not called for a while; if all have, the one who came first."""
        self._tats = {who: tat for who, tat in self._tats.items() if tat > now}
        if len(self._tats) >= _MOST_KNOWN:
            del self._tats[next(iter(self._tats))]

    def headers(self, call: Call) -> dict[str, str]:
        """As draft-ietf-httpapi-ratelimit-headers has them."""
        assert self.rate is not None
        return {
            "RateLimit-Policy": f'"default";q={self.rate.calls};w={self.rate.seconds}',
            "RateLimit": f'"default";r={call.remaining};t={call.reset}',
        }
