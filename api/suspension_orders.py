"""An order to suspend a destination: read and checked."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from fastapi import Request

from api.suspension_schemas import SuspensionOrder
from api.taking.order_body import check_words, read_fields_of, read_object
from postwerk.errors import InvalidRequest
from postwerk.rules.addresses import parse_address
from postwerk.rules.durations import bounded_duration
from postwerk.rules.providers import OTHER_LANE, lane_of
from postwerk.rules.suspending import SuspensionKind

MOST_BYTES = 64 * 1024
SHORTEST, LONGEST = timedelta(seconds=1), timedelta(days=30)


@dataclass(frozen=True, slots=True)
class WantedSuspension:
    """What is to be suspended: a domain in normal form, or a lane."""

    kind: SuspensionKind
    name: str
    until: datetime
    reason: str


async def read_suspension(request: Request, now: datetime) -> WantedSuspension:
    """Raises MalformedBody, InvalidFields, and InvalidRequest pointing at the field."""
    order = read_fields_of(await read_object(request, MOST_BYTES), SuspensionOrder)
    kind, name = _destination(order)
    if not order.reason.strip():
        raise InvalidRequest("Say why.", pointer="#/reason", code="reason_required")
    check_words(order.reason, "#/reason")
    if order.for_ is None:
        raise InvalidRequest("Say for how long.", pointer="#/for", code="missing")
    until = now + bounded_duration(order.for_, SHORTEST, LONGEST, pointer="#/for")
    return WantedSuspension(kind, name, until, order.reason)


def _destination(order: SuspensionOrder) -> tuple[SuspensionKind, str]:
    if order.domain is not None and order.provider is not None:
        raise InvalidRequest(
            "Name a domain or a provider, not both.", pointer="#/provider", code="both_given"
        )
    if order.domain is not None:
        return SuspensionKind.DOMAIN, _domain(order.domain, "#/domain")
    if order.provider is None:
        raise InvalidRequest("Name a domain or a provider.", pointer="#/domain", code="missing")
    if order.provider.lower() == OTHER_LANE:
        return SuspensionKind.PROVIDER, OTHER_LANE
    return SuspensionKind.PROVIDER, lane_of(_domain(order.provider, "#/provider"))


def _domain(given: str, pointer: str) -> str:
    """In normal form, as addresses are kept."""
    try:
        return parse_address(f"postmaster@{given}").rpartition("@")[2]
    except InvalidRequest as error:
        raise InvalidRequest(
            'This is not a mail domain; write it like "gmx.de".', pointer=pointer, code="invalid_domain"
        ) from error
