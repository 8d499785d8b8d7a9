"""Rounds: failed messages of a bulk send started again, with a fresh deadline, under the same send."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from postwerk.archive.columns import from_microseconds, to_microseconds
from postwerk.archive.operations import Operation
from postwerk.archive.plan import plan_round
from postwerk.contracts.options import BulkOptions
from postwerk.contracts.queue import NextRun
from postwerk.contracts.states import ENDED, BulkState, SendKind
from postwerk.errors import Conflict, NotFound
from postwerk.rules.shown_names import shown_name
from postwerk.rules.starting import start_order

ROOT = 0
"""Stands for the root workflow where batches are told: it is to carry more."""
_BEGIN = text("""
    UPDATE bulk_send SET rounds = rounds + 1, starting_again = starting_again + 1, too_big = NULL
    WHERE id = :bulk_id AND state NOT IN ('storing', 'open', 'scheduled', 'cancelling')
        AND (state <> 'paused' OR begins_at IS NULL OR started_at IS NOT NULL OR rounds > 0)
    RETURNING rounds, state, options, deadline, held_at
""")
_STATE = text("SELECT state FROM bulk_send WHERE id = :bulk_id AND state <> 'storing'")
# Writing to the row keeps a cancel away until this transaction has ended.
_STANDING = text("""
    UPDATE bulk_send SET starting_again = starting_again - :leaves WHERE id = :bulk_id
    RETURNING state, options
""")
# It has not begun: whoever pauses it before its next run begins finds it as any other that has not.
_AGAIN = text("""
    UPDATE bulk_send SET state = 'queued', reason = '', started_at = NULL, finished_at = NULL, held_at = NULL,
        deadline = :deadline WHERE id = :bulk_id
""")
_TELL_ROOT = text("""
    INSERT INTO operation_batch (operation, bulk_id, number) VALUES (:operation, :bulk_id, :root)
    ON CONFLICT DO NOTHING
""")
_ORDER = text("""
    SELECT accepted, options, deadline, carried, name, kind FROM bulk_send
    WHERE id = :bulk_id AND state IN ('queued', 'paused') AND started_at IS NULL
""")


class Round(NamedTuple):
    """A round that begins. `extra`: its messages have so much more time than their bulk send."""

    number: int
    extra: timedelta
    had_ended: bool

    def details(self) -> dict[str, int | bool]:
        return {
            "round": self.number,
            "extra": self.extra // timedelta(microseconds=1),
            "had_ended": self.had_ended,
        }


async def begin_round(connection: AsyncConnection, bulk_id: str, now: datetime) -> Round:
    """The send is not closed from now on until `end_round`. Raises NotFound, Conflict: not in this state."""
    row = (await connection.execute(_BEGIN, {"bulk_id": bulk_id})).one_or_none()
    if row is None:
        state = (await connection.execute(_STATE, {"bulk_id": bulk_id})).scalar_one_or_none()
        if state is None:
            raise NotFound("There is no bulk send with this id.")
        raise Conflict(
            f"This bulk send is {state}; failed messages are started again when it runs or is ended."
        )
    options = BulkOptions.model_validate_json(row.options)
    if options.expires_at is not None and options.expires_at <= now:
        raise Conflict("This bulk send has expired: give it a later `expires_at`, or send anew.")
    if BulkState(row.state) in ENDED or row.deadline is None:
        return Round(row.rounds, timedelta(0), had_ended=True)
    clock = from_microseconds(row.held_at) if row.held_at else now
    fresh = clock + options.deadline
    return Round(row.rounds, max(fresh - from_microseconds(row.deadline), timedelta(0)), had_ended=False)


async def may_go_on(connection: AsyncConnection, op: Operation) -> bool:
    """False when the send was cancelled meanwhile: that word came later, and wins."""
    found = await connection.execute(_STANDING, {"bulk_id": op.bulk_id, "leaves": 0})
    state = BulkState(found.one().state)
    had_ended = bool((op.details or {}).get("had_ended"))
    return state is not BulkState.CANCELLING and (had_ended or state not in ENDED)


async def end_round(connection: AsyncConnection, op: Operation, changed: int, now: datetime) -> None:
    """All its messages are moved: cut them into batches, and have them carried with the rest of the send."""
    row = (await connection.execute(_STANDING, {"bulk_id": op.bulk_id, "leaves": 1})).one()
    if not changed:
        return
    options = BulkOptions.model_validate_json(row.options)
    await plan_round(connection, op.bulk_id, op.round, changed, options.recipients_per_child)
    if BulkState(row.state) in ENDED:
        deadline = to_microseconds(options.ends_at(now))
        await connection.execute(_AGAIN, {"bulk_id": op.bulk_id, "deadline": deadline})
    await connection.execute(_TELL_ROOT, {"operation": op.id, "bulk_id": op.bulk_id, "root": ROOT})


async def give_up_round(connection: AsyncConnection, op: Operation) -> None:
    """It was cancelled meanwhile; what was moved already ends with the send."""
    await connection.execute(_STANDING, {"bulk_id": op.bulk_id, "leaves": 1})


async def next_run(connection: AsyncConnection, bulk_id: str, now: datetime) -> NextRun | None:
    """What starts the workflow of a send anew; None when it is carried already, or not to be."""
    row = (await connection.execute(_ORDER, {"bulk_id": bulk_id})).one_or_none()
    if row is None or row.deadline is None:
        return None
    left = max(from_microseconds(row.deadline) - now, timedelta(seconds=1))
    options = BulkOptions.model_validate(orjson.loads(row.options))
    order = start_order(
        bulk_id,
        row.accepted,
        options,
        None,
        left=left,
        first_batch=row.carried + 1,
        again=True,
        kind=SendKind(row.kind),
    )
    return NextRun(order=order, name=shown_name(row.name))
