"""Which mailbox provider a domain belongs to: its lane. The groups are data, in providers.toml."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

from postwerk.rules.pace import Rate

OTHER_LANE = "other"
"""The lane that domains with few messages in a bulk send share; no domain is called so."""
# A public suffix of one or two labels: "de", "co.uk", "com.br".
_ANY_SUFFIX = re.compile(r"[a-z]{2,4}|(?:co|com|net|org)\.[a-z]{2}")


def lane_of(domain: str) -> str:
    """The main domain of the provider that runs `domain`; a domain of no known provider is its own lane."""
    lane = _LANES.get(domain)
    if lane is not None:
        return lane
    domain = domain.lower().rstrip(".")
    return _LANES.get(domain) or _lane_by_pattern(domain) or domain


def _lane_by_pattern(domain: str) -> str | None:
    name, _, suffix = domain.partition(".")
    lane = _PATTERNS.get(name)
    return lane if lane is not None and _ANY_SUFFIX.fullmatch(suffix) else None


@dataclass(frozen=True, slots=True)
class LaneLimits:
    """What a lane may do; None: as the worker's settings say."""

    connections: int | None = None
    messages_per_connection: int | None = None
    rate: Rate | None = None


def limits_of(lane: str) -> LaneLimits:
    """The limits that suit the provider as a rule; a domain of somebody's own has none."""
    return _LIMITS.get(lane, LaneLimits())


@lru_cache(maxsize=1)
def _groups() -> dict[str, dict[str, Any]]:
    return tomllib.loads(files("postwerk.rules").joinpath("providers.toml").read_text("utf-8"))


@lru_cache(maxsize=1)
def load_providers() -> tuple[dict[str, str], dict[str, str]]:
    """Two maps: exact domain to lane, and the name in front of any suffix to lane."""
    lanes: dict[str, str] = {}
    patterns: dict[str, str] = {}
    for lane, group in _groups().items():
        lanes |= dict.fromkeys(group.get("domains", ()), lane)
        patterns |= {pattern.removesuffix(".*"): lane for pattern in group.get("patterns", ())}
    return lanes, patterns


def _limits(group: dict[str, Any]) -> LaneLimits:
    rate = group.get("rate")
    return LaneLimits(
        group.get("connections"), group.get("messages_per_connection"), Rate.parse(rate) if rate else None
    )


_LANES, _PATTERNS = load_providers()
_LIMITS = {lane: _limits(group) for lane, group in _groups().items()}


def is_provider(lane: str) -> bool:
    """Whether a lane is one of the known mailbox providers, not a domain of somebody's own."""
    return lane in _PROVIDERS


def provider_label(lane: str) -> str:
    """The lane as it may stand in a metric: a known provider by its name, everybody else as one."""
    return lane if lane in _PROVIDERS else OTHER_LANE


_PROVIDERS = frozenset(_LANES.values()) | frozenset(_PATTERNS.values())
