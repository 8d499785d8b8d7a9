"""Passing a signal down to many children: one activity in their parent's history, not two events each."""

from __future__ import annotations

import asyncio

import orjson
from temporalio import activity
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from activities.heartbeat import heartbeating
from activities.operations import AT_A_TIME, RPC_TIMEOUT
from postwerk.contracts.orders import ChildrenSignal


class SignalActivities:
    """Safe to repeat: children obey the same signal once, or to the same end."""

    @activity.defn
    async def tell_children(self, order: ChildrenSignal) -> int:
        """Signal each of them; answers how many there were. Raises RPCError: Temporal is away."""
        client, places = activity.client(), asyncio.Semaphore(AT_A_TIME)

        async def tell(name: str) -> bool:
            async with places:
                return await _signal(client, order.parent + name, order)

        async with heartbeating():
            told = await asyncio.gather(*[tell(name) for name in order.children])
        return sum(told)


async def _signal(client: Client, workflow_id: str, order: ChildrenSignal) -> bool:
    """False when it has ended meanwhile, and needs none."""
    try:
        handle = client.get_workflow_handle(workflow_id)
        await handle.signal(order.name, orjson.loads(order.body), rpc_timeout=RPC_TIMEOUT)
    except RPCError as error:
        if error.status == RPCStatusCode.NOT_FOUND:
            return False
        raise
    return True
