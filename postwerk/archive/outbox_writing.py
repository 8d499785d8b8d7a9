"""Events that no change of a row tells by itself: thresholds, stalls, who unsubscribed.

All others are written by the triggers of migration 0005.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import orjson
from sqlalchemy import bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection

from postwerk.archive.columns import from_microseconds, to_microseconds
from postwerk.archive.counters import counts_of
from postwerk.contracts.events import EventType
from postwerk.rules.tokens import TokenOf

_INSERT = text("""
    INSERT INTO event (at, type, bulk_id, seq, reason, data)
    VALUES (:at, :type, :bulk_id, :seq, :reason, :data)
""")
# Writing to the row keeps other workers and operators away until this transaction has ended.
_LOCK_RUNNING = text("""
    UPDATE bulk_send SET carried = carried
    WHERE id = :bulk_id AND kind = 'bulk' AND state IN ('queued', 'running') RETURNING state
""")
_OF_IT = "event.seq = 0 AND event.bulk_id = :bulk_id AND event.type"
_CROSSED_BEFORE = text(f"""
    SELECT 1 FROM event WHERE {_OF_IT} = '{EventType.BULK_SEND_THRESHOLD}' AND event.id > COALESCE(
        (SELECT max(event.id) FROM event WHERE {_OF_IT} = '{EventType.BULK_SEND_RESUMED}'), 0
    ) LIMIT 1
""")
_LAST_OF = "SELECT {column} FROM event WHERE event.bulk_id = bulk_send.id ORDER BY xid DESC, id DESC LIMIT 1"
_LAST_MOVE = f"""
    SELECT id, COALESCE(begins_at, accepted_at) AS accepted_at, ({_LAST_OF.format(column="at")}) AS at,
        ({_LAST_OF.format(column="type")}) AS type
    FROM bulk_send WHERE kind = 'bulk' AND state IN ('queued', 'running')
"""
_ALL_LAST_MOVES = text(f"{_LAST_MOVE} ORDER BY accepted_at")
_LAST_MOVES = text(f"{_LAST_MOVE} AND id IN :ids").bindparams(bindparam("ids", expanding=True))


async def write_unsubscribed(connection: AsyncConnection, message: TokenOf, now: datetime) -> None:
    """Its recipient used the link to unsubscribe."""
    await _write(connection, EventType.MESSAGE_UNSUBSCRIBED, now, message.bulk_id, seq=message.seq)


async def write_threshold(
    connection: AsyncConnection, bulk_id: str, threshold: str, reason: str, now: datetime
) -> bool:
    """A limit of the send was passed; told once until it is released. False when it was told, or has ended.

    `threshold`: auto_pause or max_consecutive_config_errors.
    """
    state = (await connection.execute(_LOCK_RUNNING, {"bulk_id": bulk_id})).scalar_one_or_none()
    if state is None or (await connection.execute(_CROSSED_BEFORE, {"bulk_id": bulk_id})).first():
        return False
    told = await _standing(connection, bulk_id, state) | {"threshold": threshold}
    await _write(connection, EventType.BULK_SEND_THRESHOLD, now, bulk_id, reason=reason, data=told)
    return True


class Still(NamedTuple):
    """A bulk send of which nothing was heard since."""

    bulk_id: str
    since: datetime


async def still_since(
    connection: AsyncConnection, before: datetime, bulk_ids: Sequence[str] | None = None
) -> list[Still]:
    """Bulk sends that are under way, and whose last event is older than `before` and is no stall.

    Of all, or of these. Begun later, or accepted later, counts as an event.
    """
    if bulk_ids is None:
        rows = await connection.execute(_ALL_LAST_MOVES)
    else:
        rows = await connection.execute(_LAST_MOVES, {"ids": list(bulk_ids)})
    found = [
        Still(bulk_id, from_microseconds(max(at or 0, accepted_at or 0)))
        for bulk_id, accepted_at, at, kind in rows
        if kind != EventType.BULK_SEND_STALLED
    ]
    return [one for one in found if one.since < before]


async def write_stalled(
    connection: AsyncConnection, still: Still, why: str, reason: str, now: datetime
) -> bool:
    """Nothing of it moved, and nothing is known to wait for. False when it was told or moves again.

    `why`: a WaitReason of the API, perhaps; `reason`: the same for people.
    """
    state = (await connection.execute(_LOCK_RUNNING, {"bulk_id": still.bulk_id})).scalar_one_or_none()
    if state is None or still not in await still_since(connection, now, [still.bulk_id]):
        return False
    told = await _standing(connection, still.bulk_id, state) | {
        "since": still.since.isoformat().replace("+00:00", "Z"),
        "waits_for": why,
    }
    await _write(connection, EventType.BULK_SEND_STALLED, now, still.bulk_id, reason=reason, data=told)
    return True


async def _standing(connection: AsyncConnection, bulk_id: str, state: str) -> dict[str, Any]:
    """As the triggers tell it."""
    counts = await counts_of(connection, bulk_id)
    return {"state": state, "counts": {state.value: n for state, n in sorted(counts.items())}}


async def _write(
    connection: AsyncConnection,
    event_type: EventType,
    now: datetime,
    bulk_id: str,
    *,
    seq: int = 0,
    reason: str = "",
    data: dict[str, Any] | None = None,
) -> None:
    row = {
        "at": to_microseconds(now),
        "type": event_type.value,
        "bulk_id": bulk_id,
        "seq": seq,
        "reason": reason,
        "data": None if data is None else orjson.dumps(data).decode(),
    }
    await connection.execute(_INSERT, row)
