"""How often, and with how many large bodies at once, a key or a peer without one may call.

Kept in this process, each process by itself.
"""

from __future__ import annotations

import time
from collections import Counter

from starlette.datastructures import Headers

from postwerk.rules.call_rate import Call, CallRate

_MOST_KNOWN = 10_000
_MICROSECONDS = 1_000_000
_LARGE_OCTETS = 1024 * 1024


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


class UploadSlots:
    """Large bodies under way: so many of each caller `at_once` at most; 0: any number."""

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._under_way: Counter[str] = Counter()

    def enter(self, who: str) -> bool:
        """Whether another may begin; one that began must leave."""
        if self._at_once and self._under_way[who] >= self._at_once:
            return False
        self._under_way[who] += 1
        return True

    def leave(self, who: str) -> None:
        self._under_way[who] -= 1
        if not self._under_way[who]:
            del self._under_way[who]


def is_large(headers: Headers) -> bool:
    """Whether a body of a megabyte or more comes, or one that does not say how long it is."""
    length = headers.get("content-length", "")
    if length.isascii() and length.isdigit():
        return len(length) > 18 or int(length) >= _LARGE_OCTETS
    return "transfer-encoding" in headers
