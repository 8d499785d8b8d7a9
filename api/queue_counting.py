"""Counting the queue: by the counters where they tell, one by one while it is small, else by the survey."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from api.dependencies import Parts
from api.queue_survey import SMALL
from postwerk.archive.queue_conditions import is_pointed
from postwerk.archive.queue_counts import count_meant, counted_by_counters, rows_to_read, take_survey
from postwerk.archive.queue_filter import SendInQuestion, sends_in_question
from postwerk.contracts.queue import QueueFilter
from postwerk.contracts.states import OPEN_STATES, MessageState
from postwerk.rules.queue_summary import (
    By,
    Part,
    Row,
    Survey,
    added_up,
    asks_sends_only,
    counted_in,
    parts_of,
    summarise,
)

TOTAL = "total"


@dataclass(frozen=True, slots=True)
class Counted:
    """Messages by state, and when they were counted."""

    states: Counter[MessageState]
    as_of: datetime


@dataclass(frozen=True, slots=True)
class Summary:
    """Rows and their sum; `names` of bulk sends by id."""

    rows: Sequence[Row]
    total: Row
    as_of: datetime
    names: dict[str, str]
    more: bool = False
    """There are further rows that nobody counted."""


async def count(parts: Parts, wanted: QueueFilter) -> Counted:
    """The messages that are meant. In a large queue as of the latest survey, where that tells."""
    found = await count_at_hand(parts, wanted)
    if found is None and parts.survey.at_hand() is None:
        await parts.survey.latest()
        found = await count_at_hand(parts, wanted)
    if found is not None:
        return found
    now = parts.now()
    async with parts.archive.reading() as connection:
        sends = await sends_in_question(connection, wanted, now)
        return Counted(await count_meant(connection, sends, wanted), now)


async def count_at_hand(parts: Parts, wanted: QueueFilter) -> Counted | None:
    """The same where it takes no time: None when many messages would have to be read for it."""
    now = parts.now()
    async with parts.archive.reading() as connection:
        sends = await sends_in_question(connection, wanted, now)
        if asks_sends_only(wanted):
            return Counted(counted_by_counters(sends, wanted), now)
        if is_pointed(wanted) or rows_to_read(sends) <= SMALL:
            return Counted(await count_meant(connection, sends, wanted), now)
    survey = parts.survey.at_hand()
    found = None if survey is None else counted_in(survey, wanted, {send.id for send in sends})
    return None if survey is None or found is None else Counted(found, survey.as_of)


async def summary(parts: Parts, by: By, bounds: Sequence[timedelta]) -> Summary:
    now = parts.now()
    async with parts.archive.reading() as connection:
        sends = await sends_in_question(connection, QueueFilter(), now)
        exact = by not in (By.BULK, By.STATE) and rows_to_read(sends) <= SMALL
        survey = await take_survey(connection, sends, now, domains=by is By.DOMAIN) if exact else None
    names = {send.id: send.name for send in sends}
    if by in (By.BULK, By.STATE):
        rows = summarise(_parts_of_counters(sends, by), bounds, now)
        return Summary(rows, added_up(rows, TOTAL, bounds), now, names)
    return _of_survey(survey or await parts.survey.latest(), by, sends, bounds, now)


def _of_survey(
    survey: Survey, by: By, sends: Sequence[SendInQuestion], bounds: Sequence[timedelta], now: datetime
) -> Summary:
    accepted_at = {send.id: send.accepted_at for send in sends if send.accepted_at}
    rows = summarise(parts_of(survey, by, accepted_at), bounds, now)
    more = by is By.DOMAIN and not survey.has_all_domains
    whole = summarise(parts_of(survey, By.PROVIDER, accepted_at), bounds, now) if more else rows
    return Summary(rows, added_up(whole, TOTAL, bounds), survey.as_of, {}, more)


def _parts_of_counters(sends: Sequence[SendInQuestion], by: By) -> Iterator[Part]:
    """By bulk send or by state."""
    for send in sends:
        for state in OPEN_STATES & send.counts.keys():
            name = send.id if by is By.BULK else state.value
            assert send.accepted_at is not None  # only accepted ones come into question
            yield Part(name, send.accepted_at, state, send.counts[state])
