"""Orders about webhooks out of a request's body: read and checked before anything is written."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, TypeVar

from pydantic import BaseModel

from api.dependencies import Parts
from api.ids import id_cursor
from api.taking.order_body import object_of, read_fields_of
from api.taking.times import read_moment
from api.webhook_schemas import (
    BatchingRequest,
    SecretRotation,
    WebhookChange,
    WebhookReplayRequest,
    WebhookRequest,
)
from postwerk.archive.event_cursor import Cursor
from postwerk.archive.webhooks import Webhook, new_secret
from postwerk.contracts.webhooks import WebhookState
from postwerk.errors import InvalidRequest
from postwerk.rules.durations import bounded_duration
from postwerk.rules.webhook_targets import read_target
from postwerk.rules.webhook_types import read_types
from postwerk.webhooks.addresses import NotPublic, ResolverAway, Unresolved, checked_addresses

T = TypeVar("T", bound=BaseModel)

MOST_BYTES = 64 * 1024
LONGEST_KEPT = timedelta(days=30)
BY_HAND = "disabled by hand"


def read_order(body: bytes, kind: type[T], *, required: bool = True) -> T:
    """Raises MalformedBody, InvalidFields."""
    return read_fields_of(object_of(body) if body or required else {}, kind)


async def new_webhook(
    parts: Parts, wanted: WebhookRequest, webhook_id: str, owner: str, cursor: Cursor, now: datetime
) -> Webhook:
    """Raises InvalidRequest."""
    state = WebhookState(wanted.state)
    return Webhook(
        id=webhook_id,
        owner=owner,
        url=await checked_url(parts, wanted.url),
        description=_words(wanted.description),
        types=read_types(wanted.types),
        repeated=wanted.repeated,
        **_batching(wanted.batching),
        state=state,
        reason=BY_HAND if state is WebhookState.DISABLED else "",
        cursor=cursor,
        created_at=now,
        changed_at=None,
        secret=new_secret(),
    )


async def read_change(parts: Parts, wanted: WebhookChange) -> dict[str, Any]:
    """The fields of a Webhook that are to change. Raises InvalidRequest."""
    given, changes = wanted.model_fields_set, dict[str, Any]()
    if not given:
        raise InvalidRequest("Name at least one field to change.", code="nothing_to_change")
    for name in given - {"types"}:
        if getattr(wanted, name) is None:
            raise InvalidRequest("This cannot be null.", pointer=f"#/{name}", code="missing")
    if wanted.url is not None:
        changes["url"] = await checked_url(parts, wanted.url)
    if wanted.description is not None:
        changes["description"] = _words(wanted.description)
    if "types" in given:
        changes["types"] = read_types(wanted.types)
    if wanted.repeated is not None:
        changes["repeated"] = wanted.repeated
    if wanted.batching is not None:
        changes |= _batching(wanted.batching)
    if wanted.state is not None:
        changes |= state_changes(WebhookState(wanted.state))
    return changes


def state_changes(state: WebhookState) -> dict[str, Any]:
    return {"state": state, "reason": BY_HAND if state is WebhookState.DISABLED else ""}


async def checked_url(parts: Parts, text: str) -> str:
    """As it is called. Raises InvalidRequest: it cannot be, or leads to where it may not."""
    target = read_target(text, private=parts.wire.private)
    try:
        await checked_addresses(target.host, parts.wire.resolve, private=parts.wire.private)
    except NotPublic:
        raise InvalidRequest(
            "This host has an address that is not a public one.", pointer="#/url", code="address_not_public"
        ) from None
    except Unresolved:
        raise InvalidRequest("There is no host of this name.", pointer="#/url", code="unknown_host") from None
    except ResolverAway:
        pass  # it is checked again each time it is called
    return target.url


def read_keeping(order: SecretRotation) -> timedelta:
    """How long the former secret signs. Raises InvalidRequest."""
    return bounded_duration(order.keep_former_for, timedelta(0), LONGEST_KEPT, pointer="#/keep_former_for")


def read_since(order: WebhookReplayRequest) -> Cursor | datetime | None:
    """Just before the event that is named, or the moment; None: a delivery. Raises InvalidRequest."""
    if (order.since is None) == (order.delivery is None):
        raise InvalidRequest("Name either `since` or `delivery`.", pointer="#/since", code="missing")
    if order.since is None:
        return None
    if not order.since.startswith("evt_"):
        return read_moment(order.since, "#/since")
    try:
        return before(Cursor.parse(order.since))
    except InvalidRequest as error:
        raise InvalidRequest(error.message, pointer="#/since", code=error.code) from None


def before(cursor: Cursor) -> Cursor:
    """So that what comes behind begins with this event itself."""
    return Cursor(cursor.xid, max(cursor.id - 1, 0))


def read_delivery_id(text: str) -> str:
    """Raises InvalidRequest."""
    try:
        return id_cursor(text, "whd") or ""
    except InvalidRequest:
        raise InvalidRequest(
            "This is no id of a delivery.", pointer="#/delivery", code="invalid_id"
        ) from None


def _batching(wanted: BatchingRequest) -> dict[str, Any]:
    return {
        "max_events": wanted.max_events,
        "max_wait": timedelta(milliseconds=wanted.max_wait_ms),
    }


def _words(text: str) -> str:
    if not text.isprintable():
        raise InvalidRequest("Write it on one line.", pointer="#/description", code="invalid_text")
    return text.strip()
