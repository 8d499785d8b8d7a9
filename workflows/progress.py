"""What a bulk send shows of itself: the answer to the query `progress`, and live details in the Web UI."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from pydantic import BaseModel, ConfigDict

from postwerk.contracts.orders import Counts, Look, Rest
from postwerk.contracts.states import BulkState, MessageState
from workflows.markdown import moment, number, one_line, table


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


class Moments(BaseModel):
    """What else is known of a root, for its details alone."""

    model_config = ConfigDict(frozen=True)

    begins_at: datetime | None = None
    """It has not begun yet."""
    held_since: datetime | None = None
    look: Look | None = None
    """The last one; None: there was none yet, or it has ended."""
    looks_again: datetime | None = None
    per_second: float = 0.0


def details(progress: Progress, moments: Moments) -> str:
    """The counts as a table, how fast it goes, and what it waits for until when."""
    parts = [
        _head(progress),
        state_table(progress.counts),
        "\n".join(f"- {line}" for line in _lines(progress, moments)),
        rest_table(moments.look.rests if moments.look else ()),
    ]
    return "\n\n".join(part for part in parts if part)


def _head(progress: Progress) -> str:
    lost = f", {progress.children_lost} of them by an accident" if progress.children_lost else ""
    reason = f" ({one_line(progress.reason)})" if progress.reason else ""
    return (
        f"**{progress.state.value}**{reason} · {number(progress.messages, 'recipient')} "
        f"in {progress.batches:,} batch{'es' if progress.batches != 1 else ''} "
        f"· {progress.children_done:,} of {progress.children:,} children done{lost}"
    )


def _lines(progress: Progress, moments: Moments) -> Iterator[str]:
    if moments.begins_at is not None:
        yield f"begins {moment(moments.begins_at)}"
    if moments.held_since is not None:
        yield f"held since {moment(moments.held_since)}; the deadline's clock stands still until `release`"
    if moments.look is not None:
        yield from _of_look(moments.look, moments)
    if progress.state in (BulkState.SCHEDULED, BulkState.RUNNING, BulkState.PAUSED):
        yield f"deadline {moment(progress.deadline)}"


def _of_look(look: Look, moments: Moments) -> Iterator[str]:
    if look.at is not None:
        again = f", counted again {moment(moments.looks_again)}" if moments.looks_again else ""
        yield f"counted {moment(look.at)}{again}"
    untried = look.states.get(MessageState.QUEUED, 0)
    if moments.per_second > 0:
        yield f"pace {moments.per_second:,.1f}/s since the look before{_expected(look, untried, moments)}"
    if look.window_opens is not None:
        yield f"outside its sending window ({look.window}), which opens {moment(look.window_opens)}"
    if deferred := look.states.get(MessageState.DEFERRED, 0):
        yield f"{number(deferred, 'message')} to be tried again{_next(look)}"


def _expected(look: Look, untried: int, moments: Moments) -> str:
    if not untried or look.at is None or moments.held_since is not None:
        return ""
    end = look.at + timedelta(seconds=untried / moments.per_second)
    return f"; the {untried:,} not tried yet are about to be by {moment(end)}"


def _next(look: Look) -> str:
    if look.next_at is None:
        return ""
    why = f" ({look.next_lane}: {look.next_why})" if look.next_why else f" ({look.next_lane})"
    return f", the first of them due {moment(look.next_at)}{why}"


def knot_details(
    *, done: int, started: int, lost: int, counts: Counts, deadline: datetime, held: bool
) -> str:
    """Of an Expansion: what its ended children have counted."""
    accidents = f", {lost:,} of them by an accident" if lost else ""
    parts = [
        f"{'**held** · ' if held else ''}{done:,} of {started:,} batches done{accidents} "
        f"· deadline {moment(deadline)}",
        state_table(together(counts)),
    ]
    return "\n\n".join(part for part in parts if part)


def state_table(counts: Mapping[MessageState, int]) -> str:
    """Each state that has messages, in its own order, with its share."""
    total = sum(counts.values())
    rows = [
        (state.value, f"{counts[state]:,}", f"{100 * counts[state] / total:.1f} %")
        for state in MessageState
        if counts.get(state)
    ]
    return table(("state", "messages", "share"), rows, right=(1, 2))


def rest_table(rests: tuple[Rest, ...]) -> str:
    """Lanes on which nothing is sent for now."""
    rows = [(rest.lane or "(the relay)", moment(rest.until), rest.why) for rest in rests]
    return table(("lane at rest", "until", "why"), rows)


def together(counts: Counts) -> dict[MessageState, int]:
    """Every state in its own order, zeros left out."""
    return {state: counts.states[state] for state in MessageState if counts.states.get(state)}
