"""Destinations that get no mail for a while: which lanes rest because of it, and which domains in them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from postwerk.rules.providers import OTHER_LANE, is_provider, lane_of

SPREAD = timedelta(milliseconds=20)
"""Between two batches of a bulk send that come back at the end of a suspension: thousands may wait for it."""
SPREAD_OVER = 500
"""So many batches come back one after the other; then the next ones beside them."""


class SuspensionKind(StrEnum):
    """What is suspended."""

    DOMAIN = "domain"
    PROVIDER = "provider"


@dataclass(frozen=True, slots=True)
class Suspended:
    """A destination that gets no mail before `until`: a domain, or a provider by the name of its lane."""

    kind: SuspensionKind
    name: str
    until: datetime
    reason: str = ""
    by: str = ""

    @property
    def lane(self) -> str:
        """The destination's own lane; its mail may be in the lane `other` too."""
        return self.name if self.kind is SuspensionKind.PROVIDER else lane_of(self.name)

    @property
    def lanes(self) -> tuple[str, ...]:
        """Every lane in which it may have mail."""
        alone = is_provider(self.lane) or self.lane == OTHER_LANE
        return (self.lane,) if alone else (self.lane, OTHER_LANE)

    @property
    def is_whole_lane(self) -> bool:
        """A domain of somebody's own is all of its lane; that of a provider shares it with others."""
        return self.kind is SuspensionKind.PROVIDER or not is_provider(self.lane)


class Suspensions:
    """Those in force, and what they mean for a lane. Where several meet, the last to end counts."""

    def __init__(self, found: Iterable[Suspended] = ()) -> None:
        self._of_lane: dict[str, Suspended] = {}
        self._in_lane: dict[str, dict[str, Suspended]] = {}
        for one in found:
            if one.is_whole_lane:
                _keep_longer(self._of_lane, one.lane, one)
            for lane in one.lanes:
                if lane != one.lane or not one.is_whole_lane:
                    _keep_longer(self._in_lane.setdefault(lane, {}), one.name, one)

    def of_lane(self, lane: str, now: datetime) -> Suspended | None:
        """Why nothing at all goes on this lane."""
        found = self._of_lane.get(lane)
        return found if found and found.until > now else None

    def in_lane(self, lane: str, now: datetime) -> dict[str, Suspended]:
        """The domains that get nothing while others on this lane do."""
        found = self._in_lane.get(lane)
        return {domain: one for domain, one in found.items() if one.until > now} if found else {}

    def of_message(self, lane: str, address: str, now: datetime) -> Suspended | None:
        """Why this address gets nothing; the later end of its domain's and its lane's."""
        both = (self.of_lane(lane, now), self.in_lane(lane, now).get(domain_of(address)))
        return max((one for one in both if one), key=lambda one: one.until, default=None)

    def whole_lanes(self, now: datetime) -> list[str]:
        return [lane for lane, one in self._of_lane.items() if one.until > now]

    def lanes(self, now: datetime) -> list[str]:
        """Every lane that is suspended, or has domains that are."""
        return [*self.whole_lanes(now), *(lane for lane in self._in_lane if self.in_lane(lane, now))]

    def shared(self, now: datetime) -> list[tuple[str, Suspended]]:
        """Lanes with a domain in each that gets nothing while others on the lane do."""
        return [(lane, one) for lane in self._in_lane for one in self.in_lane(lane, now).values()]


def domain_of(address: str) -> str:
    return address.rpartition("@")[2].lower()


def back_after(until: datetime, batch: int) -> datetime:
    """When a batch, by its number, comes back from a suspension that ends at `until`."""
    return until + SPREAD * (batch % SPREAD_OVER)


def _keep_longer(kept: dict[str, Suspended], name: str, one: Suspended) -> None:
    if name not in kept or kept[name].until < one.until:
        kept[name] = one
