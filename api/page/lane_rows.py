"""The lanes as the page shows them: what went on in the last hour, what waits, and how they rest. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from api.dependencies import ApiConfig
from api.lane_views import limits_in_force
from postwerk.archive.lanes import RELAY, LaneState, LaneUse
from postwerk.rules.pace import SECOND
from postwerk.rules.queue_summary import Row
from postwerk.rules.suspending import Suspensions

AGES = tuple(timedelta(minutes=minutes) for minutes in (5, 60, 360))
AGE_NAMES = ("< 5 min", "< 1 h", "< 6 h", "older")
MOST = 50
"""Lanes that are shown; the API has all of them."""


@dataclass(frozen=True, slots=True)
class KnownOfLanes:
    """What is known of the lanes of a relay. `rows` None: the queue is being counted."""

    relay: str
    states: Mapping[str, LaneState]
    uses: Mapping[str, LaneUse]
    tallies: Mapping[str, Counter[str]]
    rows: Mapping[str, Row] | None
    suspensions: Suspensions

    def names(self, now: datetime) -> set[str]:
        counted = self.rows.keys() if self.rows is not None else set()
        found = self.states.keys() | self.uses.keys() | self.tallies.keys() | counted
        return (set(found) | set(self.suspensions.lanes(now))) - {RELAY}


@dataclass(frozen=True, slots=True)
class LaneRow:
    """A lane, ready to be shown. `queued` None: not counted yet."""

    name: str
    state: str
    until: datetime | None
    why: str
    delivered: int
    temporary: int
    failed: int
    queued: int | None
    by_age: Sequence[int]
    oldest_at: datetime | None
    attempts_per_minute: float
    rate: str
    connections: int
    most_connections: int | str | None
    refusal: str
    refused_at: datetime | None
    suspended_domains: Sequence[str]

    @property
    def can_resume(self) -> bool:
        return self.state in ("suspended", "cooling_down", "recovering") or bool(self.suspended_domains)


def lane_rows(known: KnownOfLanes, config: ApiConfig, now: datetime) -> list[LaneRow]:
    """Those that rest first, then by what waits for them and what went over them; MOST at most."""
    rows = [_row(known, name, config, now) for name in known.names(now)]
    rows.sort(key=lambda row: (not row.can_resume, -(row.queued or 0), -row.delivered, row.name))
    return rows[:MOST]


def _row(known: KnownOfLanes, name: str, config: ApiConfig, now: datetime) -> LaneRow:
    state = known.states.get(name) or LaneState(name)
    use = known.uses.get(name)
    tallied = known.tallies.get(name) or Counter[str]()
    waiting = known.rows.get(name) if known.rows is not None else None
    limits = limits_in_force(state, config, now)
    is_now, until, why = _state(known, state, now, bool(limits.rate.value))
    return LaneRow(
        name=name,
        state=is_now,
        until=until,
        why=why,
        delivered=tallied["delivered"],
        temporary=tallied["deferred"],
        failed=sum(tallied[kind] for kind in ("bounced", "failed", "expired", "unknown")),
        queued=None if known.rows is None else waiting.total if waiting else 0,
        by_age=waiting.by_age if waiting else [0] * (len(AGES) + 1),
        oldest_at=waiting.oldest_at if waiting else None,
        attempts_per_minute=use.attempts_per_minute if use else 0.0,
        rate=str(limits.rate.value or ""),
        connections=use.connections if use else 0,
        most_connections=limits.connections.value,
        refusal=state.last_refusal,
        refused_at=state.last_refused_at,
        suspended_domains=sorted(known.suspensions.in_lane(name, now)),
    )


def _state(
    known: KnownOfLanes, state: LaneState, now: datetime, paced: bool
) -> tuple[str, datetime | None, str]:
    """In a word, until when, and why."""
    suspended = known.suspensions.of_lane(state.name, now)
    if suspended is not None:
        return "suspended", suspended.until, f"{suspended.reason} ({suspended.by})"
    if state.cools(now):
        return "cooling_down", state.cool_until, state.reason
    if state.slow_interval is not None:
        return "recovering", None, f"one message each {state.slow_interval / SECOND:g} s"
    return ("limited", None, "") if paced else ("free", None, "")
