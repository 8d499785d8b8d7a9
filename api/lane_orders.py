"""An operator's order for a lane or the relay: read, checked, and written down."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

from fastapi import Request
from sqlalchemy.ext.asyncio import AsyncConnection

from api.lane_schemas import LaneOrder, Order, RelayOrder
from api.taking.order_body import check_words, read_fields_of, read_object
from api.who import caller_of
from postwerk.archive import lanes
from postwerk.archive.audit import Actor, write_audit
from postwerk.archive.lanes import LaneState
from postwerk.errors import InvalidRequest
from postwerk.rules.durations import bounded_duration
from postwerk.rules.pace import Rate
from postwerk.rules.providers import LaneLimits

T = TypeVar("T", bound=Order)

MOST_BYTES = 64 * 1024
SHORTEST, LONGEST_REST, LONGEST = timedelta(seconds=1), timedelta(days=7), timedelta(days=365)
_LIMITS = {"rate", "connections", "messages_per_connection"}
_OURS = {lanes.REPLY, lanes.EVIDENCE, lanes.SESSION}


async def read_order(request: Request, kind: type[T], actor: Actor) -> T:
    """The body as an order, signed by its `by`, else by who is behind the call.

    Raises MalformedBody, InvalidFields naming each wrong field, InvalidRequest.
    """
    order = read_fields_of(await read_object(request, MOST_BYTES), kind)
    check_words(order.reason, "#/reason")
    check_words(order.by, "#/by")
    by = caller_of(request).signed(order.by) if "by" in order.model_fields_set else actor.by
    if by in _OURS:
        raise InvalidRequest(
            "This is how Postwerk itself signs; name somebody else.", pointer="#/by", code="reserved"
        )
    return order.model_copy(update={"by": by})


async def tell_audit(
    connection: AsyncConnection, actor: Actor, action: str, target: str, order: Order, now: datetime
) -> None:
    """What was ordered, as it was written. In the transaction that does it."""
    details = order.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude={"reason", "by"})
    signed = replace(actor, by=order.by)
    await write_audit(
        connection, signed, action, at=now, target=target, reason=order.reason, details=details or None
    )


class LaneChange:
    """What an order changes on a lane. Built, and so checked, before anything is written."""

    def __init__(self, order: LaneOrder, now: datetime) -> None:
        given = order.model_fields_set
        self._order = order
        self._now = now
        self.sets_limits = bool(given & _LIMITS) or "cool_down" not in given
        self.sets_rest = "cool_down" in given
        self._limits = LaneLimits(
            order.connections,
            order.messages_per_connection,
            Rate.parse(order.rate, pointer="#/rate") if order.rate is not None else None,
        )
        self._until = self._end_of_limits()
        self._rests_until = rests_until(order.cool_down, now)
        self.ends_rest = False
        """Known once it is applied."""
        self.quickens = False

    async def apply(self, connection: AsyncConnection, relay: str, lane: str) -> LaneState:
        """Write it down. In a writing transaction."""
        before = (await lanes.lane_states(connection, relay, [lane])).get(lane, LaneState(lane))
        after = before
        if self.sets_limits:
            after = await lanes.set_limits(
                connection,
                relay,
                lane,
                self._limits,
                by=self._order.by,
                reason=self._order.reason,
                now=self._now,
                until=self._until,
            )
            self.quickens = _interval(after, self._now) < _interval(before, self._now)
        if self.sets_rest:
            after = await lanes.cool_by_hand(
                connection,
                relay,
                lane,
                until=self._rests_until,
                by=self._order.by,
                reason=self._order.reason,
                now=self._now,
            )
            slow = before.slow_interval is not None
            self.ends_rest = self._rests_until is None and (before.cools(self._now) or slow)
        return after

    def _end_of_limits(self) -> datetime | None:
        """Raises InvalidRequest pointing at `for` or `until`."""
        order = self._order
        if order.for_ is None and order.until is None:
            return None
        pointer = "#/until" if order.for_ is None else "#/for"
        if order.for_ is not None and order.until is not None:
            raise InvalidRequest("Give `for` or `until`, not both.", pointer=pointer, code="two_ends")
        if self._limits == LaneLimits():
            raise InvalidRequest(
                "This is the end of limits; name a limit. A rest ends by itself.",
                pointer=pointer,
                code="no_limit",
            )
        if order.until is None:
            return self._now + bounded_duration(order.for_, SHORTEST, LONGEST, pointer=pointer)
        if not self._now < order.until <= self._now + LONGEST:
            raise InvalidRequest(
                "This must lie in the future, within 365 days.", pointer=pointer, code="out_of_range"
            )
        return order.until


def rests_until(cool_down: Any, now: datetime) -> datetime | None:
    """The end of the rest that is asked for; None when it is to end. Raises InvalidRequest."""
    if cool_down is None or cool_down is False:
        return None
    return now + bounded_duration(cool_down, SHORTEST, LONGEST_REST, pointer="#/cool_down")


async def apply_to_relay(
    connection: AsyncConnection, relay: str, order: RelayOrder, until: datetime | None, now: datetime
) -> LaneState:
    return await lanes.cool_by_hand(
        connection, relay, lanes.RELAY, until=until, by=order.by, reason=order.reason, now=now
    )


def _interval(state: LaneState, now: datetime) -> int:
    """Microseconds between two messages by the rate in force."""
    rate = state.rate(now)
    return rate.interval if rate else 0
