"""The steps of a bulk send as a whole: short ones in the archive, and walks over all its messages."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.bulks import BulkActivities
    from postwerk.contracts.orders import BulkOrder, Counts, Plan
    from workflows.options import ACCIDENTS, ARCHIVE_STEP, ARCHIVE_WALK, HEARTBEAT

Step = Callable[[Any, BulkOrder], Awaitable[Any]]


async def short_step(activity: Step, order: BulkOrder, summary: str) -> Any:
    """One short step in the archive."""
    return await workflow.execute_activity_method(
        activity,
        order,
        summary=summary,
        start_to_close_timeout=ARCHIVE_STEP,
        retry_policy=ACCIDENTS,
    )


async def plan(bulk_id: str, summary: str) -> Plan:
    """How it falls into batches by now."""
    planned: Plan = await _walk(
        BulkActivities.plan_bulk, BulkOrder(bulk_id=bulk_id, now=workflow.now()), summary
    )
    return planned


async def close(order: BulkOrder) -> Counts:
    """Close it if no more than `order.batches` are to be carried; None of them: it is cancelled."""
    counts: Counts = await _walk(closing(order), order, "close")
    return counts


def closing(order: BulkOrder) -> Step:
    """The activity that does it."""
    return BulkActivities.close_cancelled if order.batches is None else BulkActivities.close_bulk


async def _walk(activity: Step, order: BulkOrder, summary: str) -> Any:
    return await workflow.execute_activity_method(
        activity,
        order,
        summary=summary,
        start_to_close_timeout=ARCHIVE_WALK,
        heartbeat_timeout=HEARTBEAT,
        retry_policy=ACCIDENTS,
    )
