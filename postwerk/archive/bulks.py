"""The life of a bulk send in the archive: begun, held, released, cancelled, closed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import orjson
from sqlalchemy import bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection

from postwerk.archive.columns import to_microseconds
from postwerk.archive.counters import counts_of
from postwerk.archive.settling import settle_open
from postwerk.contracts.states import BulkState, MessageState

_BEGIN = text("""
    UPDATE bulk_send SET state = CASE WHEN state = 'paused' THEN state ELSE 'running' END,
        started_at = CASE WHEN state = 'paused' THEN started_at ELSE COALESCE(started_at, :now) END,
        deadline = :deadline, begins_at = COALESCE(:begins_at, begins_at)
    WHERE id = :bulk_id AND (state IN ('queued', 'scheduled', 'running') OR (state = 'paused' AND :waited))
""")
_SET_BEGINNING = text("""
    UPDATE bulk_send SET begins_at = :begins_at, deadline = :deadline,
        state = CASE WHEN :released THEN 'scheduled' ELSE state END,
        held_at = CASE WHEN :released THEN NULL ELSE held_at END,
        reason = CASE WHEN :released THEN '' ELSE reason END
    WHERE id = :bulk_id AND state IN ('scheduled', 'paused') AND started_at IS NULL
""")
_MOVE = text("""
    UPDATE bulk_send SET state = :state,
        held_at = CASE WHEN state = 'paused' AND :held THEN held_at ELSE :held_at END,
        reason = CASE WHEN state = 'cancelling' AND reason <> '' THEN reason ELSE :reason END,
        deadline = COALESCE(:deadline, deadline),
        started_at = CASE WHEN :released THEN COALESCE(started_at, :now) ELSE started_at END,
        config_errors = CASE WHEN :released THEN 0 ELSE config_errors END
    WHERE id = :bulk_id AND state IN :allowed
""").bindparams(bindparam("allowed", expanding=True))
_FINISH = text("""
    UPDATE bulk_send SET finished_at = :now, held_at = NULL, carried = COALESCE(batches, 0),
        state = CASE WHEN state = 'cancelling' THEN 'cancelled' ELSE :state END,
        reason = CASE WHEN reason <> '' THEN reason ELSE :reason END
    WHERE id = :bulk_id AND finished_at IS NULL
        AND (:anyway OR state = 'cancelling' OR (COALESCE(batches, 0) <= :batches AND starting_again = 0))
""")
_CARRIED = text("""
    SELECT state = 'cancelling' OR (COALESCE(batches, 0) <= :batches AND starting_again = 0)
    FROM bulk_send WHERE id = :bulk_id
""")
# Writing to the row keeps whoever starts messages again away until this transaction has ended.
_STILL_CARRIED = text("""
    UPDATE bulk_send SET carried = carried WHERE id = :bulk_id
        AND (state = 'cancelling' OR (COALESCE(batches, 0) <= :batches AND starting_again = 0))
""")
_SETTLE_SOME = text("""
    UPDATE message SET state = :state, changed_at = :now, next_attempt_at = NULL, time_left = NULL,
        next_state = NULL
    WHERE bulk_id = :bulk_id AND seq BETWEEN :first AND :last AND state = :was
    RETURNING lane
""")
_MAY_BECOME: dict[BulkState, Sequence[BulkState]] = {
    BulkState.PAUSED: (BulkState.SCHEDULED, BulkState.QUEUED, BulkState.RUNNING, BulkState.PAUSED),
    BulkState.RUNNING: (BulkState.PAUSED, BulkState.RUNNING),
    BulkState.CANCELLING: (
        BulkState.SCHEDULED,
        BulkState.QUEUED,
        BulkState.RUNNING,
        BulkState.PAUSED,
        BulkState.CANCELLING,
    ),
}
ROWS_PER_COMMIT = 2000
"""Rows changed at once where thousands are: the journal of a worker waits no longer than for these."""


async def begin_bulk(
    connection: AsyncConnection,
    bulk_id: str,
    *,
    now: datetime,
    deadline: datetime,
    begins_at: datetime | None = None,
) -> BulkState | None:
    """Mark it running unless it was stopped meanwhile; answers its state, None if it is not there.

    `begins_at` of one that waited for it: the Date of its messages, also if it is paused as it begins.
    """
    await connection.execute(
        _BEGIN,
        {
            "bulk_id": bulk_id,
            "now": to_microseconds(now),
            "deadline": to_microseconds(deadline),
            "begins_at": to_microseconds(begins_at) if begins_at else None,
            "waited": begins_at is not None,
        },
    )
    return await bulk_state(connection, bulk_id)


async def set_beginning(
    connection: AsyncConnection, bulk_id: str, begins_at: datetime, deadline: datetime, *, released: bool
) -> None:
    """Another moment to begin for a send that has not begun; `released`: it is not paused any more."""
    where = {"begins_at": to_microseconds(begins_at), "deadline": to_microseconds(deadline)}
    await connection.execute(_SET_BEGINNING, {"bulk_id": bulk_id, "released": released, **where})


async def bulk_state(connection: AsyncConnection, bulk_id: str) -> BulkState | None:
    found = await connection.execute(text("SELECT state FROM bulk_send WHERE id = :id"), {"id": bulk_id})
    state = found.scalar_one_or_none()
    return None if state is None else BulkState(state)


async def move_bulk(
    connection: AsyncConnection,
    bulk_id: str,
    state: BulkState,
    *,
    now: datetime,
    reason: str = "",
    deadline: datetime | None = None,
) -> bool:
    """Change the state along the arrows of docs/lifecycle.md; False when there is no such arrow from here."""
    done = await connection.execute(
        _MOVE,
        {
            "bulk_id": bulk_id,
            "state": state,
            "released": state is BulkState.RUNNING,
            "held": state is BulkState.PAUSED,
            "reason": reason,
            "now": to_microseconds(now),
            "held_at": to_microseconds(now) if state is BulkState.PAUSED else None,
            "deadline": to_microseconds(deadline) if deadline else None,
            "allowed": list(_MAY_BECOME[state]),
        },
    )
    return done.rowcount == 1


async def unpause_unstarted(connection: AsyncConnection, bulk_id: str) -> None:
    """Its workflow has not begun, or was lost: what starts it finds it as if it had not been paused."""
    await connection.execute(
        text("""
            UPDATE bulk_send SET state = CASE WHEN started_at IS NOT NULL THEN 'running'
                    WHEN begins_at IS NOT NULL AND rounds = 0 THEN 'scheduled' ELSE 'queued' END,
                held_at = NULL, reason = '' WHERE id = :id AND state = 'paused'
        """),
        {"id": bulk_id},
    )


async def set_deadline(connection: AsyncConnection, bulk_id: str, deadline: datetime) -> None:
    """Change the deadline of a send that has begun; ended ones keep theirs."""
    await connection.execute(
        text("UPDATE bulk_send SET deadline = :deadline WHERE id = :id AND finished_at IS NULL"),
        {"id": bulk_id, "deadline": to_microseconds(deadline)},
    )


async def count_config_error(connection: AsyncConnection, bulk_id: str) -> int:
    """One more refusal of our own settings; answers how many in a row."""
    found = await connection.execute(
        text("UPDATE bulk_send SET config_errors = config_errors + 1 WHERE id = :id RETURNING config_errors"),
        {"id": bulk_id},
    )
    return int(found.scalar_one_or_none() or 0)


async def clear_config_errors(connection: AsyncConnection, bulk_id: str) -> None:
    await connection.execute(text("UPDATE bulk_send SET config_errors = 0 WHERE id = :id"), {"id": bulk_id})


async def note_too_big(connection: AsyncConnection, bulk_id: str, size: int, reason: str) -> None:
    """A message of so many octets was refused as too big; the first refusal is the send's reason."""
    await connection.execute(
        text("""
            UPDATE bulk_send SET too_big = CASE WHEN too_big < :size THEN too_big ELSE :size END,
                reason = CASE WHEN reason = '' THEN :reason ELSE reason END WHERE id = :id
        """),
        {"id": bulk_id, "size": size, "reason": reason},
    )


async def forget_too_big(connection: AsyncConnection, bulk_id: str) -> None:
    """Another relay may take what the old one refused."""
    await connection.execute(
        text("UPDATE bulk_send SET too_big = NULL, reason = '' WHERE id = :id AND too_big IS NOT NULL"),
        {"id": bulk_id},
    )


async def watch_from_now(connection: AsyncConnection, bulk_id: str) -> None:
    """An operator released it: what came before is no reason to pause it again."""
    counts = orjson.dumps({state.value: n for state, n in (await counts_of(connection, bulk_id)).items()})
    await connection.execute(
        text("UPDATE bulk_send SET watched_from = :counts WHERE id = :id"),
        {"id": bulk_id, "counts": counts.decode()},
    )


async def watched_from(connection: AsyncConnection, bulk_id: str) -> dict[MessageState, int]:
    """The counts by state when it was last released; nothing if it never was held."""
    found = await connection.execute(
        text("SELECT watched_from FROM bulk_send WHERE id = :id"), {"id": bulk_id}
    )
    document = found.scalar_one_or_none()
    counts = orjson.loads(document) if document else {}
    return {MessageState(state): n for state, n in counts.items()}


async def all_is_carried(connection: AsyncConnection, bulk_id: str, batches: int) -> bool:
    """Whether it has no more than these batches, and none are coming: then it may be closed."""
    found = await connection.execute(_CARRIED, {"bulk_id": bulk_id, "batches": batches})
    return bool(found.scalar_one_or_none())


async def finish_bulk(
    connection: AsyncConnection,
    bulk_id: str,
    state: BulkState,
    *,
    now: datetime,
    reason: str = "",
    batches: int | None = None,
) -> bool:
    """End it; what was being cancelled ends cancelled, also when its batches were quicker than the word.

    False when more than `batches` are to be carried (None: end it anyway), or when it had ended before.
    """
    done = await connection.execute(
        _FINISH,
        {
            "bulk_id": bulk_id,
            "state": state,
            "reason": reason,
            "now": to_microseconds(now),
            "anyway": batches is None,
            "batches": batches or 0,
        },
    )
    return done.rowcount == 1


async def open_range(connection: AsyncConnection, bulk_id: str) -> tuple[int, int] | None:
    """The lowest and highest seq that is still open, or None."""
    row = (
        await connection.execute(
            text(
                "SELECT min(seq), max(seq) FROM message WHERE bulk_id = :id "
                "AND state IN ('queued', 'sending', 'deferred', 'held')"
            ),
            {"id": bulk_id},
        )
    ).one()
    return None if row[0] is None else (row[0], row[1])


async def settle_some(
    connection: AsyncConnection,
    bulk_id: str,
    first: int,
    last: int,
    state: MessageState,
    *,
    now: datetime,
    shard: int,
    batches: int | None = None,
) -> bool:
    """Give the open messages first..last this final state (cut-off ones: unknown).

    False, and nothing is done, when there are more than `batches` to be carried or some are coming: what is
    open may have been started again since (None: do it anyway).
    """
    if batches is not None:
        carried = await connection.execute(_STILL_CARRIED, {"bulk_id": bulk_id, "batches": batches})
        if not carried.rowcount:
            return False
    where = {"bulk_id": bulk_id, "first": first, "last": last, "now": to_microseconds(now)}
    await settle_open(connection, _SETTLE_SOME, where, bulk_id, state, shard)
    return True
