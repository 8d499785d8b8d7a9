"""How many messages wait, by what they have in common. Exact; a million of them take a second or two."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import TextClause, bindparam, func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from postwerk.archive.queue_conditions import (
    FEW,
    LANE_INDEX,
    MESSAGE,
    RARE_INDEX,
    WAITING,
    indexed_by,
    is_pointed,
    lanes_meant,
    place_conditions,
    reply_conditions,
)
from postwerk.archive.queue_filter import SendInQuestion, messages_meant, states_meant
from postwerk.archive.queue_reads import SENDS_AT_ONCE, sends_with_recipient
from postwerk.archive.tables import RARE_STATES, WAITING_STATES
from postwerk.contracts.queue import MOST_IDS, QueueFilter
from postwerk.contracts.states import OPEN_STATES, MessageState
from postwerk.rules.queue_summary import DomainGroup, Group, Survey

MOST_DOMAINS, FEWEST_DOMAINS = 20_000, 1000
"""Of so many domains, those with most mail waiting, the survey knows: fewer, the more sends there are."""
_MOST_ROWS = 100_000
_ROWS_AT_ONCE = 1000
_OPEN = "state IN ('queued', 'sending', 'deferred', 'held')"
_AT = {"sqlite": "instr(address, '@')", "postgresql": "position('@' in address)"}
# The plus keeps SQLite from walking the index of lanes, where each row costs a look into the table.
_WALK = {"sqlite": "+", "postgresql": ""}
_INDEXED = {"sqlite": f"INDEXED BY {RARE_INDEX}", "postgresql": ""}


def _groups(dialect: str, *, few: bool) -> TextClause:
    """Counts by bulk id, lane, state, reason and code; `few`: of sends of which little waits, by index."""
    plain = _WALK[dialect]
    return _of_sends(f"""
        SELECT bulk_id, lane, state, last_reason, last_code, count(*)
        FROM message {_INDEXED[dialect] if few else ""}
        WHERE bulk_id IN :ids AND {_where(dialect, few)}
        GROUP BY {plain}bulk_id, {plain}lane, state, last_reason, last_code
    """)


def _domains(dialect: str, *, few: bool) -> TextClause:
    """Counts by bulk id, domain and state, of the largest domains of these sends."""
    return _of_sends(f"""
        WITH found AS (
            SELECT {_WALK[dialect]}bulk_id AS bulk, substr(address, {_AT[dialect]} + 1) AS domain, state,
                count(*) AS n
            FROM message {_INDEXED[dialect] if few else ""}
            WHERE bulk_id IN :ids AND {_where(dialect, few)}
            GROUP BY 1, 2, 3
        )
        SELECT bulk, domain, state, n FROM found WHERE domain IN (
            SELECT domain FROM found GROUP BY domain ORDER BY sum(n) DESC, domain LIMIT :most + 1
        )
    """)


def _where(dialect: str, few: bool) -> str:
    if few:
        return f"{WAITING_STATES} AND {RARE_STATES}"
    return f"({_OPEN}) IS {'1' if dialect == 'sqlite' else 'TRUE'}"


def _of_sends(query: str) -> TextClause:
    return text(query).bindparams(bindparam("ids", expanding=True))


_DIALECTS = ("sqlite", "postgresql")
_GROUPS = {(one, few): _groups(one, few=few) for one in _DIALECTS for few in (True, False)}
_DOMAINS = {(one, few): _domains(one, few=few) for one in _DIALECTS for few in (True, False)}


class _Share(NamedTuple):
    """Sends that are counted together; `few`: by the index of rare states."""

    few: bool
    ids: Sequence[str]


def rows_to_read(sends: Iterable[SendInQuestion]) -> int:
    """How many messages a survey of these sends reads."""
    return sum(_waiting(send) if _few_wait(send) else sum(send.counts.values()) for send in sends)


async def take_survey(
    connection: AsyncConnection, sends: Sequence[SendInQuestion], as_of: datetime, *, domains: bool = True
) -> Survey:
    """Count all open messages of these sends; `domains` is a second pass."""
    groups = [
        Group(bulk_id, lane, MessageState(state), reason, code, n)
        async for bulk_id, lane, state, reason, code, n in _counted(connection, _GROUPS, sends)
    ]
    return await _with_domains(connection, sends, Survey(as_of, groups)) if domains else Survey(as_of, groups)


async def _with_domains(
    connection: AsyncConnection, sends: Sequence[SendInQuestion], survey: Survey
) -> Survey:
    most = min(max(_MOST_ROWS // max(len(sends), 1), FEWEST_DOMAINS), MOST_DOMAINS)
    found = [
        DomainGroup(bulk_id, domain, MessageState(state), n)
        async for bulk_id, domain, state, n in _counted(connection, _DOMAINS, sends, most=most)
    ]
    complete = len({one.domain for one in found}) <= most
    return Survey(survey.as_of, survey.groups, found, complete, complete or len(list(_shares(sends))) == 1)


async def _counted(
    connection: AsyncConnection,
    queries: dict[tuple[str, bool], TextClause],
    sends: Sequence[SendInQuestion],
    **more: int,
) -> AsyncIterator[Any]:
    """The rows of all sends, so many at a time that others get their turn."""
    for share in _shares(sends):
        query = queries[connection.dialect.name, share.few]
        async with connection.stream(query, {"ids": share.ids, **more}) as rows:
            async for some in rows.partitions(_ROWS_AT_ONCE):
                for row in some:
                    yield row


def _shares(sends: Sequence[SendInQuestion]) -> Iterable[_Share]:
    for few in (True, False):
        ids = [send.id for send in sends if _few_wait(send) is few]
        for start in range(0, len(ids), SENDS_AT_ONCE):
            yield _Share(few, ids[start : start + SENDS_AT_ONCE])


def _waiting(send: SendInQuestion) -> int:
    return sum(send.counts.get(state, 0) for state in WAITING)


def _few_wait(send: SendInQuestion) -> bool:
    """Its open messages are deferred or held, and few."""
    moving = sum(send.counts.get(state, 0) for state in OPEN_STATES - WAITING)
    return not moving and _waiting(send) * FEW < sum(send.counts.values())


def counted_by_counters(sends: Iterable[SendInQuestion], wanted: QueueFilter) -> Counter[MessageState]:
    """Where nothing but a state is asked of a message (rules.queue_summary.asks_sends_only)."""
    found: Counter[MessageState] = Counter()
    for send in sends:
        found.update({state: send.counts.get(state, 0) for state in states_meant(wanted)})
    return found


async def count_meant(
    connection: AsyncConnection, sends: Sequence[SendInQuestion], wanted: QueueFilter
) -> Counter[MessageState]:
    """Count the messages meant, one by one, by state."""
    if is_pointed(wanted):
        return await _count_named(connection, sends, wanted)
    found: Counter[MessageState] = Counter()
    states = sorted(state.value for state in states_meant(wanted))
    query = select(MESSAGE.state, func.count()).group_by(MESSAGE.state)
    query = query.where(MESSAGE.state.in_(states), *reply_conditions(wanted), *place_conditions(wanted))
    if lanes := lanes_meant(wanted):
        query = indexed_by(query.where(MESSAGE.lane.in_(lanes)), LANE_INDEX)
    for start in range(0, len(sends), SENDS_AT_ONCE):
        ids = [send.id for send in sends[start : start + SENDS_AT_ONCE]]
        for state, n in await connection.execute(query.where(MESSAGE.bulk_id.in_(ids))):
            found[MessageState(state)] += n
    return found


async def _count_named(
    connection: AsyncConnection, sends: Sequence[SendInQuestion], wanted: QueueFilter
) -> Counter[MessageState]:
    found: Counter[MessageState] = Counter()
    for send in await sends_with_recipient(connection, sends, wanted):
        query = messages_meant([MESSAGE.seq, MESSAGE.state], send, wanted, limit=MOST_IDS)
        if query is not None:
            found.update(MessageState(row.state) for row in await connection.execute(query))
    return found
