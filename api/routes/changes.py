"""Changing a bulk send that is there already."""

from __future__ import annotations

from fastapi import APIRouter, Request

from api.bulk_orders import set_deadline
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
    """Change rate, retry schedule, relay, deadline or name; of a running send too.

    In force within two seconds, also for mail that waits already: batches that sleep because of the old
    options are woken in the background. A new retry schedule moves the messages that wait by the old one.
    What is at the old relay in that moment ends there.
    """
    bulk_id = bulk_id_of(bulk_id)
    wanted = Change(read_fields_of(await read_object(request, MOST_BYTES), BulkSendChange), parts.config)
    await _move_deadline(parts, bulk_id, wanted)
    async with parts.archive.writing() as connection:
        consequences = await wanted.apply(connection, bulk_id, actor, parts.now())
    parts.follower.follow(bulk_id, consequences)
    return await view_of(request, parts, bulk_id)


async def _move_deadline(parts: Parts, bulk_id: str, wanted: Change) -> None:
    """Temporal keeps the timers, so the workflow is told first. Raises Unavailable: nothing is changed."""
    async with parts.archive.reading() as connection:
        send = await reads.bulk_send(connection, bulk_id)
    deadline = wanted.new_deadline(send, parts.now())
    if deadline is not None and send.state not in ENDED:
        await set_deadline(parts, send, deadline)
