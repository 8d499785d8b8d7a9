"""What Temporal says about the workflows of a bulk send: how long their histories are, and their times."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from temporalio.api.enums.v1 import EventType
from temporalio.client import Client

from bench.house import RunningHouse
from workflows.names import bulk_workflow_id, delivery_workflow_id


@dataclass(frozen=True, slots=True)
class Histories:
    """Over all workflows of a bulk send, the root and its children alike."""

    workflows: int
    events: int
    largest_events: int
    largest_bytes: int


def histories_of(house: RunningHouse, bulk_id: str, seconds: float = 30) -> Histories:
    """All of them, once the visibility store has seen each one closed."""
    return asyncio.run(_histories_of(house, bulk_id, seconds))


async def _histories_of(house: RunningHouse, bulk_id: str, seconds: float) -> Histories:
    client = await _client(house)
    for _ in range(int(seconds)):
        if not (await client.count_workflows(f"BulkId = '{bulk_id}' AND ExecutionStatus = 'Running'")).count:
            break
        await asyncio.sleep(1)
    sizes = [
        (found.history_length, found.raw_info.history_size_bytes)
        async for found in client.list_workflows(f"BulkId = '{bulk_id}'", page_size=1000)
    ]
    return Histories(
        workflows=len(sizes),
        events=sum(events for events, _ in sizes),
        largest_events=max(events for events, _ in sizes),
        largest_bytes=max(size for _, size in sizes),
    )


Moments = list[tuple[str, float]]


def moments_of_single(house: RunningHouse, bulk_id: str) -> Moments:
    """The steps of a send with one recipient up to its activity, by time.time()."""
    return asyncio.run(_moments_of_single(house, bulk_id))


async def _moments_of_single(house: RunningHouse, bulk_id: str) -> Moments:
    client = await _client(house)
    root = await _times(client, bulk_workflow_id(bulk_id))
    child = await _times(client, delivery_workflow_id(bulk_id, 1))
    started = EventType.EVENT_TYPE_WORKFLOW_TASK_STARTED
    completed = EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED
    return [
        ("root stored by Temporal", root[EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED]),
        ("root's task reaches the worker", root[started]),
        ("root's task answered", root[completed]),
        ("child stored by Temporal", child[EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED]),
        ("child's task scheduled", child[EventType.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED]),
        ("child's task reaches the worker", child[started]),
        ("child's task answered", child[completed]),
        ("activity reaches the worker", child[EventType.EVENT_TYPE_ACTIVITY_TASK_STARTED]),
    ]


def moments_of_message(house: RunningHouse, bulk_id: str) -> Moments:
    """The steps of a transactional message up to its activity."""
    return asyncio.run(_moments_of_message(house, bulk_id))


async def _moments_of_message(house: RunningHouse, bulk_id: str) -> Moments:
    root = await _times(await _client(house), bulk_workflow_id(bulk_id))
    return [
        ("workflow stored by Temporal", root[EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED]),
        ("its task reaches the worker", root[EventType.EVENT_TYPE_WORKFLOW_TASK_STARTED]),
        ("its task answered", root[EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED]),
        ("activity reaches the worker", root[EventType.EVENT_TYPE_ACTIVITY_TASK_STARTED]),
    ]


async def _times(client: Client, workflow_id: str) -> dict[int, float]:
    """When each kind of event happened first."""
    first: dict[int, float] = {}
    async for event in client.get_workflow_handle(workflow_id).fetch_history_events():
        first.setdefault(event.event_type, event.event_time.ToNanoseconds() / 1e9)
    return first


async def _client(house: RunningHouse) -> Client:
    return await Client.connect(house.plan.temporal_address, namespace=house.plan.namespace)
