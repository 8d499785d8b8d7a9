"""The queue at a glance: counted messages into rows, by what they have in common and by age."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from postwerk.contracts.queue import QueueFilter
from postwerk.contracts.states import MessageState
from postwerk.rules.providers import is_provider

NOT_TRIED = "not_tried"
"""Stands for the reason of a message that has none yet."""
OTHER = "other"
"""The lane of domains with little mail."""
_CLASSES = 10
_NOT_OF_MESSAGES = {"bulk": (), "state": (), "older_than": None, "younger_than": None, "all": False}


class By(StrEnum):
    """What the rows of a summary are."""

    PROVIDER = "provider"
    DOMAIN = "domain"
    BULK = "bulk"
    REASON = "reason"
    STATE = "state"


class Group(NamedTuple):
    """`n` open messages that have all this in common."""

    bulk_id: str
    lane: str
    state: MessageState
    reason: str | None
    code: int | None
    n: int


class DomainGroup(NamedTuple):
    bulk_id: str
    domain: str
    state: MessageState
    n: int


@dataclass(frozen=True, slots=True)
class Survey:
    """All open messages as counted at one moment."""

    as_of: datetime
    groups: Sequence[Group]
    domains: Sequence[DomainGroup] = ()
    """Of very many, only the largest."""
    has_all_domains: bool = False
    has_all_of_domain: bool = False
    """What is here of a domain is all there is of it; else some sends' share of it may be missing."""


class Part(NamedTuple):
    """`n` messages that count for the row `name`."""

    name: str
    accepted_at: datetime
    state: MessageState
    n: int


@dataclass(slots=True)
class Row:
    """A line of a summary; `by_age` has one more than there are bounds: the last are older than all."""

    name: str
    by_age: list[int]
    states: Counter[MessageState] = field(default_factory=Counter)
    oldest_at: datetime | None = None

    @property
    def total(self) -> int:
        return sum(self.states.values())

    def add(self, part: Part, bucket: int) -> None:
        self.states[part.state] += part.n
        self.by_age[bucket] += part.n
        if self.oldest_at is None or part.accepted_at < self.oldest_at:
            self.oldest_at = part.accepted_at


def summarise(parts: Iterable[Part], bounds: Sequence[timedelta], now: datetime) -> list[Row]:
    """A row for each name, those with most messages first. `bounds` of the ages, ascending."""
    rows: dict[str, Row] = {}
    buckets: dict[datetime, int] = {}  # there are far more parts than bulk sends
    for part in parts:
        if part.n > 0:
            if (row := rows.get(part.name)) is None:
                row = rows[part.name] = Row(part.name, [0] * (len(bounds) + 1))
            if (bucket := buckets.get(part.accepted_at)) is None:
                bucket = buckets[part.accepted_at] = bisect_right(bounds, now - part.accepted_at)
            row.add(part, bucket)
    return sorted(rows.values(), key=lambda row: (-row.total, row.name))


def added_up(rows: Sequence[Row], name: str, bounds: Sequence[timedelta]) -> Row:
    """One row for all."""
    total = Row(name, [0] * (len(bounds) + 1))
    for row in rows:
        total.states.update(row.states)
        total.by_age = [mine + its for mine, its in zip(total.by_age, row.by_age, strict=True)]
    total.oldest_at = min((row.oldest_at for row in rows if row.oldest_at), default=None)
    return total


def parts_of(survey: Survey, by: By, accepted_at: Mapping[str, datetime]) -> Iterator[Part]:
    """The survey's counts by provider, reason or domain; sends that are not in `accepted_at` left out."""
    if by is By.DOMAIN:
        named: Iterable[tuple[str, str, MessageState, int]] = survey.domains
    elif by is By.PROVIDER:
        named = ((one.bulk_id, one.lane, one.state, one.n) for one in survey.groups)
    else:
        named = ((one.bulk_id, one.reason or NOT_TRIED, one.state, one.n) for one in survey.groups)
    for bulk_id, name, state, n in named:
        if (at := accepted_at.get(bulk_id)) is not None:
            yield Part(name, at, state, n)


def asks_sends_only(wanted: QueueFilter) -> bool:
    """Nothing is asked of a message but its state: the counters of the sends answer."""
    return wanted.model_copy(update=_NOT_OF_MESSAGES) == QueueFilter()


def counted_in(
    survey: Survey, wanted: QueueFilter, bulk_ids: Collection[str]
) -> Counter[MessageState] | None:
    """How many messages of these sends are meant, by state; None when the survey does not tell."""
    if wanted.ids or wanted.recipient is not None or wanted.q is not None:
        return None
    if (domain := _whole_domain(wanted)) is not None:
        return _counted_in_domain(survey, wanted, domain, bulk_ids)
    found: Counter[MessageState] = Counter()
    for one in survey.groups:
        if one.bulk_id in bulk_ids and _is_meant(one, wanted):
            found[one.state] += one.n
    return found


def _whole_domain(wanted: QueueFilter) -> str | None:
    """The domain that is asked for. One of no known provider may have mail in the lane `other` too."""
    own = wanted.provider is not None and wanted.provider != OTHER and not is_provider(wanted.provider)
    return wanted.domain or (wanted.provider if own else None)


def _counted_in_domain(
    survey: Survey, wanted: QueueFilter, domain: str, bulk_ids: Collection[str]
) -> Counter[MessageState] | None:
    """Domains are surveyed by state alone, and only the largest."""
    alone = (QueueFilter(domain=domain), QueueFilter(provider=domain))
    if wanted.model_copy(update=_NOT_OF_MESSAGES) not in alone:
        return None
    of_it = [one for one in survey.domains if one.domain == domain]
    if not (survey.has_all_domains or (of_it and survey.has_all_of_domain)):
        return None
    found: Counter[MessageState] = Counter()
    for one in of_it:
        if one.bulk_id in bulk_ids and (not wanted.state or one.state in wanted.state):
            found[one.state] += one.n
    return found


def _is_meant(group: Group, wanted: QueueFilter) -> bool:
    return (
        (not wanted.state or group.state in wanted.state)
        and (wanted.provider is None or group.lane == wanted.provider)
        and (wanted.reason is None or group.reason == wanted.reason)
        and (wanted.code is None or _has_code(group.code, wanted.code))
    )


def _has_code(code: int | None, wanted: int) -> bool:
    return code is not None and (code == wanted if wanted >= _CLASSES else code // 100 == wanted)
