"""Activities of an operation: change the messages it means, tell who sleeps, start a send anew."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from temporalio import activity
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from activities.clock import ActivityClock
from activities.heartbeat import heartbeating
from activities.parts import WorkerParts
from postwerk.archive import operations, rounds
from postwerk.archive.operation_runs import carry_out
from postwerk.archive.operations import Batch
from postwerk.contracts.orders import HoldSignal
from postwerk.contracts.queue import Account, NextRun, OperationOrder, OperationState
from postwerk.contracts.workflow_ids import bulk_workflow_id, delivery_workflow_id
from postwerk.errors import NotFound

AT_A_TIME = 20
"""Signals under way together."""
RPC_TIMEOUT = timedelta(seconds=10)


class OperationActivities:
    """Each is safe to repeat: the archive remembers how far the operation has come."""

    def __init__(self, parts: WorkerParts) -> None:
        self._parts = parts

    @activity.defn
    async def carry_out_operation(self, order: OperationOrder) -> int:
        """Change every message it means; answers how many were."""
        async with heartbeating():
            done = await carry_out(
                self._parts.archive,
                order.operation_id,
                now=ActivityClock().now,
                shard=self._parts.shard,
            )
        return done.changed

    @activity.defn
    async def tell_batches(self, order: OperationOrder) -> list[str]:
        """Wake the batches it changed; answers the bulk sends that have more batches now.

        Those of a send that has ended are carried by a new run of its workflow: `next_run`.
        """
        grown: list[str] = []
        async with heartbeating():
            while batches := await self._next_batches(order.operation_id):
                grown += [batch.bulk_id for batch in batches if batch.number == rounds.ROOT]
                await self._tell(batches)
                async with self._parts.archive.writing() as connection:
                    await operations.forget_told(connection, order.operation_id, batches)
            async with self._parts.archive.writing() as connection:
                op = await operations.operation(connection, order.operation_id)
                if op.state is OperationState.TELLING:
                    await operations.end_operation(connection, order.operation_id, OperationState.DONE)
        return grown

    @activity.defn
    async def account_of(self, operation_id: str) -> Account:
        """What it has done so far: one row."""
        async with self._parts.archive.reading() as connection:
            op = await operations.operation(connection, operation_id)
        return Account(
            verb=op.verb, state=op.state, matched=op.matched, changed=op.changed, skipped=op.skipped
        )

    async def _next_batches(self, operation_id: str) -> list[Batch]:
        async with self._parts.archive.reading() as connection:
            return await operations.batches_to_tell(connection, operation_id)

    async def _tell(self, batches: list[Batch]) -> None:
        client, places = activity.client(), asyncio.Semaphore(AT_A_TIME)

        async def tell(batch: Batch) -> None:
            async with places:
                await _signal(client, batch)

        async with asyncio.TaskGroup() as group:
            for batch in batches:
                group.create_task(tell(batch))

    @activity.defn
    async def next_run(self, bulk_id: str) -> NextRun | None:
        """What starts the workflow of a send anew that had ended; None when it is carried already."""
        async with self._parts.archive.reading() as connection:
            try:
                return await rounds.next_run(connection, bulk_id, ActivityClock().now())
            except NotFound:
                return None


async def _signal(client: Client, batch: Batch) -> None:
    """Those that have ended need no telling. Raises RPCError: Temporal is away."""
    is_root = batch.number == rounds.ROOT or batch.alone
    workflow_id = (
        bulk_workflow_id(batch.bulk_id) if is_root else delivery_workflow_id(batch.bulk_id, batch.number)
    )
    try:
        handle = client.get_workflow_handle(workflow_id)
        name = "carry_more" if batch.number == rounds.ROOT else "look_again"
        await handle.signal(name, HoldSignal(), rpc_timeout=RPC_TIMEOUT)
    except RPCError as error:
        if error.status != RPCStatusCode.NOT_FOUND:
            raise
