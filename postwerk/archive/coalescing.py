"""Messages that coalesce: of those of one key that arrive within a window one is sent, the others fold.

The archive decides. What workflows know of the key only says when to ask.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson
from sqlalchemy import Row, bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection

from postwerk.archive.columns import from_microseconds, to_microseconds
from postwerk.archive.counters import add_to_counters
from postwerk.archive.plan import batches
from postwerk.contracts.coalescing import Arrival, WindowEnd, WindowOrder
from postwerk.contracts.options import BulkOptions
from postwerk.contracts.states import BulkState, MessageState, SendKind
from postwerk.contracts.workflow_ids import coalesce_workflow_id
from postwerk.errors import NotFound
from postwerk.rules.shown_names import shown_name
from postwerk.rules.starting import start_order

REASON = "coalesced"
"""`last_reason` of a message in whose place another one was sent."""
_WAITING, _SENT, _FOLDED, _WITHDRAWN = "waiting", "sent", "folded", "withdrawn"

_COLUMNS = 'c.bulk_id, c.owner, c.key, c.rank, c."window", c.arrived_at, c.state, c.folded_into'
_INSERT = text("""
    INSERT INTO coalesced (bulk_id, owner, key, rank, "window", arrived_at, state, handed, folded_into)
    VALUES (:bulk_id, :owner, :key, :rank, :window, :arrived_at, 'waiting', false, '')
""")
_HANDED = text("UPDATE coalesced SET handed = true WHERE bulk_id = :bulk_id")
_ONE = text(f"SELECT {_COLUMNS} FROM coalesced c WHERE c.bulk_id = :bulk_id")
_SOME = text(f"SELECT {_COLUMNS} FROM coalesced c WHERE c.bulk_id IN :ids").bindparams(
    bindparam("ids", expanding=True)
)
_FIRST = text(f"""
    SELECT {_COLUMNS} FROM coalesced c
    WHERE c.owner = :owner AND c.key = :key AND c.state = 'waiting' ORDER BY c.arrived_at, c.bulk_id LIMIT 1
""")
_NOT_HANDED = text(f"""
    SELECT {_COLUMNS} FROM coalesced c WHERE c.state = 'waiting'
        AND ((c.handed = false AND c.arrived_at < :before) OR c.arrived_at + c."window" < :overdue)
    ORDER BY c.handed, c.arrived_at LIMIT :limit
""")
_IN_WINDOW = """
    SELECT c.bulk_id, b.state AS send_state, m.state AS was
    FROM coalesced c JOIN bulk_send b ON b.id = c.bulk_id
        JOIN message m ON m.bulk_id = c.bulk_id AND m.seq = 1
    WHERE c.owner = :owner AND c.key = :key AND c.state = 'waiting' AND c.arrived_at < :ends
    ORDER BY c.rank DESC, c.arrived_at DESC, c.bulk_id DESC
"""
# Two writers of one key take turns: who arrives is in the window, or behind its end.
_LOCK_KEY = text("SELECT pg_advisory_xact_lock(:number)")
_MARK = text("UPDATE coalesced SET state = :state, folded_into = :into WHERE bulk_id = :bulk_id")
_FOLD = text("""
    UPDATE message SET state = 'suppressed', last_reason = :reason, changed_at = :now, next_attempt_at = NULL,
        time_left = NULL, next_state = NULL
    WHERE bulk_id = :bulk_id AND seq = 1
""")
_FINISH = text("""
    UPDATE bulk_send SET state = 'completed', finished_at = :now, held_at = NULL,
        carried = COALESCE(batches, 0)
    WHERE id = :bulk_id AND state IN ('queued', 'paused')
""")
_SEND = text("SELECT options, name FROM bulk_send WHERE id = :bulk_id")


@dataclass(frozen=True, slots=True)
class Coalescing:
    """A caller's wish."""

    key: str
    rank: int
    window: timedelta


@dataclass(frozen=True, slots=True)
class Coalesced:
    """How a message stands among those of its key. `state`: waiting, sent, folded or withdrawn."""

    bulk_id: str
    key: str
    rank: int
    state: str
    folded_into: str
    arrived_at: datetime
    ends_at: datetime | None
    """While it waits: when the window ends that the first of them opened."""


async def wait_with_others(
    connection: AsyncConnection, bulk_id: str, owner: str, wish: Coalescing, now: Callable[[], datetime]
) -> Arrival:
    """Write that a message waits, in the transaction that stores it."""
    await _lock_key(connection, owner, wish.key)
    window, at = wish.window // timedelta(microseconds=1), to_microseconds(now())
    row = {"bulk_id": bulk_id, "owner": owner, "key": wish.key, "rank": wish.rank}
    await connection.execute(_INSERT, row | {"window": window, "arrived_at": at})
    return _arrival_of(bulk_id, owner, wish.key, wish.rank, window, at)


async def note_handed(connection: AsyncConnection, bulk_id: str) -> None:
    """The workflow of its key knows of it."""
    await connection.execute(_HANDED, {"bulk_id": bulk_id})


async def waiting_arrival(connection: AsyncConnection, bulk_id: str) -> Arrival | None:
    """The message if it waits with others; None: it goes its own way."""
    row = (await connection.execute(_ONE, {"bulk_id": bulk_id})).one_or_none()
    return _arrival(row) if row is not None and row.state == _WAITING else None


async def arrivals_not_handed(
    connection: AsyncConnection, before: datetime, overdue: datetime, limit: int = 200
) -> list[Arrival]:
    """Those of which perhaps no workflow knows: stored `before`, or with a window that ended by `overdue`."""
    where = {"before": to_microseconds(before), "overdue": to_microseconds(overdue), "limit": limit}
    return [_arrival(row) for row in await connection.execute(_NOT_HANDED, where)]


async def coalesced_of(connection: AsyncConnection, bulk_ids: Collection[str]) -> dict[str, Coalesced]:
    """How those of these sends stand that coalesce."""
    if not bulk_ids:
        return {}
    found = {}
    for row in await connection.execute(_SOME, {"ids": sorted(bulk_ids)}):
        first = await _first(connection, row.owner, row.key) if row.state == _WAITING else None
        ends_at = first.ends if first else None
        arrived_at = from_microseconds(row.arrived_at)
        found[row.bulk_id] = Coalesced(
            row.bulk_id, row.key, row.rank, row.state, row.folded_into, arrived_at, ends_at
        )
    return found


async def _first(connection: AsyncConnection, owner: str, key: str) -> Arrival | None:
    """Who has opened the window of the key."""
    row = (await connection.execute(_FIRST, {"owner": owner, "key": key})).one_or_none()
    return None if row is None else _arrival(row)


async def end_window(connection: AsyncConnection, order: WindowOrder, now: datetime, shard: int) -> WindowEnd:
    """Send the highest rank, the latest among equals; the others end suppressed, folded into it.

    Who was cancelled meanwhile, or had any other end, takes no part. Called again it answers the same.
    """
    opener = (await connection.execute(_ONE, {"bulk_id": order.opener})).one_or_none()
    if opener is None:
        raise NotFound("The archive holds no such message.")
    await _lock_key(connection, opener.owner, opener.key)
    first = await _first(connection, opener.owner, opener.key)
    if first is None or first.ends > order.ends:
        before = await _decided_before(connection, order.opener)
        return before.model_copy(update={"first": first})
    found = await _in_window(connection, opener, first.ends)
    fit = [row for row in found if _may_be_sent(row)]
    winner = fit[0].bulk_id if fit else ""
    await _mark(connection, found, winner)
    await _fold(connection, fit[1:], now, shard)
    await _finish(connection, [row for row in found if row.bulk_id != winner], now)
    end = await _ended(connection, winner, len(fit) - 1)
    return end.model_copy(update={"first": await _first(connection, opener.owner, opener.key)})


async def _in_window(connection: AsyncConnection, opener: Row[Any], ends: datetime) -> Sequence[Row[Any]]:
    locked = "" if connection.dialect.name == "sqlite" else " FOR UPDATE"
    where = {"owner": opener.owner, "key": opener.key, "ends": to_microseconds(ends)}
    return (await connection.execute(text(_IN_WINDOW + locked), where)).all()


def _may_be_sent(row: Row[Any]) -> bool:
    waits = row.was in (MessageState.QUEUED, MessageState.HELD)
    return waits and row.send_state in (BulkState.QUEUED, BulkState.PAUSED)


async def _decided_before(connection: AsyncConnection, opener: str) -> WindowEnd:
    row = (await connection.execute(_ONE, {"bulk_id": opener})).one()
    if row.state == _WAITING:
        return WindowEnd()
    return await _ended(connection, opener if row.state == _SENT else row.folded_into, 0)


async def _mark(connection: AsyncConnection, found: Sequence[Row[Any]], winner: str) -> None:
    rows = []
    for row in found:
        state = _SENT if row.bulk_id == winner else _FOLDED if _may_be_sent(row) else _WITHDRAWN
        rows.append({"bulk_id": row.bulk_id, "state": state, "into": "" if row.bulk_id == winner else winner})
    await connection.execute(_MARK, rows)


async def _fold(connection: AsyncConnection, folded: Sequence[Row[Any]], now: datetime, shard: int) -> None:
    if not folded:
        return
    at = to_microseconds(now)
    await connection.execute(_FOLD, [{"bulk_id": row.bulk_id, "reason": REASON, "now": at} for row in folded])
    moved = {(row.bulk_id, str(row.was)): -1 for row in folded}
    moved |= {(row.bulk_id, str(MessageState.SUPPRESSED)): 1 for row in folded}
    await add_to_counters(connection, moved, shard)


async def _finish(connection: AsyncConnection, ended: Sequence[Row[Any]], now: datetime) -> None:
    """Their sends are over; one that is being cancelled is closed by whoever cancels it."""
    if ended:
        at = to_microseconds(now)
        await connection.execute(_FINISH, [{"bulk_id": row.bulk_id, "now": at} for row in ended])


async def _ended(connection: AsyncConnection, winner: str, folded: int) -> WindowEnd:
    if not winner:
        return WindowEnd()
    row = (await connection.execute(_SEND, {"bulk_id": winner})).one()
    options = BulkOptions.model_validate(orjson.loads(row.options))
    plan = await batches(connection, winner, 1, 1)
    order = start_order(winner, 1, options, plan, kind=SendKind.MESSAGE)
    return WindowEnd(send=order, name=shown_name(row.name), folded=folded)


async def _lock_key(connection: AsyncConnection, owner: str, key: str) -> None:
    """SQLite has one writer at a time anyway."""
    if connection.dialect.name != "sqlite":
        digest = hashlib.sha256(f"{owner}\0{key}".encode()).digest()
        await connection.execute(_LOCK_KEY, {"number": int.from_bytes(digest[:8], signed=True)})


def _arrival(row: Row[Any]) -> Arrival:
    return _arrival_of(row.bulk_id, row.owner, row.key, row.rank, row.window, row.arrived_at)


def _arrival_of(bulk_id: str, owner: str, key: str, rank: int, window: int, arrived_at: int) -> Arrival:
    return Arrival(
        bulk_id=bulk_id,
        rank=rank,
        at=from_microseconds(arrived_at),
        window=timedelta(microseconds=window),
        workflow_id=coalesce_workflow_id(owner, key),
    )
