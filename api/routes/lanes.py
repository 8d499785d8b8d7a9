"""Lanes and the relay: how they do, and an operator's word about them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Query, Request

from api.body_schemas import json_body
from api.dependencies import Parts, UseParts
from api.lane_orders import LaneChange, apply_to_relay, read_order, rests_until, tell_audit
from api.lane_schemas import LaneDetails, LaneList, LaneOrder, LaneView, RelayOrder, RelayView
from api.lane_views import known_providers, lane_view, relay_view
from api.problem_schemas import problems
from api.waiting import relay_name
from api.waking import LIMITS_KNOWN, REST_KNOWN
from api.who import By
from postwerk.archive import lanes
from postwerk.archive.lanes import RELAY, LaneState, LaneUse
from postwerk.archive.plan import OTHER_LANE
from postwerk.archive.suspensions import suspensions_in_force
from postwerk.contracts.options import DEFAULT_RELAY
from postwerk.errors import InvalidRequest, NotFound
from postwerk.rules.addresses import parse_address
from postwerk.rules.providers import is_provider, lane_of
from postwerk.rules.suspending import Suspensions

router = APIRouter(prefix="/v1", tags=["lanes"])
RelayName = Annotated[
    str | None, Query(max_length=50, description="which relay, where there are several; else the default one")
]
RECENT = timedelta(seconds=15)
"""What a worker reported longer ago says nothing about now."""


@dataclass(frozen=True, slots=True)
class _Known:
    """What is known of all lanes of the relay."""

    relay: str
    states: dict[str, LaneState]
    uses: dict[str, LaneUse]
    queued: Counter[str] | None
    queued_as_of: datetime | None
    suspensions: Suspensions
    now: datetime

    def names(self) -> set[str]:
        found = self.states.keys() | self.uses.keys() | (self.queued or {}).keys()
        return (found | set(self.suspensions.lanes(self.now))) - {RELAY}

    def view(self, request: Request, parts: Parts, name: str) -> LaneView:
        state, use = self.states.get(name) or LaneState(name), self.uses.get(name)
        return lane_view(request, parts, self.relay, state, self.suspensions, use, self.waiting(name))

    def waiting(self, name: str) -> int | None:
        return None if self.queued is None else self.queued[name]

    def relay_view(self, request: Request, parts: Parts) -> RelayView:
        return relay_view(request, parts, self.relay, self.states.get(RELAY) or LaneState(RELAY))


@router.get("/lanes", response_model=LaneList, responses=problems(409, 422, 503))
async def list_all(
    request: Request,
    parts: UseParts,
    all_: Annotated[bool, Query(alias="all", description="known providers without mail too")] = False,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
    relay: RelayName = None,
) -> LaneList:
    """The lanes of which anything is remembered or that have mail waiting, and the relay behind them."""
    known = await _look(parts, None, relay)
    names = known.names() | (set(known_providers()) if all_ else set())
    views = sorted((known.view(request, parts, name) for name in names), key=_most_telling_first)
    return LaneList(
        relay=known.relay_view(request, parts),
        relays=parts.config.relay_names,
        queued_as_of=known.queued_as_of,
        has_more=len(views) > limit,
        data=views[:limit],
    )


@router.get("/lanes/{lane}", response_model=LaneDetails, responses=problems(404, 409, 422, 503))
async def show(request: Request, parts: UseParts, lane: str, relay: RelayName = None) -> LaneDetails:
    """One lane, by its name or by any domain of its provider: `googlemail.com` answers `gmail.com`."""
    name = _lane_named(lane)
    known = await _look(parts, [name], relay)
    if not (is_provider(name) or name == OTHER_LANE or name in known.names()):
        raise NotFound(f"There is no lane {name}: it is no provider we know, and has no mail and no limits.")
    return _details(request, parts, known, name)


@router.put(
    "/lanes/{lane}",
    response_model=LaneDetails,
    responses=problems(400, 404, 409, 413, 415, 422, 503),
    openapi_extra=json_body("LaneOrder"),
)
async def order_lane(
    request: Request, parts: UseParts, actor: By, lane: str, relay: RelayName = None
) -> LaneDetails:
    """Set a lane's limits, let it rest, or end its rest.

    In force within a second or two. Batches that slept because of an old rest or pace are woken in the
    background, so mail goes on within seconds. A domain without mail may be told its limits in advance.
    """
    name = _lane_named(lane)
    order = await read_order(request, LaneOrder, actor)
    change = LaneChange(order, parts.now())
    async with parts.archive.writing() as connection:
        on = await relay_name(parts, connection, relay)
        await change.apply(connection, on, name)
        target = f"{on}/{name}" if on in parts.config.relays else name
        await tell_audit(connection, actor, "lane.set", target, order, parts.now())
    if change.ends_rest or change.quickens:
        parts.waker.wake(name, LIMITS_KNOWN if change.quickens else REST_KNOWN)
    return _details(request, parts, await _look(parts, [name], relay), name)


@router.get("/relay", response_model=RelayView, responses=problems(409, 422, 503))
async def show_relay(request: Request, parts: UseParts, relay: RelayName = None) -> RelayView:
    """The server that takes our mail: whether it gives sessions, and when it is tried again."""
    async with parts.archive.reading() as connection:
        name = await relay_name(parts, connection, relay)
        states = await lanes.lane_states(connection, name, [RELAY])
    return relay_view(request, parts, name, states.get(RELAY) or LaneState(RELAY))


@router.put(
    "/relay",
    response_model=RelayView,
    responses=problems(400, 409, 413, 415, 422, 503),
    openapi_extra=json_body("RelayOrder"),
)
async def order_relay(request: Request, parts: UseParts, actor: By, relay: RelayName = None) -> RelayView:
    """Let the relay rest (`"cool_down": "30m"`), or have it tried at once (`"cool_down": null`).

    All running batches are told in the background. The relay's rate is a setting: POSTWERK_RELAY_RATE.
    """
    order = await read_order(request, RelayOrder, actor)
    now = parts.now()
    until = rests_until(order.cool_down, now)
    async with parts.archive.writing() as connection:
        name = await relay_name(parts, connection, relay)
        state = await apply_to_relay(connection, name, order, until, now)
        await tell_audit(connection, actor, "relay.set", name, order, now)
    parts.waker.wake(None, REST_KNOWN if until is None else LIMITS_KNOWN)
    return relay_view(request, parts, name, state)


async def _look(parts: Parts, names: Iterable[str] | None, asked: str | None) -> _Known:
    """What is known of these lanes, or (None) of all, to the relay that is asked for."""
    queued = await parts.queues.counts()
    async with parts.archive.reading() as connection:
        relay = await relay_name(parts, connection, asked)
        if names is None:
            states = {state.name: state for state in await lanes.all_lane_states(connection, relay)}
        else:
            states = await lanes.lane_states(connection, relay, [*names, RELAY])
        now = parts.now()
        uses = await lanes.lanes_in_use(connection, relay, now - RECENT)
        suspended = await suspensions_in_force(connection, now)
    by_relay = queued.lanes
    own = relay if relay in parts.config.relays else DEFAULT_RELAY
    waiting = None if by_relay is None else by_relay[own]
    return _Known(relay, states, uses, waiting, queued.as_of, suspended, now)


def _details(request: Request, parts: Parts, known: _Known, name: str) -> LaneDetails:
    return LaneDetails(
        **known.view(request, parts, name).model_dump(),
        queued_as_of=known.queued_as_of,
        relay=known.relay_view(request, parts),
    )


def _lane_named(given: str) -> str:
    """The lane of a domain. Raises NotFound for what is no domain."""
    if given.lower() == OTHER_LANE:
        return OTHER_LANE
    try:
        return lane_of(parse_address(f"postmaster@{given}").rpartition("@")[2])
    except InvalidRequest as error:
        raise NotFound(
            "There is no such lane: a lane has the name of a mail domain, or is `other`."
        ) from error


def _most_telling_first(view: LaneView) -> tuple[bool, int, str]:
    return view.state == "free", -(view.queued or 0), view.lane
