"""Doing what operators want done: small things within the call, large ones by a workflow of their own."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection
from temporalio.client import Client

from api.starting import PATIENCE, TEMPORAL_AWAY
from postwerk.archive import rounds
from postwerk.archive.audit import Actor
from postwerk.archive.engine import Archive
from postwerk.archive.intake import INTAKE_SHARD
from postwerk.archive.operation_runs import carry_out_page
from postwerk.archive.operations import (
    Operation,
    means_anything,
    narrowed,
    new_operation,
    next_page,
    note_matched,
    store_operation,
)
from postwerk.archive.queue_counts import count_meant, counted_by_counters
from postwerk.archive.queue_filter import UNDER_WAY, sends_in_question
from postwerk.contracts.queue import OperationState, QueueFilter, Verb
from postwerk.contracts.states import ENDED, MessageState
from postwerk.observe import log
from postwerk.rules.queue_summary import asks_sends_only
from workflows.client import start_operation

SMALL = 500
"""So many messages are changed within the call."""


class Meant(NamedTuple):
    """How many messages a filter means."""

    states: Counter[MessageState]
    bulk_sends: int


class Operator:
    """Everything is stored before it is done; what a crash leaves over, the reconciler has done."""

    def __init__(self, archive: Archive, client: Client, task_queue: str, public_url: str = "") -> None:
        self._archive = archive
        self._client = client
        self._task_queue = task_queue
        self._public_url = public_url
        self._starting: set[asyncio.Task[None]] = set()

    async def count(self, verb: Verb, wanted: QueueFilter, now: datetime) -> Meant:
        """What the verb would change now."""
        if not means_anything(verb, wanted):
            return Meant(Counter(), 0)
        states = (*UNDER_WAY, *ENDED) if verb is Verb.RETRY_FAILED else UNDER_WAY
        narrow = narrowed(verb, wanted)
        async with self._archive.reading() as connection:
            sends = await sends_in_question(connection, narrow, now, states=states)
            if asks_sends_only(narrow):
                return Meant(counted_by_counters(sends, narrow), len(sends))
            found = await count_meant(connection, sends, narrow)
        return Meant(found, len(sends))

    async def do(
        self, verb: Verb, wanted: QueueFilter, *, reason: str, actor: Actor, now: datetime, target: str = ""
    ) -> Operation:
        """Do it, or have it done: then the answer is `running`, and workers obey it all the same."""
        op = new_operation(verb, wanted, reason=reason, actor=actor, now=now)
        async with self._archive.reading() as connection:
            page = await next_page(connection, op, SMALL)
        async with self._archive.writing() as connection:
            await store_operation(connection, op, target=target)
            if page.last:
                op = await carry_out_page(connection, op, page, now=now, shard=INTAKE_SHARD)
        if not page.last:
            op = await self._counted(op, now)
        self._start_unless_done(op)
        return op

    async def retry_failed(
        self,
        bulk_id: str,
        wanted: QueueFilter,
        *,
        reason: str,
        actor: Actor,
        now: datetime,
        operation_id: str = "",
        confirm: Callable[[AsyncConnection], Awaitable[None]] | None = None,
    ) -> Operation:
        """Start ended messages of a send again. Raises NotFound, Conflict, and what `confirm` raises.

        `confirm` is asked in the transaction that stores it.
        """
        async with self._archive.writing() as connection:
            if confirm is not None:
                await confirm(connection)
            begun = await rounds.begin_round(connection, bulk_id, now)
            op = new_operation(
                Verb.RETRY_FAILED,
                wanted,
                reason=reason,
                actor=actor,
                now=now,
                details=begun.details(),
                bulk_id=bulk_id,
                operation_id=operation_id,
            )
            await store_operation(connection, op, target=bulk_id)
        async with self._archive.reading() as connection:
            page = await next_page(connection, op, SMALL)
        if page.last:
            async with self._archive.writing() as connection:
                op = await carry_out_page(connection, op, page, now=now, shard=INTAKE_SHARD)
        else:
            op = await self._counted(op, now)
        self._start_unless_done(op)
        return op

    async def _counted(self, op: Operation, now: datetime) -> Operation:
        """How many it will be: counted once it is stored, so that nothing waits for the count."""
        meant = await self.count(op.verb, op.filter, now)
        async with self._archive.writing() as connection:
            return await note_matched(connection, op, meant.states.total())

    def _start_unless_done(self, op: Operation) -> None:
        """In the background: the caller's order is stored, and Temporal may be away."""
        if op.state in (OperationState.RUNNING, OperationState.TELLING):
            starting = asyncio.create_task(self._start(op))
            self._starting.add(starting)
            starting.add_done_callback(self._starting.discard)

    async def _start(self, op: Operation) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                await start_operation(
                    self._client,
                    op.id,
                    task_queue=self._task_queue,
                    verb=op.verb.value,
                    public_url=self._public_url,
                )
        except TEMPORAL_AWAY as error:
            log.left_to_reconciler("operation", op.id, error)

    async def close(self) -> None:
        """End what runs in the background."""
        for one in list(self._starting):
            one.cancel()
        await asyncio.gather(*self._starting, return_exceptions=True)
