"""What waits: open messages by lane, and what a bulk send's own messages wait for. Bounded looks only."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import orjson
from sqlalchemy import TextClause, bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection

from postwerk.archive.columns import from_microseconds
from postwerk.archive.plan import OTHER_LANE, SMALL_LANE
from postwerk.archive.tables import RARE_STATES
from postwerk.contracts.options import DEFAULT_RELAY
from postwerk.rules.providers import is_provider

LOOKED_AT = 2000
"""So many deferred messages of a bulk send are looked at for an answer that need not be exact."""
LAST_OF_LANE = 200
"""So many messages at the end of each lane."""
_SENDS_AT_ONCE = 500
_OPEN = "state IN ('queued', 'sending', 'deferred', 'held')"
_UNDER_WAY = text(f"""
    SELECT bulk_send.id, bulk_send.batches,
        sum(CASE WHEN counter.{_OPEN} THEN n ELSE 0 END), sum(n), bulk_send.options
    FROM bulk_send JOIN counter ON counter.bulk_id = bulk_send.id
    WHERE bulk_send.state IN ('queued', 'running', 'paused', 'cancelling')
    GROUP BY bulk_send.id, bulk_send.batches, bulk_send.options
""")
_OF = "SELECT bulk_id, lane, count(*) FROM message WHERE bulk_id IN :ids"
# The plus keeps SQLite from walking the index of lanes, where each row costs a look into the table; by the
# table's own order a million messages are counted in a quarter of the time.
_WALK = {"sqlite": "GROUP BY +bulk_id, +lane", "postgresql": "GROUP BY bulk_id, lane"}
_COUNT_SOME = {
    (dialect, is_open): text(f"{_OF} AND {'' if is_open else 'NOT '}({_OPEN}) {walk}").bindparams(
        bindparam("ids", expanding=True)
    )
    for dialect, walk in _WALK.items()
    for is_open in (True, False)
}
_COUNT_ALL = text(f"{_OF} GROUP BY bulk_id, lane").bindparams(bindparam("ids", expanding=True))


def _by_index(query: str) -> dict[str, TextClause]:
    """By dialect. SQLite is told which index: left to itself it walks a million messages in their order."""
    named = {"deferred": "INDEXED BY message_by_rare_state", "lane": "INDEXED BY message_by_lane"}
    return {
        "sqlite": text(query.format(**named)),
        "postgresql": text(query.format(**dict.fromkeys(named, ""))),
    }


_FIRST_DEFERRED = f"""
    SELECT lane, next_attempt_at, last_code, last_text, address FROM message {{deferred}}
    WHERE bulk_id = :bulk_id AND state = 'deferred' AND {RARE_STATES} ORDER BY seq LIMIT :most
"""
_NEXT_DEFERRED = _by_index(f"SELECT * FROM ({_FIRST_DEFERRED}) AS looked_at ORDER BY next_attempt_at LIMIT 1")
_DEFERRED_LANES = {
    dialect: query.bindparams(bindparam("lanes", expanding=True))
    for dialect, query in _by_index(
        f"SELECT DISTINCT lane FROM ({_FIRST_DEFERRED}) AS looked_at WHERE lane IN :lanes"
    ).items()
}
_OPEN_AT_THE_END = _by_index(f"""
    SELECT 1 FROM (
        SELECT state FROM message {{lane}} WHERE bulk_id = :bulk_id AND lane = :lane
        ORDER BY seq DESC LIMIT :last
    ) AS looked_at WHERE {_OPEN} LIMIT 1
""")
# No domain holds a wildcard.
_OPEN_OF_DOMAIN = _by_index(f"""
    SELECT 1 FROM (
        SELECT state, address FROM message {{lane}} WHERE bulk_id = :bulk_id AND lane = :lane
        ORDER BY seq LIMIT :most
    ) AS looked_at WHERE {_OPEN} AND lower(address) LIKE :ending LIMIT 1
""")
_DEFERRED_OF_DOMAIN = _by_index(f"""
    SELECT 1 FROM ({_FIRST_DEFERRED}) AS looked_at
    WHERE lane = :lane AND lower(address) LIKE :ending LIMIT 1
""")
_NO_SORT = text("SET LOCAL enable_sort = off")  # where there is no other way it sorts all the same
_RELAYS = text("SELECT relay FROM lane UNION SELECT relay FROM lane_use ORDER BY relay")


@dataclass(frozen=True, slots=True)
class NextDeferred:
    """The deferred message of a bulk send that is tried next, and why it was deferred."""

    lane: str
    at: datetime | None
    last_reply: str
    address: str = ""


class _Send(NamedTuple):
    bulk_id: str
    batches: int | None
    still_open: int
    all_of_it: int


async def relays_known(connection: AsyncConnection) -> list[str]:
    """The names of the relays of which anything is remembered."""
    return list((await connection.execute(_RELAYS)).scalars())


async def open_by_relay(connection: AsyncConnection) -> defaultdict[str, Counter[str]]:
    """How many open messages of started bulk sends wait for each relay, by lane; none are left out."""
    sends: defaultdict[str, list[_Send]] = defaultdict(list)
    for *send, options in await connection.execute(_UNDER_WAY):
        sends[orjson.loads(options).get("relay") or DEFAULT_RELAY].append(_Send(*send))
    found: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for relay, rows in sends.items():
        found[relay] = await _open_by_lane(connection, rows)
    return found


async def _open_by_lane(connection: AsyncConnection, sends: Iterable[_Send]) -> Counter[str]:
    """Of each send the smaller side is counted, open or final: the totals stand in the index of lanes."""
    unplanned: list[str] = []
    few_open: list[str] = []
    mostly_open: list[str] = []
    for bulk_id, batches, still_open, all_of_it in sends:
        if batches is None:
            unplanned.append(bulk_id)
        elif still_open > 0:
            (few_open if still_open * 2 < all_of_it else mostly_open).append(bulk_id)
    found = await _counted(connection, few_open, is_open=True)
    found += await _counted(connection, mostly_open, is_open=None)
    found.subtract(await _counted(connection, mostly_open, is_open=False))
    found += await _as_planned(connection, unplanned)
    return +found


async def _counted(
    connection: AsyncConnection, bulk_ids: Sequence[str], *, is_open: bool | None
) -> Counter[str]:
    """Messages by lane: the open ones, the final ones, or (None) all."""
    query = _COUNT_ALL if is_open is None else _COUNT_SOME[connection.dialect.name, is_open]
    found: Counter[str] = Counter()
    for ids in _in_groups(bulk_ids):
        for _, lane, n in await connection.execute(query, {"ids": ids}):
            found[lane] += n
    return found


async def _as_planned(connection: AsyncConnection, bulk_ids: Sequence[str]) -> Counter[str]:
    """Of sends not planned yet: domains with few messages counted as the lane `other`, where they will go."""
    found: Counter[str] = Counter()
    for ids in _in_groups(bulk_ids):
        for _, lane, n in await connection.execute(_COUNT_ALL, {"ids": ids}):
            found[lane if n >= SMALL_LANE or is_provider(lane) else OTHER_LANE] += n
    return found


def _in_groups(bulk_ids: Sequence[str]) -> Iterator[Sequence[str]]:
    return (bulk_ids[start : start + _SENDS_AT_ONCE] for start in range(0, len(bulk_ids), _SENDS_AT_ONCE))


async def next_deferred(connection: AsyncConnection, bulk_id: str) -> NextDeferred | None:
    """The deferred message that is tried first, of the first 2,000 deferred ones."""
    await _keep_to_the_index(connection)
    row = (await connection.execute(_asked(connection, _NEXT_DEFERRED), _look(bulk_id))).one_or_none()
    if row is None:
        return None
    lane, at, code, said, address = row
    return NextDeferred(
        lane,
        None if at is None else from_microseconds(at),
        " ".join(str(part) for part in (code, said) if part),
        address,
    )


async def lanes_with_open(connection: AsyncConnection, bulk_id: str, lanes: Iterable[str]) -> list[str]:
    """Those of `lanes` in which the bulk send is sure to have open messages.

    Looks at the first 2,000 deferred messages and at the last 200 of each lane, for lanes are worked through
    from their beginning. A lane whose few open messages lie elsewhere is missed.
    """
    wanted = list(lanes)
    if not wanted:
        return []
    await _keep_to_the_index(connection)
    deferred = await connection.execute(_asked(connection, _DEFERRED_LANES), _look(bulk_id, lanes=wanted))
    found = set(deferred.scalars())
    for lane in wanted:
        if lane not in found:
            where = {"bulk_id": bulk_id, "lane": lane, "last": LAST_OF_LANE}
            if (await connection.execute(_asked(connection, _OPEN_AT_THE_END), where)).first():
                found.add(lane)
    return [lane for lane in wanted if lane in found]


async def domains_with_open(
    connection: AsyncConnection, bulk_id: str, domains: Sequence[tuple[str, str]]
) -> set[tuple[str, str]]:
    """Those (lane, domain) in which the bulk send is sure to have open messages; looks as above.

    At the first 2,000 deferred messages and the first 2,000 of each lane: a domain whose few open messages
    lie further back is missed.
    """
    await _keep_to_the_index(connection)
    found: set[tuple[str, str]] = set()
    for lane, domain in domains:
        where = _look(bulk_id, lane=lane, ending=f"%@{domain}")
        for query in (_OPEN_OF_DOMAIN, _DEFERRED_OF_DOMAIN):
            if (await connection.execute(_asked(connection, query), where)).first():
                found.add((lane, domain))
                break
    return found


async def _keep_to_the_index(connection: AsyncConnection) -> None:
    """PostgreSQL knows of a sudden heap of deferred messages only after a while, and would sort them all."""
    if connection.dialect.name == "postgresql":
        await connection.execute(_NO_SORT)


def _asked(connection: AsyncConnection, query: dict[str, TextClause]) -> TextClause:
    return query[connection.dialect.name]


def _look(bulk_id: str, **more: Any) -> dict[str, Any]:
    return {"bulk_id": bulk_id, "most": LOOKED_AT, **more}
