"""Taking one transactional mail: checked, stored, and its workflow started."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from api.dependencies import Parts
from api.request_schemas import CoalesceRequest, MessageRequest
from api.taking.content import resolve
from api.taking.request import new_message_send
from postwerk.archive.coalescing import Coalescing, wait_with_others
from postwerk.archive.message_intake import store_message
from postwerk.contracts.states import MessageState
from postwerk.errors import InvalidRequest
from postwerk.rules.durations import bounded_duration
from postwerk.rules.recipients import new_recipient
from postwerk.rules.starting import start_order

SHORTEST_WINDOW, LONGEST_WINDOW = timedelta(seconds=1), timedelta(days=7)


@dataclass(frozen=True, slots=True)
class TakenMessage:
    """A message that is stored, whatever becomes of it."""

    bulk_id: str
    state: MessageState


Remember = Callable[[AsyncConnection, TakenMessage], Awaitable[None]]


async def take_message(
    parts: Parts, request: MessageRequest, *, bulk_id: str, owner: str, remember: Remember
) -> TakenMessage:
    """Store it under an id that was made before, and start it or hand it to those of its key.

    Once this returns it survives any crash. `remember` is done in the transaction that stores it. Raises
    InvalidRequest pointing at the field.
    """
    request = await resolve(parts, request)
    new = new_message_send(
        request,
        parts.config.retry,
        parts.config.relay_names,
        parts.now(),
        bulk_id=bulk_id,
        owner=owner,
        public_url=parts.config.public_url,
    )
    recipient = new_recipient(request.to, None, request.variables, request.metadata)
    wish = _coalescing(request.coalesce)
    async with parts.archive.writing() as connection:
        batches = await store_message(connection, new, recipient, parts.now())
        # One that is suppressed folds nobody: it ends by itself.
        arrival = None
        if wish is not None and batches:
            arrival = await wait_with_others(connection, new.id, owner, wish, parts.now)
        taken = TakenMessage(new.id, MessageState.QUEUED if batches else MessageState.SUPPRESSED)
        await remember(connection, taken)
    if arrival is not None:
        await parts.starter.hand_in(arrival)
    else:
        await parts.starter.start(start_order(new.id, 1, new.options, batches, kind=new.kind), new.name)
    return taken


def _coalescing(given: CoalesceRequest | None) -> Coalescing | None:
    if given is None:
        return None
    if not given.key.isprintable():
        raise InvalidRequest("The key must be printable text.", pointer="#/coalesce/key", code="invalid_text")
    window = bounded_duration(given.window, SHORTEST_WINDOW, LONGEST_WINDOW, pointer="#/coalesce/window")
    return Coalescing(given.key, given.rank, window)
