"""An operation on whole bulk sends acts on the sends themselves: at once, however large they are."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace

from api import bulk_orders
from api.dependencies import Parts
from postwerk.archive.audit import Actor
from postwerk.archive.operations import Operation, new_operation, store_operation
from postwerk.archive.queue_filter import SendInQuestion, sends_in_question
from postwerk.contracts.queue import OperationState, QueueFilter, Verb
from postwerk.contracts.states import OPEN_STATES, BulkState
from postwerk.errors import Conflict, NotFound

AT_ONCE = 10
"""Each waits for the word of its workflow, which takes time when there is no worker."""
_DOES: dict[Verb, Callable[[Parts, str, str, Actor], Awaitable[None]]] = {
    Verb.HOLD: bulk_orders.pause,
    Verb.RELEASE: bulk_orders.resume,
    Verb.CANCEL: bulk_orders.cancel,
}


async def do_to_sends(
    parts: Parts, verb: Verb, wanted: QueueFilter, reason: str, actor: Actor
) -> Operation | None:
    """Pause, resume or cancel them; None when that is not all there is to do. Raises Unavailable.

    Released are the sends first, then each message that is held by itself.
    """
    act = _DOES.get(verb)
    if act is None:
        return None
    now = parts.now()
    async with parts.archive.reading() as connection:
        sends = await sends_in_question(connection, wanted, now)
    meant = [send for send in sends if verb is not Verb.RELEASE or send.state is BulkState.PAUSED]
    turns = asyncio.Semaphore(AT_ONCE)

    async def do(send: SendInQuestion) -> bool:
        async with turns:
            return await _did(act, parts, send, reason, actor)

    done = Counter[bool]()
    for send, did in zip(meant, await asyncio.gather(*map(do, meant)), strict=True):
        done[did] += _open(send)
    if verb is Verb.RELEASE:
        return None
    op = replace(
        new_operation(verb, wanted, reason=reason, actor=actor, now=now),
        filter=wanted,
        state=OperationState.DONE,
        matched=done.total(),
        changed=done[True],
        skipped=done[False],
        finished_at=parts.now(),
    )
    async with parts.archive.writing() as connection:
        await store_operation(connection, op)
    return op


async def _did(
    act: Callable[[Parts, str, str, Actor], Awaitable[None]],
    parts: Parts,
    send: SendInQuestion,
    reason: str,
    actor: Actor,
) -> bool:
    try:
        await act(parts, send.id, reason, actor)
    except (Conflict, NotFound):  # it has ended meanwhile
        return False
    return True


def _open(send: SendInQuestion) -> int:
    return sum(n for state, n in send.counts.items() if state in OPEN_STATES)
