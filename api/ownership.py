"""Whether what a call names belongs to its caller. What does not is not there for it: 404, as for no id."""

from __future__ import annotations

from collections.abc import Iterable

from fastapi import Request
from sqlalchemy.ext.asyncio import AsyncConnection

from api.ids import bulk_id_of, message_id_of, operation_id_of, webhook_id_of
from api.who import caller_of
from postwerk.archive import operations, reads, webhooks
from postwerk.archive.engine import Archive
from postwerk.contracts.keys import Scope
from postwerk.errors import Forbidden, NotFound

_NOT_THERE = {
    "bulk_id": "There is no bulk send with this id.",
    "message_id": "There is no message with this id.",
    "operation_id": "There is no operation with this id.",
    "webhook_id": "There is no webhook with this id.",
}


async def check_own(request: Request, archive: Archive, owner: str) -> None:
    """Raises NotFound; Forbidden when the caller may see it all the same, but not do this to it."""
    for name, value in request.path_params.items():
        async with archive.reading() as connection:
            is_own = bool(owner) and await _is_own(connection, name, str(value), owner)
        if is_own:
            continue
        if Scope.READ in caller_of(request).scopes:
            raise Forbidden
        raise NotFound(_NOT_THERE.get(name, ""))


async def _is_own(connection: AsyncConnection, name: str, value: str, owner: str) -> bool:
    """Raises NotFound for what cannot be such an id. A parameter that nobody thought about is not own."""
    match name:
        case "bulk_id":
            sends: Iterable[str] = [bulk_id_of(value)]
        case "message_id":
            sends = [message_id_of(value)[0]]
        case "operation_id":
            sends = await _sends_of(connection, operation_id_of(value))
        case "webhook_id":
            return (await webhooks.webhook(connection, webhook_id_of(value))).owner == owner
        case _:
            return False
    ids = set(sends)
    return bool(ids) and await reads.are_all_of(connection, owner, ids)


async def _sends_of(connection: AsyncConnection, operation_id: str) -> set[str]:
    """The sends that an operation names; none when it means others too."""
    wanted = (await operations.operation(connection, operation_id)).filter
    return set(wanted.bulk) or {message_id_of(one)[0] for one in wanted.ids}
