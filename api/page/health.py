"""Can mail be taken and sent, and if not, why: decided from what is known. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple

from api.page.connected import Connected
from api.page.words import clock, counted, number
from postwerk.archive.lanes import LaneState
from postwerk.archive.queue_totals import QueueTotals


class Sign(NamedTuple):
    """One thing of the strip: how it does, in a word."""

    name: str
    words: str
    kind: Literal["ok", "warn", "bad"]
    title: str = ""


@dataclass(frozen=True, slots=True)
class Health:
    """`stopped`: why nothing can be sent; empty when it can."""

    signs: list[Sign]
    stopped: list[str]


def health(found: Connected | None, figures: QueueTotals | None, version: str, now: datetime) -> Health:
    """`found` None: not known yet; `figures` None: the archive does not tell."""
    signs = [Sign("API", version if version != "unknown" else "running", "ok", "Version")]
    if found is None:
        return Health([*signs, Sign("Behind it", "being asked …", "warn")], [])
    signs.append(Sign("Archive", "ok", "ok") if found.archive else Sign("Archive", "away", "bad"))
    signs.append(
        Sign("Temporal", "ok", "ok") if found.workers is not None else Sign("Temporal", "away", "bad")
    )
    if found.workers is not None:
        signs.append(
            Sign("Workers", number(found.workers), "ok" if found.workers else "bad", "Polling of late")
        )
        title = "Tasks that wait for a worker, about"
        signs.append(Sign("Backlog", number(found.backlog), "ok", title))
    signs += [_relay(name, state, now) for name, state in found.relays.items()]
    return Health(signs, list(_stopped(found, figures, now)))


def _relay(name: str, state: LaneState, now: datetime) -> Sign:
    words = f"Relay {name}" if name != "default" else "Relay"
    if state.cools(now):
        return Sign(words, f"rests until {clock(state.cool_until, now)}", "bad", state.last_refusal)
    if state.failures:
        return Sign(words, f"no session, {counted(state.failures, 'time')}", "bad", state.last_refusal)
    return Sign(words, "ok", "ok")


def _stopped(found: Connected, figures: QueueTotals | None, now: datetime) -> Iterator[str]:
    if not found.archive:
        yield "The archive does not answer: no mail is taken, and none is sent. Look at the database."
    if found.workers is None:
        yield "Temporal does not answer: mail is taken, and goes out by itself when Temporal is back."
    elif not found.workers:
        yield "No worker polls: mail is taken and none is sent. Start one: python -m worker"
    if found.relays and all(_is_down(state, now) for state in found.relays.values()):
        for name, state in found.relays.items():
            yield _why_down(name, state, now)
    if figures is not None and figures.all_paused:
        yield f"Everything is paused: {counted(figures.total, 'message')} wait until somebody resumes."


def _is_down(state: LaneState, now: datetime) -> bool:
    return state.cools(now) or bool(state.failures)


def _why_down(name: str, state: LaneState, now: datetime) -> str:
    by_hand = state.origin not in ("session", "")
    why = f"{state.reason} ({state.origin})" if by_hand else state.last_refusal or state.reason
    until = (
        f" is not tried before {clock(state.cool_until, now)} UTC"
        if state.cools(now)
        else " gives no session"
    )
    return f"The relay {name}{until}: {' '.join(why.split())[:300]}"
