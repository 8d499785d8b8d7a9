"""Everything that the page of one bulk send shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from api.dependencies import Parts
from api.page.overview import card_of
from api.page.send_cards import SendCard
from api.page.words import span
from api.waiting import surroundings, waits_of_sends
from postwerk.archive import reads
from postwerk.archive.lanes import LaneState
from postwerk.archive.reads import BulkSend
from postwerk.archive.send_history import Deed, deeds, planned_lanes
from postwerk.contracts.states import MessageState
from postwerk.rules.sending_window import in_words
from postwerk.rules.suspending import Suspensions

MOST_LANES = 30


class LaneOfSend(NamedTuple):
    """So many of its messages were planned for a lane, and how that does."""

    name: str
    planned: int
    state: str
    until: datetime | None
    refusal: str


@dataclass(frozen=True, slots=True)
class SendDetails:
    """As it was at `now`."""

    now: datetime
    card: SendCard
    send: BulkSend
    counts: Sequence[tuple[str, int]]
    adds_up: bool
    lanes: Sequence[LaneOfSend]
    more_lanes: int
    deeds: Sequence[Deed]
    options: Sequence[tuple[str, str]]


async def send_details(parts: Parts, bulk_id: str) -> SendDetails:
    """Raises NotFound."""
    now = parts.now()
    async with parts.archive.reading() as connection:
        send = await reads.bulk_send(connection, bulk_id)
        planned = await planned_lanes(connection, bulk_id)
        history = await deeds(connection, bulk_id)
        shown = planned[:MOST_LANES]
        around = await surroundings(parts, connection, [name for name, _ in shown], send.options)
    [wait] = await waits_of_sends(parts, [send])
    counts = [(state.value, send.counts.get(state, 0)) for state in MessageState]
    return SendDetails(
        now,
        card_of(parts, send, wait),
        send,
        counts,
        sum(n for _, n in counts) == send.accepted,
        [_lane(name, n, around.lane(name), around.suspensions, now) for name, n in shown],
        len(planned) - len(shown),
        history,
        list(_options(send)),
    )


def _lane(name: str, n: int, state: LaneState, suspensions: Suspensions, now: datetime) -> LaneOfSend:
    suspended = suspensions.of_lane(name, now)
    if suspended is not None:
        return LaneOfSend(name, n, "suspended", suspended.until, suspended.reason)
    if state.cools(now):
        return LaneOfSend(name, n, "cooling_down", state.cool_until, state.last_refusal or state.reason)
    return LaneOfSend(name, n, "recovering" if state.slow_interval else "free", None, state.last_refusal)


def _options(send: BulkSend) -> list[tuple[str, str]]:
    """What it was told, in words."""
    options = send.options
    retry = options.retry
    waits = ", ".join(span(wait) for wait in retry.waits)
    usual = f"{span(retry.initial)}, times {retry.factor:g}, at most {span(retry.maximum)}"
    found = [
        ("Relay", options.relay_name),
        ("Rate", options.rate or "as fast as it goes"),
        ("Retried after", waits or usual),
        ("Deadline", span(options.deadline)),
        ("Window", in_words(options.window) if options.window else ""),
        (
            "Template",
            f"{options.template.id}, version {options.template.version}" if options.template else "",
        ),
        ("Pauses by itself", _auto_pause(send)),
        ("If a reply is lost", options.on_ambiguous),
        ("Rounds", f"{send.rounds} times started again" if send.rounds else ""),
    ]
    return [(name, str(words)) for name, words in found if words]


def _auto_pause(send: BulkSend) -> str:
    limits = send.options.auto_pause
    if limits is None:
        return ""
    return ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in limits.model_dump().items())
