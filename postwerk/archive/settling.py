"""Closing what is open: the one place where messages reach a final state without an SMTP transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import TextClause
from sqlalchemy.ext.asyncio import AsyncConnection

from postwerk.archive.counters import add_to_counters
from postwerk.archive.tallies import Happened, count_happened
from postwerk.contracts.states import MessageState

SENDABLE = (MessageState.QUEUED, MessageState.DEFERRED, MessageState.SENDING)
"""Open and not held: their time runs."""


async def settle_open(
    connection: AsyncConnection,
    statement: TextClause,
    where: Mapping[str, Any],
    bulk_id: str,
    state: MessageState,
    shard: int,
    states: Sequence[MessageState] = (*SENDABLE, MessageState.HELD),
) -> int:
    """Run `statement` (with :was, :state, :now) for each of `states` and count what moved; answers how many.

    It returns the lane of each message that it changed.
    What is still marked `sending` was cut off, perhaps after its dot: that ends `unknown`, the truth.
    """
    moved: Counter[tuple[str, str]] = Counter()
    happened: Counter[Happened] = Counter()
    for was in states:
        becomes = MessageState.UNKNOWN if was is MessageState.SENDING else state
        done = await connection.execute(statement, {**where, "was": was, "state": becomes})
        lanes = done.scalars().all()
        moved[bulk_id, was] -= len(lanes)
        moved[bulk_id, becomes] += len(lanes)
        happened.update(Happened(where["now"], lane, becomes) for lane in lanes)
    await add_to_counters(connection, moved, shard)
    await connection.run_sync(count_happened, happened.elements(), shard)
    return -sum(n for n in moved.values() if n < 0)
