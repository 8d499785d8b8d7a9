"""What the overview shows. What is slow to find out is remembered, and never waited for."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, NamedTuple

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from api.dependencies import Parts
from api.page.chart import Chart, chart
from api.page.connected import Connected, connected
from api.page.failure_memory import Failures
from api.page.figures import Figure, figures
from api.page.health import Health, health
from api.page.lane_rows import AGES, KnownOfLanes, LaneRow, lane_rows
from api.page.send_cards import SendCard, send_card
from api.progress import Progress
from api.queue_counting import Summary, summary
from api.routes.health import our_version
from api.schemas import WaitsFor
from api.waiting import waits_of_sends
from postwerk.archive import lanes
from postwerk.archive.annotations import annotations_since
from postwerk.archive.queue_totals import queue_totals
from postwerk.archive.reads import BulkSend
from postwerk.archive.send_pages import SendCursor, send_page
from postwerk.archive.suspensions import suspensions_in_force
from postwerk.contracts.options import DEFAULT_RELAY
from postwerk.contracts.states import BulkState
from postwerk.rules.curves import SPANS, Span, begin_of
from postwerk.rules.queue_summary import By, Row

SENDS = 12
_RECENT = timedelta(seconds=15)
"""What a worker reported longer ago says nothing about now."""


class Look(NamedTuple):
    """What of the overview is looked at."""

    span: Span = SPANS[0]
    after: SendCursor | None = None


@dataclass(frozen=True, slots=True)
class Relay:
    """The lanes of one relay."""

    name: str
    rows: Sequence[LaneRow]


@dataclass(frozen=True, slots=True)
class Overview:
    """Everything, as it was at `now`. What the archive tells is None while that is away."""

    now: datetime
    look: Look
    health: Health
    figures: Sequence[Figure] | None = None
    chart: Chart | None = None
    sends: Sequence[SendCard] = ()
    next: SendCursor | None = None
    relays: Sequence[Relay] = ()
    counted_at: datetime | None = None
    failures: Failures | None = None


async def take_overview(parts: Parts, look: Look) -> Overview:
    """Nothing is raised when archive or Temporal are away: then it says so."""
    now = parts.now()
    parts.page.figures.start()
    memory = parts.page
    found, counted = await asyncio.gather(
        memory.connected.get(partial(connected, parts)),
        memory.lanes.get(partial(summary, parts, By.PROVIDER, AGES)),
    )
    try:
        return await _with_archive(parts, look, found, counted, now)
    except (SQLAlchemyError, OSError):
        gone = replace(found, archive=False) if found else Connected(False, None, None, {})
        return Overview(now, look, health(gone, None, our_version(), now))


async def _with_archive(
    parts: Parts, look: Look, found: Connected | None, counted: Summary | None, now: datetime
) -> Overview:
    tallies, memory = parts.page.tallies, parts.page
    await tallies.refresh(now)
    async with parts.archive.reading() as connection:
        queue = await queue_totals(connection)
        annotations = await annotations_since(connection, begin_of(look.span, now))
        page = await send_page(connection, limit=SENDS, after=look.after)
    return Overview(
        now,
        look,
        health(found, queue, our_version(), now),
        figures(queue, tallies.totals, memory.figures.samples, now),
        chart(tallies.totals, annotations, look.span, now),
        await cards(parts, page.sends),
        page.next,
        await _relays(parts, tallies.of_lanes(now - SPANS[1].length), counted, now),
        counted.as_of if counted else None,
        await memory.failures.latest(now),
    )


async def cards(parts: Parts, sends: Sequence[BulkSend]) -> list[SendCard]:
    """Each with what it waits for."""
    waits = await waits_of_sends(parts, sends)
    return [card_of(parts, send, wait) for send, wait in zip(sends, waits, strict=True)]


def card_of(parts: Parts, send: BulkSend, wait: WaitsFor | None) -> SendCard:
    going = Progress(None, None)
    if send.state is BulkState.RUNNING:
        going = parts.rates.progress(send.id, send.finished, send.accepted - send.finished, parts.now())
    return send_card(send, wait, going, parts.config, parts.client.namespace)


async def _relays(
    parts: Parts, tallies: Mapping[str, Counter[str]], counted: Summary | None, now: datetime
) -> list[Relay]:
    """The default relay with what is known of all lanes, and the further ones with what is their own."""
    names = _relay_names(parts)
    rows = {row.name: row for row in counted.rows} if counted else None
    async with parts.archive.reading() as connection:
        found = [
            await _known(connection, name, tallies if first else {}, rows if first else {}, now)
            for name, first in zip(names, [True, *[False] * len(names)], strict=False)
        ]
    shown = [Relay(known.relay, lane_rows(known, parts.config, now)) for known in found]
    return [one for index, one in enumerate(shown) if one.rows or index == 0]


def _relay_names(parts: Parts) -> list[str]:
    found = parts.page.connected.known
    return list(found.relays) if found and found.relays else [parts.config.relay or DEFAULT_RELAY]


async def _known(
    connection: AsyncConnection,
    relay: str,
    tallies: Mapping[str, Counter[str]],
    rows: Mapping[str, Row] | None,
    now: datetime,
) -> KnownOfLanes:
    states = {state.name: state for state in await lanes.all_lane_states(connection, relay)}
    uses = await lanes.lanes_in_use(connection, relay, now - _RECENT)
    return KnownOfLanes(relay, states, uses, tallies, rows, await suspensions_in_force(connection, now))


def context(found: Overview, base: str) -> dict[str, Any]:
    """What the templates are given besides the viewer."""
    return {"seen": found, "now": found.now, "base": base, "spans": SPANS}
