"""What a Delivery shows of itself in the Web UI."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from pydantic import BaseModel, ConfigDict

from postwerk.contracts.orders import BatchOrder, Counts
from postwerk.contracts.states import FINAL_STATES, MessageState
from workflows.markdown import moment, number, one_line
from workflows.progress import state_table


class Standing(BaseModel):
    """Where a batch stands, as its workflow knows it."""

    model_config = ConfigDict(frozen=True)

    batch: BatchOrder
    deadline: datetime
    held_since: datetime | None
    reason: str
    runs: int
    run_began: datetime | None
    """None: no run of its activity is under way."""
    only_held: bool
    counts: Counts | None
    activity_id: str

    @property
    def has_ended(self) -> bool:
        return self.counts is not None and not self._open

    @property
    def _open(self) -> int:
        counts = self.counts.states if self.counts else {}
        return sum(n for state, n in counts.items() if state not in FINAL_STATES)


def batch_details(standing: Standing) -> str:
    """How it stands; what single messages wait for, the pending activity says."""
    counts = standing.counts.states if standing.counts else {}
    parts = [
        _head(standing),
        state_table({state: counts[state] for state in MessageState if counts.get(state)}),
        "\n".join(f"- {line}" for line in _lines(standing)),
    ]
    return "\n\n".join(part for part in parts if part)


def _head(standing: Standing) -> str:
    batch = standing.batch
    return (
        f"**{_state(standing)}** · batch {batch.number:,} · lane {batch.lane} "
        f"· {number(batch.messages, 'message')}"
    )


def _state(standing: Standing) -> str:
    if standing.held_since is not None:
        return "held"
    if standing.has_ended:
        return "done"
    return "waits for a release" if standing.only_held else "sending"


def _lines(standing: Standing) -> Iterator[str]:
    if standing.held_since is not None:
        reason = f": {one_line(standing.reason)}" if standing.reason else ""
        yield f"held since {moment(standing.held_since)}{reason}; the deadline's clock stands still"
    elif standing.run_began is not None:
        yield (
            f"run {standing.runs:,} since {moment(standing.run_began)}; how many are open, the last reply "
            f"and the next attempt: *Pending Activities*, `{standing.activity_id}`, last failure"
        )
    if not standing.has_ended:
        yield f"deadline {moment(standing.deadline)}"
