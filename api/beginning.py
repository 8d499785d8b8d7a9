"""When a bulk send begins: said as its list is closed, or changed before it has begun."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from api.dependencies import Parts
from api.operation_orders import order_or_default
from api.operation_schemas import StartOrder
from api.taking.times import check_times, read_beginning
from postwerk.archive import changing, reads
from postwerk.archive.audit import Actor, write_audit
from postwerk.archive.intake import queue_bulk_send
from postwerk.archive.reads import BulkSend
from postwerk.contracts.states import ENDED, BulkState
from postwerk.errors import Conflict, InvalidRequest

STARTED = "bulk.start"


def read_start(body: bytes) -> StartOrder:
    """The body of `/start`, which may be left out. Raises MalformedBody, InvalidRequest."""
    return order_or_default(body, StartOrder)


async def start_list(parts: Parts, bulk_id: str, order: StartOrder, actor: Actor | None = None) -> None:
    """Close the list of an open bulk send and start it; one that is started already stays as it is.

    An `actor` gets an entry in the audit trail. Raises InvalidRequest, Conflict, NotFound.
    """
    now = parts.now()
    async with parts.archive.writing() as connection:
        send = await reads.bulk_send(connection, bulk_id)
        if send.state is BulkState.OPEN and not send.accepted:
            raise InvalidRequest("It has no recipients yet.", code="no_recipients")
        if send.state in ENDED or send.state is BulkState.CANCELLING:
            raise Conflict(f"This bulk send is {send.state}.")
        queued = await close_list(connection, send, order, now)
        if queued and actor is not None:
            await write_audit(connection, actor, STARTED, at=now, target=bulk_id, count=send.accepted)
    if queued:
        await parts.starter.start_stored(bulk_id, parts.now())


async def close_list(connection: AsyncConnection, send: BulkSend, order: StartOrder, now: datetime) -> bool:
    """Accept an open send, to begin when the order says, or the request did. False: it is accepted already.

    Raises InvalidRequest. In the writing transaction that read the send.
    """
    if send.accepted_at is not None:
        return False
    begins_at = send.options.send_at
    if "send_at" in order.model_fields_set:
        begins_at = read_beginning(order.send_at, now)
    if begins_at is not None and begins_at <= now:
        begins_at = None
    options = send.options.model_copy(update={"send_at": begins_at})
    check_times(options, begins_at or now, now)
    if options != send.options:
        await changing.change_options(connection, send.id, options)
    return await queue_bulk_send(connection, send.id, now, options)
