"""API keys: made, shown, changed, rotated, revoked."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy.ext.asyncio import AsyncConnection

from api.body_schemas import json_body
from api.dependencies import Parts, UseParts
from api.ids import api_key_id_of, id_cursor
from api.key_orders import key_fields, key_view, read_change, read_key, read_rotation
from api.key_schemas import KeyList, KeyView, NewKeyView
from api.parameters import only_parameters
from api.problem_schemas import problems
from api.views import base_url
from api.who import By
from postwerk.archive import api_keys, key_orders
from postwerk.archive.api_keys import ApiKey
from postwerk.archive.key_orders import NewKey
from postwerk.archive.quotas import quota_left

router = APIRouter(prefix="/v1/api-keys", tags=["API keys"])


@router.post(
    "",
    status_code=201,
    response_model=NewKeyView,
    responses=problems(400, 409, 413, 422, 503),
    openapi_extra=json_body("KeyRequest"),
)
async def create(request: Request, response: Response, parts: UseParts, actor: By) -> NewKeyView:
    """Make a key. The answer holds it, once."""
    only_parameters(request)
    wish = await read_key(request, parts.now())
    async with parts.archive.writing() as connection:
        made = await key_orders.create_key(connection, wish, actor, parts.now())
    return _shown_once(request, response, parts, made)


@router.get("", response_model=KeyList, responses=problems(422, 503))
async def list_all(
    request: Request,
    parts: UseParts,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    after: Annotated[str | None, Query(max_length=100)] = None,
) -> KeyList:
    """The keys, newest first, ended ones too; none of them in full."""
    only_parameters(request, "limit", "after")
    async with parts.archive.reading() as connection:
        found = await api_keys.api_keys(connection, limit=limit + 1, after=id_cursor(after, "key"))
    page, has_more, now = found[:limit], len(found) > limit, parts.now()
    return KeyList(
        has_more=has_more,
        next=page[-1].id if has_more else None,
        data=[key_view(key, now) for key in page],
    )


@router.get("/{key_id}", response_model=KeyView, responses=problems(404, 422, 503))
async def show(request: Request, parts: UseParts, key_id: str) -> KeyView:
    """One key, and what is left of its quota."""
    only_parameters(request)
    async with parts.archive.reading() as connection:
        key = await api_keys.api_key(connection, api_key_id_of(key_id))
        return await _view(connection, parts, key)


@router.patch(
    "/{key_id}",
    response_model=KeyView,
    responses=problems(400, 404, 409, 413, 422, 503),
    openapi_extra=json_body("KeyChange"),
)
async def change(request: Request, parts: UseParts, actor: By, key_id: str) -> KeyView:
    """Another name, other domains, another quota or end. In force within a second."""
    only_parameters(request)
    key_id, changes = api_key_id_of(key_id), await read_change(request, parts.now())
    async with parts.archive.writing() as connection:
        key = await api_keys.api_key(connection, key_id)
        key = await key_orders.edit_key(connection, key, changes, actor, parts.now())
        view = await _view(connection, parts, key)
    parts.keys.forget()
    return view


@router.post(
    "/{key_id}/rotate",
    status_code=201,
    response_model=NewKeyView,
    responses=problems(400, 404, 409, 413, 422, 503),
    openapi_extra=json_body("RotationRequest", required=False),
)
async def rotate(request: Request, response: Response, parts: UseParts, actor: By, key_id: str) -> NewKeyView:
    """A new key with the same rights, quota and sends; the old one goes on for a while."""
    only_parameters(request)
    key_id, (grace, expires_at) = api_key_id_of(key_id), await read_rotation(request, parts.now())
    async with parts.archive.writing() as connection:
        old = await api_keys.api_key(connection, key_id)
        made = await key_orders.rotate_key(
            connection, old, grace=grace, expires_at=expires_at, actor=actor, now=parts.now()
        )
    parts.keys.forget()
    return _shown_once(request, response, parts, made)


@router.delete("/{key_id}", response_model=KeyView, responses=problems(404, 422, 503))
async def revoke(request: Request, parts: UseParts, actor: By, key_id: str) -> KeyView:
    """End it for good: refused here from now on, by other processes after a second at most."""
    only_parameters(request)
    async with parts.archive.writing() as connection:
        key = await api_keys.api_key(connection, api_key_id_of(key_id))
        key = await key_orders.revoke_key(connection, key, actor, parts.now())
    parts.keys.forget()
    return key_view(key, parts.now())


async def _view(connection: AsyncConnection, parts: Parts, key: ApiKey) -> KeyView:
    now = parts.now()
    left = await quota_left(connection, key.owner, key.quota, now) if key.quota else None
    return key_view(key, now, left)


def _shown_once(request: Request, response: Response, parts: Parts, made: NewKey) -> NewKeyView:
    parts.keys.forget()
    response.headers["Location"] = f"{base_url(request, parts)}/v1/api-keys/{made.key.id}"
    return NewKeyView(**key_fields(made.key, parts.now()), key=made.text)
