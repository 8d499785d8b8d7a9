"""Orders about API keys out of a request's body: read and checked before anything is written."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Literal

from fastapi import Request

from api.key_schemas import KeyChange, KeyRequest, KeyView, RotationRequest
from api.taking.body import whole_body
from api.taking.order_body import object_of, read_fields_of, read_object
from postwerk.archive.api_keys import ApiKey
from postwerk.archive.key_orders import KeyWish
from postwerk.rules.api_keys import read_domains, read_end, read_grace, read_name, read_quota, read_scopes

MOST_BYTES = 64 * 1024


async def read_key(request: Request, now: datetime) -> KeyWish:
    """Raises MalformedBody, InvalidFields, InvalidRequest."""
    order = read_fields_of(await read_object(request, MOST_BYTES), KeyRequest)
    return KeyWish(
        name=read_name(order.name),
        scopes=read_scopes(order.scopes),
        domains=read_domains(order.domains),
        quota=read_quota(order.quota),
        expires_at=read_end(order.expires, now),
    )


async def read_change(request: Request, now: datetime) -> dict[str, Any]:
    """The columns that are to change. Raises MalformedBody, InvalidFields, InvalidRequest."""
    order = read_fields_of(await read_object(request, MOST_BYTES), KeyChange)
    given = order.model_fields_set
    changes: dict[str, Any] = {}
    if "name" in given:
        changes["name"] = read_name(order.name or "")
    if "domains" in given:
        changes["domains"] = read_domains(order.domains)
    if "quota" in given:
        changes["quota"] = read_quota(order.quota)
    if "expires" in given:
        changes["expires_at"] = read_end(order.expires, now)
    return changes


async def read_rotation(
    request: Request, now: datetime
) -> tuple[timedelta, datetime | Literal["as_before"] | None]:
    """How long the old key goes on, and the end of the new one. The body may be left out."""
    body = await whole_body(request, MOST_BYTES)
    order = read_fields_of(object_of(body), RotationRequest) if body else RotationRequest()
    grace = read_grace(order.grace)
    return grace, read_end(order.expires, now) if "expires" in order.model_fields_set else "as_before"


def key_fields(key: ApiKey, now: datetime, left: int | None = None) -> dict[str, Any]:
    """The fields of a KeyView."""
    return {
        "id": key.id,
        "name": key.name,
        "prefix": key.prefix,
        "state": key.state(now),
        "scopes": list(key.scopes),
        "domains": None if key.domains is None else list(key.domains),
        "quota": key.quota or None,
        "quota_left": left,
        "owner": key.owner,
        "rotates": key.rotates or None,
        "created_at": key.created_at,
        "created_by": key.created_by,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
        "last_used_at": key.last_used_at,
    }


def key_view(key: ApiKey, now: datetime, left: int | None = None) -> KeyView:
    return KeyView(**key_fields(key, now, left))
