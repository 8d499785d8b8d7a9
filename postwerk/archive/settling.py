"""Closing what is open: the one place where messages reach a final state without an SMTP transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import TextClause
from sqlalchemy.ext.asyncio import AsyncConnection

from postwerk.archive.counters import add_to_counters
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
    """Run `statement` (with :was and :state) for each of `states` and count what moved; answers how many.

    What is still marked `sending` was cut off, perhaps after its dot: that ends `unknown`, the truth.
    """
    moved: Counter[tuple[str, str]] = Counter()
    for was in states:
        becomes = MessageState.UNKNOWN if was is MessageState.SENDING else state
        done = await connection.execute(statement, {**where, "was": was, "state": becomes})
        moved[bulk_id, was] -= done.rowcount
        moved[bulk_id, becomes] += done.rowcount
    await add_to_counters(connection, moved, shard)
    return -sum(n for n in moved.values() if n < 0)
