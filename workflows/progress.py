"""What a bulk send shows of itself: the answer to the query `progress`, and live details in the Web UI."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict

from postwerk.contracts.orders import Counts
from postwerk.contracts.states import BulkState, MessageState


class Progress(BaseModel):
    """Counts are as of the last look (after 2, 4, 8 ... seconds, at the end); the archive has them live."""

    model_config = ConfigDict(frozen=True)

    bulk_id: str
    state: BulkState
    reason: str
    messages: int
    counts: dict[MessageState, int]
    batches: int
    children: int
    children_done: int
    children_lost: int
    deadline: datetime


def details(progress: Progress) -> str:
    """A Markdown table of the counts."""
    reason = f" ({progress.reason})" if progress.reason else ""
    rows = [
        f"**{progress.state.value}**{reason} · {progress.messages:,} messages "
        f"in {progress.batches:,} batches "
        f"· {progress.children_done} of {progress.children} children done "
        f"· deadline {progress.deadline:%Y-%m-%d %H:%M} UTC",
        "",
        "| state | messages |",
        "| --- | ---: |",
    ]
    rows += [f"| {state.value} | {n:,} |" for state, n in progress.counts.items() if n]
    return "\n".join(rows)


def together(counts: Counts) -> dict[MessageState, int]:
    """Every state in its own order, zeros left out."""
    return {state: counts.states[state] for state in MessageState if counts.states.get(state)}
