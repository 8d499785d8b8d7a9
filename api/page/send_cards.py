"""A bulk send as the page shows it: one bar in four colours, figures that add up, and why it waits. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from api.dependencies import ApiConfig
from api.progress import Progress
from api.schemas import WaitsFor
from postwerk.archive.reads import BulkSend
from postwerk.contracts.states import ENDED, BulkState, MessageState
from workflows.names import bulk_workflow_id

BAR = 1000
"""Width of a bar."""
_LEAST = 4
"""Of what is there at all, so that one sees it."""
_GROUPS = (
    ("delivered", "delivered", (MessageState.DELIVERED,)),
    ("deferred", "deferred", (MessageState.DEFERRED,)),
    (
        "failed",
        "not delivered",
        (
            MessageState.BOUNCED,
            MessageState.EXPIRED,
            MessageState.FAILED,
            MessageState.UNKNOWN,
            MessageState.SUPPRESSED,
            MessageState.CANCELLED,
        ),
    ),
    ("left", "left", (MessageState.QUEUED, MessageState.SENDING, MessageState.HELD)),
)
_FAILED = (MessageState.BOUNCED, MessageState.EXPIRED, MessageState.FAILED)
"""What is tried again when nothing else is said."""
_MAY_PAUSE = (BulkState.SCHEDULED, BulkState.QUEUED, BulkState.RUNNING)


class Share(NamedTuple):
    """A part of the bar, and its figure."""

    kind: str
    words: str
    n: int
    x: float
    width: float
    details: str
    """The states in it, with their numbers."""


@dataclass(frozen=True, slots=True)
class SendCard:
    """A bulk send, ready to be shown."""

    id: str
    name: str
    state: str
    reason: str
    accepted: int
    shares: Sequence[Share]
    done: float | None
    """Of 1: what has ended."""
    rate: float | None
    limit: str
    eta: datetime | None
    waits_for: WaitsFor | None
    created_at: datetime
    begins_at: datetime | None
    finished_at: datetime | None
    tags: Sequence[str]
    temporal: str
    """Address of its workflow in the Web UI; empty when there is none."""
    can_pause: bool
    can_resume: bool
    can_cancel: bool
    can_change: bool
    can_retry: bool
    may_start_again: int
    """So many of its messages failed, and could be tried again."""


def send_card(
    send: BulkSend, waits_for: WaitsFor | None, progress: Progress, config: ApiConfig, namespace: str
) -> SendCard:
    ended = send.state in ENDED
    again = sum(send.counts.get(state, 0) for state in _FAILED)
    tags = (send.metadata or {}).get("tags", ())
    return SendCard(
        id=send.id,
        name=send.name,
        state=send.state.value,
        reason=send.reason,
        accepted=send.accepted,
        shares=_shares(send),
        done=send.finished / send.accepted if send.accepted else None,
        rate=progress.rate,
        limit=send.options.rate or "",
        eta=progress.eta,
        waits_for=waits_for,
        created_at=send.created_at,
        begins_at=send.begins_at,
        finished_at=send.finished_at,
        tags=[str(tag) for tag in tags[:8]] if isinstance(tags, list) else (),
        temporal=_temporal(send.id, config, namespace),
        can_pause=send.state in _MAY_PAUSE,
        can_resume=send.state is BulkState.PAUSED,
        can_cancel=not ended and send.state is not BulkState.CANCELLING,
        can_change=not ended and send.state is not BulkState.CANCELLING,
        can_retry=again > 0 and send.state not in (BulkState.CANCELLING, BulkState.OPEN),
        may_start_again=again,
    )


def _shares(send: BulkSend) -> list[Share]:
    """In whole units of the bar, none that is there too narrow to be seen; together exactly its width."""
    counts = [
        (kind, words, [(state, send.counts.get(state, 0)) for state in states])
        for kind, words, states in _GROUPS
    ]
    totals = [sum(n for _, n in states) for _, _, states in counts]
    widths = widths_of(totals)
    found, x = [], 0.0
    for (kind, words, states), n, width in zip(counts, totals, widths, strict=True):
        details = ", ".join(f"{m:,} {state}" for state, m in states if m)
        found.append(Share(kind, words, n, x, width, details or f"0 {words}"))
        x += width
    return found


def widths_of(totals: Sequence[int]) -> list[float]:
    """Their shares of the bar. The widest gives what the narrow ones need to be seen."""
    whole = sum(totals)
    if not whole:
        return [0.0 for _ in totals]
    widths = [max(_LEAST, BAR * n / whole) if n else 0.0 for n in totals]
    widest = widths.index(max(widths))
    widths[widest] -= sum(widths) - BAR
    return [round(width, 1) for width in widths]


def _temporal(bulk_id: str, config: ApiConfig, namespace: str) -> str:
    ui = config.temporal_ui_url.rstrip("/")
    return f"{ui}/namespaces/{namespace}/workflows/{bulk_workflow_id(bulk_id)}" if ui else ""
