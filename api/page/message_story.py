"""What happened to a message, in the order in which it did."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from api.schemas import MessageView
from api.waiting import MessageInContext
from postwerk.archive.reads import Attempt
from postwerk.archive.suppressions import Suppression
from postwerk.contracts.states import MessageState


@dataclass(frozen=True, slots=True)
class Step:
    """One line of the story. `kind` colours it: good, warn, bad or idle."""

    at: datetime | None
    kind: str
    what: str
    words: str = ""
    attempt: Attempt | None = None
    next_at: datetime | None = None
    link: str = ""


_KINDS = {"delivered": "good", "deferred": "warn", "bounced": "bad", "failed": "bad", "unknown": "bad"}
_ENDS: dict[MessageState, tuple[str, str]] = {
    MessageState.EXPIRED: ("bad", "Given up: its time was over"),
    MessageState.CANCELLED: ("idle", "Cancelled"),
    MessageState.SUPPRESSED: ("idle", "Not sent: the address is on the suppression list"),
    MessageState.FAILED: ("bad", "Could not be made from content and variables"),
    MessageState.UNKNOWN: ("bad", "Handed over without a readable reply, and not sent again"),
}


def story_of(
    told: MessageInContext, view: MessageView, attempts: list[Attempt], listed: Suppression | None
) -> list[Step]:
    """`listed`: the entry of its address on the suppression list."""
    steps = [*_steps(told, view, attempts), *_afterwards(told, listed)]
    return sorted(steps, key=lambda step: (step.at is None, step.at or told.now))


def _steps(told: MessageInContext, view: MessageView, attempts: list[Attempt]) -> Iterator[Step]:
    yield Step(told.send.accepted_at, "idle", "Accepted", "stored; it survives any crash from here on")
    for attempt in attempts:
        is_last = attempt is attempts[-1]
        yield Step(
            attempt.started_at,
            _KINDS.get(attempt.outcome, "idle"),
            f"Attempt {attempt.number}: {attempt.outcome}",
            attempt.reason.replace("_", " "),
            attempt,
            view.next_attempt_at if is_last else None,
        )
    if told.operation is not None:
        note = told.operation
        what = f"{note.verb.replace('_', ' ')} by {note.by}"
        yield Step(note.at, "idle", what, note.reason, link=f"/operations/{note.id}")
    if (end := _ENDS.get(told.message.state)) and not _is_told(told, attempts):
        why = (told.message.last_reason or "").replace("_", " ")
        yield Step(told.message.changed_at, end[0], end[1], why)


def _is_told(told: MessageInContext, attempts: list[Attempt]) -> bool:
    """Its last attempt tells how it ended."""
    return bool(attempts) and attempts[-1].outcome == told.message.state


def _afterwards(told: MessageInContext, listed: Suppression | None) -> Iterator[Step]:
    message = told.message
    if message.late:
        words = " ".join(str(part) for part in (message.last_code, message.last_text) if part)
        yield Step(message.changed_at, "bad", "Bounced after it had been delivered", words)
    if message.complained_at is not None:
        yield Step(message.complained_at, "bad", "Its recipient complained")
    if listed is not None and listed.bulk_id == message.bulk_id:
        of_it = listed.unsubscribed_at is not None and listed.reason == "unsubscribe"
        what = "Its recipient unsubscribed" if of_it else "The address was put on the suppression list"
        yield Step(
            listed.created_at, "warn", what, f"{listed.reason} ({listed.source})", link="/suppressions"
        )
