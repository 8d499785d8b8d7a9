"""The suppression list: addresses that get no mail, and the messages that end because of it.

An entry's address is in lower case, made so by the database itself, as the index over messages is: SQLite
folds ASCII only, PostgreSQL every letter of its locale, and each compares like with like.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, Select, func, literal, select, text, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import SQLModel

from postwerk.archive.columns import Moment, to_microseconds
from postwerk.archive.counters import add_to_counters
from postwerk.archive.given import Given
from postwerk.archive.tables import SuppressionRow
from postwerk.contracts.states import MessageState, SuppressionScope
from postwerk.errors import NotFound
from postwerk.rules.suppressing import scope_of

# In the order of addresses: two writers never wait for each other's rows crosswise. Of an address that is
# given twice the broader entry counts ("all" comes before "bulk"), else the first one.
_INSERT = """
    INSERT INTO suppression
        (address, reason, source, detail, bulk_id, created_at, scope, unsubscribed_at)
    SELECT address, reason, source, detail, bulk_id, at, scope, unsubscribed_at FROM (
        SELECT *, row_number() OVER (PARTITION BY address ORDER BY scope, place) AS choice FROM ({entries})
            AS entry
    ) AS chosen
    WHERE choice = 1 ORDER BY address
"""
# A broader entry takes the place of a narrower one, never the other way round; that somebody unsubscribed is
# remembered beside whatever else is known.
_BROADER = "suppression.scope = 'bulk' AND excluded.scope = 'all'"
_ON_CONFLICT = f"""
    ON CONFLICT (address) DO UPDATE SET
        {{changes}},
        unsubscribed_at = COALESCE(suppression.unsubscribed_at, excluded.unsubscribed_at)
    WHERE ({_BROADER}) OR (suppression.unsubscribed_at IS NULL AND excluded.unsubscribed_at IS NOT NULL)
""".format(
    changes=", ".join(
        f"{name} = CASE WHEN {_BROADER} THEN excluded.{name} ELSE suppression.{name} END"
        for name in ("reason", "source", "detail", "bulk_id", "created_at", "scope")
    )
)
_ADD = Given(
    _INSERT.format(
        entries="""
        SELECT lower(given.address) AS address, given.reason, CAST(:source AS text) AS source, given.detail,
            given.bulk_id, CAST(:now AS bigint) AS at, given.scope, given.place,
            CASE WHEN given.scope = 'bulk' THEN CAST(:now AS bigint) END AS unsubscribed_at
        FROM {given}
        """
    )
    + _ON_CONFLICT,
    address="text", reason="text", detail="text", bulk_id="text", scope="text", place="bigint",
)  # fmt: skip
_HARD_BOUNCES = Given(
    _INSERT.format(
        entries="""
        SELECT lower(message.address) AS address, given.reason, CAST(:source AS text) AS source, given.detail,
            given.bulk_id, given.at, 'all' AS scope, given.at AS place,
            CAST(NULL AS bigint) AS unsubscribed_at
        FROM {given} JOIN message ON message.bulk_id = given.bulk_id AND message.seq = given.seq
        """
    )
    + _ON_CONFLICT,
    bulk_id="text", seq="bigint", reason="text", detail="text", at="bigint",
)  # fmt: skip
FOR_THIS_SEND = """(
    suppression.scope = 'all' OR (SELECT kind FROM bulk_send WHERE bulk_send.id = :bulk_id) = 'bulk'
)"""
"""A condition: the entry counts for the send `:bulk_id`. Only bulk sends heed who unsubscribed."""
_LISTED = f"""
    FROM suppression WHERE suppression.address = lower(message.address) AND {FOR_THIS_SEND}
"""
_GIVEN_SEQS = Given(
    f"""
    SELECT message.seq FROM message WHERE message.bulk_id = :bulk_id
        AND message.seq IN (SELECT given.seq FROM {{given}}) AND EXISTS (SELECT 1 {_LISTED})
    """,
    seq="bigint",
)
# The walk goes along the messages: the list may be a hundred times longer than this.
_SUPPRESS = f"""
    UPDATE message SET state = 'suppressed', changed_at = :now, next_attempt_at = NULL,
        last_reason = (SELECT suppression.reason {_LISTED})
    WHERE message.bulk_id = :bulk_id AND message.state = :was AND EXISTS (SELECT 1 {_LISTED})
"""
_SUPPRESS_GIVEN = Given(f"{_SUPPRESS} AND message.seq IN (SELECT given.seq FROM {{given}})", seq="bigint")
_SUPPRESS_RANGE = text(f"{_SUPPRESS} AND message.seq BETWEEN :first AND :last")
_REMOVE = text("DELETE FROM suppression WHERE address = lower(:address)")
_IS_THERE_ANY = text("SELECT 1 FROM suppression LIMIT 1")
_ENTRY = SQLModel.metadata.tables[SuppressionRow.__tablename__].c


@dataclass(frozen=True, slots=True)
class NewSuppression:
    """An address to be listed, in normal form (rules/addresses.py) of any case."""

    address: str
    reason: str
    detail: str = ""
    bulk_id: str | None = None
    """The send that the recipient answered, if it is known."""


@dataclass(frozen=True, slots=True)
class HardBounce:
    """A server's word that the mailbox of message `seq` is no more. `at` in microseconds."""

    bulk_id: str
    seq: int
    reason: str
    detail: str
    at: int


@dataclass(frozen=True, slots=True)
class Suppression:
    """An entry of the list."""

    address: str
    reason: str
    source: str
    detail: str
    bulk_id: str | None
    created_at: datetime
    scope: SuppressionScope = SuppressionScope.ALL
    unsubscribed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class SuppressionFilter:
    """Which entries are asked for; None means any."""

    reason: str | None = None
    scope: SuppressionScope | None = None
    source: str | None = None
    q: str | None = None
    """Part of the address, of any case; no wildcards."""


class EntryCursor(NamedTuple):
    """The last entry seen: the next page begins behind it."""

    created_at: datetime
    address: str


async def add_suppressions(
    connection: AsyncConnection, entries: Sequence[NewSuppression], *, source: str, now: datetime
) -> int:
    """List these addresses, each in the scope of its reason; answers how many entries are new or changed.

    One that is there already stays as it is, unless the new one is broader.
    """
    if not entries:
        return 0
    more = {"source": source, "now": to_microseconds(now)}
    rows = [
        {
            "address": entry.address,
            "reason": entry.reason,
            "detail": entry.detail,
            "bulk_id": entry.bulk_id,
            "scope": scope_of(entry.reason),
            "place": place,
        }
        for place, entry in enumerate(entries)
    ]
    return await connection.run_sync(_run_given, _ADD, rows, more)


def suppress_hard_bounces(
    connection: Connection, bounces: Sequence[HardBounce], *, source: str = "reply"
) -> int:
    """List the addresses of these messages, in the transaction that records their bounces.

    Answers how many are new. Run it before the counters move: their rows are what transactions share.
    """
    return _run_given(connection, _HARD_BOUNCES, bounces, {"source": source}) if bounces else 0


async def remove_suppression(connection: AsyncConnection, address: str) -> bool:
    """Take an address off the list; False when it is not there. What was suppressed stays so."""
    done = await connection.execute(_REMOVE, {"address": address})
    return done.rowcount == 1


async def suppression(connection: AsyncConnection, address: str) -> Suppression:
    """The entry of an address. Raises NotFound."""
    query = _select().where(_ENTRY.address == func.lower(address))
    row = (await connection.execute(query)).one_or_none()
    if row is None:
        raise NotFound("This address is not on the suppression list.")
    return _entry(row)


async def suppressions(
    connection: AsyncConnection,
    wanted: SuppressionFilter,
    *,
    limit: int = 50,
    after: EntryCursor | None = None,
) -> list[Suppression]:
    """The entries, newest first."""
    query = _filtered(_select(), wanted)
    query = query.order_by(_ENTRY.created_at.desc(), _ENTRY.address.desc()).limit(limit)
    if after is not None:
        last = tuple_(literal(after.created_at, Moment), literal(after.address))
        query = query.where(tuple_(_ENTRY.created_at, _ENTRY.address) < last)
    return [_entry(row) for row in await connection.execute(query)]


async def count_suppressions(connection: AsyncConnection, wanted: SuppressionFilter) -> int:
    """How many entries there are of this kind; reads the list, or its index, from end to end."""
    query = _filtered(select(func.count()).select_from(_ENTRY.address.table), wanted)
    return int((await connection.execute(query)).scalar_one())


async def suppressed_seqs(connection: AsyncConnection, bulk_id: str, seqs: Sequence[int]) -> set[int]:
    """Which of these messages go to an address that is listed now, for sends of this kind."""
    if not seqs:
        return set()
    return await connection.run_sync(_listed_of, bulk_id, seqs)


async def settle_suppressed(
    connection: AsyncConnection, bulk_id: str, seqs: Sequence[int], now: datetime, shard: int
) -> int:
    """End those of these messages that wait and whose address is listed; answers how many there were.

    `last_reason` becomes the entry's reason. What is being sent, or final, is left alone.
    """
    if not seqs:
        return 0

    async def settle(where: Mapping[str, Any]) -> int:
        return await connection.run_sync(_run_given, _SUPPRESS_GIVEN, _rows(seqs), where)

    return await _settle(connection, settle, bulk_id, now, shard)


async def suppress_listed(
    connection: AsyncConnection, bulk_id: str, first_seq: int, last_seq: int, now: datetime, shard: int
) -> int:
    """The same for the messages first_seq..last_seq: at most some thousand, they are all looked at."""
    if (await connection.execute(_IS_THERE_ANY)).first() is None:
        return 0

    async def settle(where: Mapping[str, Any]) -> int:
        done = await connection.execute(_SUPPRESS_RANGE, {**where, "first": first_seq, "last": last_seq})
        return done.rowcount

    return await _settle(connection, settle, bulk_id, now, shard)


async def _settle(
    connection: AsyncConnection,
    settle: Callable[[Mapping[str, Any]], Awaitable[int]],
    bulk_id: str,
    now: datetime,
    shard: int,
) -> int:
    """Run `settle` for each state that waits, and count what moved."""
    moved: Counter[tuple[str, str]] = Counter()
    for was in (MessageState.QUEUED, MessageState.DEFERRED):
        n = await settle({"bulk_id": bulk_id, "was": was, "now": to_microseconds(now)})
        moved[bulk_id, was] -= n
        moved[bulk_id, MessageState.SUPPRESSED] += n
    await add_to_counters(connection, moved, shard)
    return moved[bulk_id, MessageState.SUPPRESSED]


def _run_given(connection: Connection, given: Given, rows: Sequence[Any], more: Mapping[str, Any]) -> int:
    statement, parameters = given.bind(connection, rows)
    return connection.execute(statement, {**parameters, **more}).rowcount


def _listed_of(connection: Connection, bulk_id: str, seqs: Sequence[int]) -> set[int]:
    statement, parameters = _GIVEN_SEQS.bind(connection, _rows(seqs))
    return set(connection.execute(statement, {**parameters, "bulk_id": bulk_id}).scalars())


def _rows(seqs: Sequence[int]) -> list[dict[str, int]]:
    return [{"seq": seq} for seq in seqs]


def _entry(row: Row[Any]) -> Suppression:
    return Suppression(**{**row._mapping, "scope": SuppressionScope(row.scope)})


def _select() -> Select[Any]:
    return select(*[_ENTRY[name] for name in Suppression.__slots__])


def _filtered(query: Select[Any], wanted: SuppressionFilter) -> Select[Any]:
    if wanted.reason is not None:
        query = query.where(_ENTRY.reason == wanted.reason)
    if wanted.scope is not None:
        query = query.where(_ENTRY.scope == wanted.scope.value)
    if wanted.source is not None:
        query = query.where(_ENTRY.source == wanted.source)
    if wanted.q is not None:
        query = query.where(_ENTRY.address.contains(wanted.q.lower(), autoescape=True))
    return query
