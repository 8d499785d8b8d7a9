"""Messages that moved on between being found and being changed: the worker does not wait for an operator."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import Connection

from postwerk.archive.given import Given
from postwerk.archive.operations import Found
from postwerk.contracts.states import MessageState

_MOVED = Given(
    """
    SELECT message.bulk_id, message.seq, message.state, message.lane, message.round
    FROM {given} JOIN message ON message.bulk_id = given.bulk_id AND message.seq = given.seq
    WHERE message.state <> given.was
    """,
    bulk_id="text",
    seq="bigint",
    was="text",
)


def moved_meanwhile(
    connection: Connection, found: Sequence[Found], states: Collection[MessageState]
) -> list[Found]:
    """Those that are in another one of `states` by now, as they are now."""
    if not found:
        return []
    clause, rows = _MOVED.bind(
        connection, [{"bulk_id": one.bulk_id, "seq": one.seq, "was": one.was} for one in found]
    )
    as_now = [
        Found(bulk, seq, MessageState(state), lane, part)
        for bulk, seq, state, lane, part in connection.execute(clause, rows)
    ]
    return [one for one in as_now if one.was in states]
