"""Changing a bulk send that is there already."""

from __future__ import annotations

from fastapi import APIRouter, Request

from api.bulk_orders import set_beginning, set_deadline, set_expiry
from api.change_schemas import BulkSendChange
from api.changing import Change
from api.dependencies import Parts, UseParts
from api.ids import bulk_id_of
from api.problem_schemas import problems
from api.schemas import BulkSendView
from api.sending_view import view_of
from api.taking.order_body import read_fields_of, read_object
from api.who import By
from postwerk.archive import reads
from postwerk.contracts.states import ENDED

router = APIRouter(prefix="/v1/bulk-sends", tags=["bulk sends"])
MOST_BYTES = 64 * 1024
_SCHEMA = {"$ref": "#/components/schemas/BulkSendChange"}


@router.patch(
    "/{bulk_id}",
    response_model=BulkSendView,
    responses=problems(400, 404, 409, 413, 415, 422, 503),
    openapi_extra={"requestBody": {"required": True, "content": {"application/json": {"schema": _SCHEMA}}}},
)
async def change(request: Request, parts: UseParts, actor: By, bulk_id: str) -> BulkSendView:
    """Change rate, retry schedule, relay, times, window or name; of a running send too.

    In force within two seconds, also for mail that waits already: batches that sleep because of the old
    options are woken in the background. A new retry schedule moves the messages that wait by the old one.
    What is at the old relay in that moment ends there.
    """
    bulk_id = bulk_id_of(bulk_id)
    wanted = Change(read_fields_of(await read_object(request, MOST_BYTES), BulkSendChange), parts.config)
    if wanted.moves_times:
        await _move_times(parts, bulk_id, wanted)
    async with parts.archive.writing() as connection:
        consequences = await wanted.apply(connection, bulk_id, actor, parts.now())
    parts.follower.follow(bulk_id, consequences)
    return await view_of(request, parts, bulk_id)


async def _move_times(parts: Parts, bulk_id: str, wanted: Change) -> None:
    """Temporal keeps the timers, so the workflow is told first. Raises Unavailable: nothing is changed."""
    async with parts.archive.reading() as connection:
        send = await reads.bulk_send(connection, bulk_id)
    told = wanted.told(send, parts.now())
    if send.state in ENDED or send.accepted_at is None:
        return
    if told.begins_at is not None:
        await set_beginning(parts, send, told.begins_at)
    if told.expires:
        await set_expiry(parts, send, told.expires_at)
    if told.deadline is not None:
        await set_deadline(parts, send, told.deadline, told.expires_at)
