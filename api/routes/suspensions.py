"""Suspensions: destinations that get no mail for a while, by an operator's word."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from api.dependencies import UseParts
from api.ids import id_cursor, suspension_id_of
from api.parameters import only_parameters
from api.problem_schemas import problems
from api.suspension_orders import read_suspension
from api.suspension_schemas import SuspensionList, SuspensionView
from api.suspension_views import suspension_view
from api.waking import REST_KNOWN
from api.who import By
from postwerk.archive import suspensions

router = APIRouter(prefix="/v1/suspensions", tags=["suspensions"])
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/SuspensionOrder"}}},
    }
}


@router.post(
    "",
    status_code=201,
    response_model=SuspensionView,
    responses=problems(400, 413, 415, 422, 503),
    openapi_extra=_BODY,
)
async def create(request: Request, parts: UseParts, actor: By) -> SuspensionView:
    """Send nothing more to a domain or a provider for a while.

    No SMTP transaction to it begins later than five seconds after the answer. What is due waits until the
    end, at the cost of no attempt; deadlines go on. Several may overlap: the last to end counts.
    """
    only_parameters(request)
    now = parts.now()
    wanted = await read_suspension(request, now)
    async with parts.archive.writing() as connection:
        made = await suspensions.suspend(
            connection,
            wanted.kind,
            wanted.name,
            until=wanted.until,
            reason=wanted.reason,
            actor=actor,
            now=now,
        )
    return suspension_view(made, now)


@router.get("", response_model=SuspensionList, responses=problems(422, 503))
async def list_all(
    request: Request,
    parts: UseParts,
    active: Annotated[bool | None, Query(description="in force, or not any more")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    after: Annotated[str | None, Query(max_length=100)] = None,
) -> SuspensionList:
    """The suspensions, newest first, ended ones too."""
    only_parameters(request, "active", "limit", "after")
    now, last_seen = parts.now(), id_cursor(after, "sus")
    async with parts.archive.reading() as connection:
        found = await suspensions.suspensions(
            connection, now, active=active, limit=limit + 1, after=last_seen
        )
    page, has_more = found[:limit], len(found) > limit
    return SuspensionList(
        has_more=has_more,
        next=page[-1].id if has_more else None,
        data=[suspension_view(one, now) for one in page],
    )


@router.get("/{suspension_id}", response_model=SuspensionView, responses=problems(404, 422, 503))
async def show(request: Request, parts: UseParts, suspension_id: str) -> SuspensionView:
    """One suspension."""
    only_parameters(request)
    async with parts.archive.reading() as connection:
        found = await suspensions.suspension(connection, suspension_id_of(suspension_id))
    return suspension_view(found, parts.now())


@router.delete("/{suspension_id}", response_model=SuspensionView, responses=problems(404, 422, 503))
async def end(request: Request, parts: UseParts, actor: By, suspension_id: str) -> SuspensionView:
    """End it now; waiting mail goes within seconds. One that has ended stays as it is."""
    only_parameters(request)
    now = parts.now()
    async with parts.archive.writing() as connection:
        found, was_active = await suspensions.end_suspension(
            connection, suspension_id_of(suspension_id), actor, now
        )
    if was_active:
        for lane in found.destination.lanes:
            parts.waker.wake(lane, REST_KNOWN)
    return suspension_view(found, now)
