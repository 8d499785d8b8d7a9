"""What the archive remembers of lanes and relay, in callers' words."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from typing import Literal

from fastapi import Request

from api.dependencies import ApiConfig, Parts
from api.lane_schemas import (
    CoolDownView,
    InForceView,
    LaneView,
    LimitsView,
    LimitView,
    OverrideView,
    RecoveringView,
    RefusalView,
    RelayView,
    UseView,
)
from api.views import base_url
from postwerk.archive.lanes import LaneState, LaneUse
from postwerk.rules.pace import SECOND
from postwerk.rules.providers import LaneLimits, limits_of, load_providers
from postwerk.rules.suspending import Suspended, Suspensions


def lane_view(
    request: Request,
    parts: Parts,
    relay: str,
    state: LaneState,
    suspensions: Suspensions,
    use: LaneUse | None,
    queued: int | None,
) -> LaneView:
    now = parts.now()
    suspended = suspensions.of_lane(state.name, now)
    cools = state.cools(now)
    recovers = state.slow_interval is not None and not cools
    limits = limits_in_force(state, parts.config, now)
    paced: Literal["paced", "free"] = "paced" if limits.rate.value else "free"
    return LaneView(
        lane=state.name,
        domains=list(domains_of(state.name)),
        state="suspended" if suspended else "cooling_down" if cools else "recovering" if recovers else paced,
        limits=limits,
        override=_override(state, now),
        suspension=_in_force(suspended),
        suspended_domains=sorted(suspensions.in_lane(state.name, now)),
        cool_down=_cool_down(state, now),
        recovering=_recovering(state) if recovers else None,
        last_refusal=_last_refusal(state),
        use=UseView(
            connections=use.connections if use else 0,
            attempts_per_minute=use.attempts_per_minute if use else 0.0,
        ),
        queued=queued,
        links={"self": f"{base_url(request, parts)}/v1/lanes/{state.name}{_asking_for(parts, relay)}"},
    )


def relay_view(request: Request, parts: Parts, name: str, state: LaneState) -> RelayView:
    now = parts.now()
    cools = state.cools(now)
    trying = state.probe_until if state.probe_until and state.probe_until > now else None
    rate = parts.config.relay_rate or None
    return RelayView(
        name=name,
        server=parts.config.server_of(name),
        state="cooling_down" if cools else "failing" if state.failures else "working",
        failures=state.failures,
        next_probe_at=state.cool_until if cools else trying if state.failures else None,
        cool_down=_cool_down(state, now),
        last_refusal=_last_refusal(state),
        rate=LimitView(value=rate, source="settings" if rate else None),
        links={"self": f"{base_url(request, parts)}/v1/relay{_asking_for(parts, name)}"},
    )


def _asking_for(parts: Parts, relay: str) -> str:
    """The default relay need not be named."""
    return f"?relay={relay}" if relay in parts.config.relays else ""


def limits_in_force(state: LaneState, config: ApiConfig, now: datetime) -> LimitsView:
    """The operator's, else the narrower of provider's and settings', as workers with our settings see it."""
    own, provider = state.in_force(now), limits_of(state.name)
    rates = [str(limits.rate) if limits.rate else None for limits in (own, provider)]
    usual = config.connections_per_lane
    narrow = provider.connections if (provider.connections or usual) < usual else None
    return LimitsView(
        rate=_first(rates[0], rates[1], None),
        connections=_first(own.connections, narrow, usual),
        messages_per_connection=_first(
            own.messages_per_connection, provider.messages_per_connection, config.messages_per_connection
        ),
    )


def _first(operator: str | int | None, provider: str | int | None, settings: str | int | None) -> LimitView:
    if operator is not None:
        return LimitView(value=operator, source="operator")
    if provider is not None:
        return LimitView(value=provider, source="provider")
    return LimitView(value=settings, source=None if settings is None else "settings")


def domains_of(lane: str) -> tuple[str, ...]:
    """A provider's domains, sorted; a domain of somebody's own has none to name."""
    return _domains().get(lane, ())


@lru_cache(maxsize=1)
def _domains() -> dict[str, tuple[str, ...]]:
    exact, patterns = load_providers()
    found: dict[str, list[str]] = {}
    for domain, lane in [*exact.items(), *((f"{name}.*", lane) for name, lane in patterns.items())]:
        found.setdefault(lane, []).append(domain)
    return {lane: tuple(sorted(domains)) for lane, domains in found.items()}


def known_providers() -> list[str]:
    return sorted(_domains())


def paced_providers() -> list[str]:
    """Those that have a rate without anybody's doing."""
    return [lane for lane in known_providers() if limits_of(lane).rate]


def _override(state: LaneState, now: datetime) -> OverrideView | None:
    own = state.in_force(now)
    if own == LaneLimits():
        return None
    return OverrideView(
        rate=str(own.rate) if own.rate else None,
        connections=own.connections,
        messages_per_connection=own.messages_per_connection,
        set_by=state.set_by,
        reason=state.set_reason,
        set_at=state.set_at,
        until=state.set_until,
    )


def _cool_down(state: LaneState, now: datetime) -> CoolDownView | None:
    if state.cool_until is None or not state.cools(now):
        return None
    return CoolDownView(until=state.cool_until, reason=state.reason, origin=state.origin)


def _in_force(suspended: Suspended | None) -> InForceView | None:
    if suspended is None:
        return None
    return InForceView(until=suspended.until, reason=suspended.reason, by=suspended.by)


def _recovering(state: LaneState) -> RecoveringView:
    return RecoveringView(seconds_between_messages=(state.slow_interval or 0) / SECOND, reason=state.reason)


def _last_refusal(state: LaneState) -> RefusalView | None:
    if state.last_refused_at is None:
        return None
    return RefusalView(reply=state.last_refusal, at=state.last_refused_at)
