"""How a bulk send's workflow stands, as Temporal sees it."""

from __future__ import annotations

from enum import StrEnum

from temporalio.client import Client, WorkflowExecutionDescription, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from postwerk.contracts.states import BulkState
from workflows.client import RPC_TIMEOUT
from workflows.names import BULK_STATE, bulk_workflow_id


class Standing(StrEnum):
    """What Temporal knows of a root workflow."""

    RUNNING = "running"
    PAUSED = "paused"
    """Running, and it knows that the send is held."""
    STOPPED = "stopped"
    """Terminated or cancelled from outside."""
    BROKEN = "broken"
    """Ended by itself, well or not."""
    LOST = "lost"
    """Never heard of."""


async def standing_of(client: Client, bulk_id: str) -> Standing:
    """Raises RPCError: Temporal is away."""
    try:
        handle = client.get_workflow_handle(bulk_workflow_id(bulk_id))
        found = await handle.describe(rpc_timeout=RPC_TIMEOUT)
    except RPCError as error:
        if error.status == RPCStatusCode.NOT_FOUND:
            return Standing.LOST
        raise
    return _standing(found)


def _standing(found: WorkflowExecutionDescription) -> Standing:
    if found.status is WorkflowExecutionStatus.RUNNING:
        paused = found.typed_search_attributes.get(BULK_STATE) == BulkState.PAUSED
        return Standing.PAUSED if paused else Standing.RUNNING
    if found.status in (WorkflowExecutionStatus.TERMINATED, WorkflowExecutionStatus.CANCELED):
        return Standing.STOPPED
    return Standing.BROKEN
