"""The queue in a few numbers: by the counters, so exact at any size, and in one statement."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from postwerk.archive.columns import from_microseconds
from postwerk.archive.queue_filter import UNDER_WAY
from postwerk.contracts.states import OPEN_STATES, BulkState, MessageState

_OPEN = ", ".join(f"'{state.value}'" for state in sorted(OPEN_STATES))
_STATES = ", ".join(f"'{state.value}'" for state in UNDER_WAY)
_FIGURES = text(f"""
    SELECT bulk_state, state, sum(n), min(accepted_at) FROM (
        SELECT bulk_send.id AS bulk_id, bulk_send.state AS bulk_state, counter.state AS state,
            bulk_send.accepted_at AS accepted_at, sum(counter.n) AS n
        FROM bulk_send JOIN counter ON counter.bulk_id = bulk_send.id
        WHERE bulk_send.state IN ({_STATES}) AND bulk_send.accepted_at IS NOT NULL
            AND counter.state IN ({_OPEN})
        GROUP BY bulk_send.id, bulk_send.state, bulk_send.accepted_at, counter.state
    ) AS waiting WHERE n > 0 GROUP BY bulk_state, state
""")


@dataclass(frozen=True, slots=True)
class QueueTotals:
    """Open messages of accepted sends that have not ended; `oldest_at`: when the oldest was accepted."""

    states: Counter[MessageState] = field(default_factory=Counter)
    oldest_at: datetime | None = None
    paused: int = 0
    """Open messages of paused sends."""

    @property
    def total(self) -> int:
        return self.states.total()

    @property
    def all_paused(self) -> bool:
        """Something waits, and an operator holds all of it."""
        return 0 < self.total == self.paused


async def queue_totals(connection: AsyncConnection) -> QueueTotals:
    """As they are now. The same counts as the API's `/v1/queue/count` without a filter."""
    states: Counter[MessageState] = Counter()
    oldest, paused = [], 0
    for bulk_state, state, n, accepted_at in await connection.execute(_FIGURES):
        states[MessageState(state)] += int(n)
        oldest.append(accepted_at)
        paused += int(n) if bulk_state == BulkState.PAUSED.value else 0
    return QueueTotals(states, from_microseconds(min(oldest)) if oldest else None, paused)
