"""Schedules: bulk sends that are sent again and again."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from api import schedule_orders
from api.body_schemas import json_body
from api.dependencies import UseParts
from api.ids import id_cursor, schedule_id_of
from api.operation_orders import read_reason
from api.parameters import only_parameters
from api.problem_schemas import problems
from api.schedule_schemas import (
    ScheduleChange,
    ScheduleFired,
    ScheduleList,
    ScheduleRequest,
    ScheduleView,
)
from api.schedule_views import schedule_view, times_of
from api.taking.schedules import read_schedule
from api.who import By, WhoCalls
from postwerk.archive import schedules
from postwerk.contracts.schedules import ScheduleState
from postwerk.errors import InvalidRequest

router = APIRouter(prefix="/v1/schedules", tags=["schedules"])


@router.post(
    "",
    status_code=202,
    response_model=ScheduleView,
    responses=problems(400, 413, 415, 422, 503),
    openapi_extra=json_body("ScheduleRequest"),
)
async def create(
    request: Request, response: Response, parts: UseParts, actor: By, caller: WhoCalls
) -> ScheduleView:
    """Send the same again and again: a fresh bulk send is made at each of its times.

    Once this answered 202 the schedule is stored and survives any crash; while Temporal is away it is
    `in_force` later. A time at which the last send is still being made is left out, and so is one that was
    missed by more than an hour. Every recipient has to be right.
    """
    only_parameters(request)
    wanted, model = await read_schedule(request, ScheduleRequest, parts.config.max_body_bytes)
    if model is None:
        raise InvalidRequest("Say what is sent.", pointer="#/bulk_send", code="missing")
    made = await schedule_orders.create(parts, wanted, model, actor, caller)
    answer = await _view(request, parts, made.id)
    response.headers["Location"] = answer.links["self"]
    return answer


@router.get("", response_model=ScheduleList, responses=problems(422, 503))
async def list_all(
    request: Request,
    parts: UseParts,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    after: Annotated[str | None, Query(max_length=100)] = None,
) -> ScheduleList:
    """The schedules, newest first."""
    only_parameters(request, "limit", "after")
    async with parts.archive.reading() as connection:
        found = await schedules.schedules(connection, limit=limit + 1, after=id_cursor(after, "sch"))
        models = [await schedules.model_of(connection, one) for one in found[:limit]]
    page = [
        schedule_view(request, parts, one, model, None) for one, model in zip(found, models, strict=False)
    ]
    has_more = len(found) > limit
    return ScheduleList(has_more=has_more, next=page[-1].id if has_more else None, data=page)


@router.get("/{schedule_id}", response_model=ScheduleView, responses=problems(404, 422, 503))
async def show(request: Request, parts: UseParts, schedule_id: str) -> ScheduleView:
    """One schedule, and when it comes next."""
    only_parameters(request)
    return await _view(request, parts, schedule_id_of(schedule_id))


@router.patch(
    "/{schedule_id}",
    response_model=ScheduleView,
    responses=problems(400, 404, 409, 413, 415, 422, 503),
    openapi_extra=json_body("ScheduleChange"),
)
async def change(
    request: Request, parts: UseParts, actor: By, caller: WhoCalls, schedule_id: str
) -> ScheduleView:
    """Change its name, its times, or what is sent; sends that are made already stay as they are."""
    only_parameters(request)
    schedule_id = schedule_id_of(schedule_id)
    wanted, model = await read_schedule(request, ScheduleChange, parts.config.max_body_bytes)
    await schedule_orders.change(parts, schedule_id, wanted, model, actor, caller)
    return await _view(request, parts, schedule_id)


@router.post(
    "/{schedule_id}/pause",
    status_code=202,
    response_model=ScheduleView,
    responses=problems(400, 404, 409, 413, 422, 503),
    openapi_extra=json_body("ReasonOrder"),
)
async def pause(request: Request, parts: UseParts, actor: By, schedule_id: str) -> ScheduleView:
    """Make no more sends of it for now. Those that are under way go on."""
    only_parameters(request)
    schedule_id, reason = schedule_id_of(schedule_id), await read_reason(request, required=True)
    await schedule_orders.set_state(parts, schedule_id, ScheduleState.PAUSED, reason, actor)
    return await _view(request, parts, schedule_id)


@router.post(
    "/{schedule_id}/resume",
    status_code=202,
    response_model=ScheduleView,
    responses=problems(400, 404, 409, 413, 422, 503),
    openapi_extra=json_body("ReasonOrder", required=False),
)
async def resume(request: Request, parts: UseParts, actor: By, schedule_id: str) -> ScheduleView:
    """Go on at its next time; what was left out meanwhile is not made up for."""
    only_parameters(request)
    schedule_id, reason = schedule_id_of(schedule_id), await read_reason(request, required=False)
    await schedule_orders.set_state(parts, schedule_id, ScheduleState.ACTIVE, reason, actor)
    return await _view(request, parts, schedule_id)


@router.post(
    "/{schedule_id}/trigger",
    status_code=202,
    response_model=ScheduleFired,
    responses=problems(400, 404, 409, 413, 422, 503),
    openapi_extra=json_body("ReasonOrder", required=False),
)
async def trigger(request: Request, parts: UseParts, actor: By, schedule_id: str) -> ScheduleFired:
    """Make one send of it now, also while it is paused. Its times stay as they are."""
    only_parameters(request)
    schedule_id, reason = schedule_id_of(schedule_id), await read_reason(request, required=False)
    return await schedule_orders.trigger(parts, schedule_id, reason, actor)


@router.delete("/{schedule_id}", status_code=204, responses=problems(404, 422, 503))
async def delete(request: Request, parts: UseParts, actor: By, schedule_id: str) -> Response:
    """No more sends are made of it; those that are there stay."""
    only_parameters(request)
    await schedule_orders.set_state(parts, schedule_id_of(schedule_id), ScheduleState.DELETED, "", actor)
    return Response(status_code=204)


async def _view(request: Request, parts: UseParts, schedule_id: str) -> ScheduleView:
    async with parts.archive.reading() as connection:
        found = await schedules.schedule(connection, schedule_id)
        model = await schedules.model_of(connection, found)
    return schedule_view(request, parts, found, model, await times_of(parts, found))
