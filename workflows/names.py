"""Names that people read in the Web UI and type at the command line: workflow ids and search attributes."""

from __future__ import annotations

from temporalio.common import SearchAttributeKey

from postwerk.contracts.workflow_ids import (
    bulk_workflow_id,
    delivery_workflow_id,
    expansion_workflow_id,
    operation_workflow_id,
    replay_workflow_id,
    webhook_workflow_id,
)

__all__ = [
    "BULK_ID",
    "BULK_STATE",
    "LANE",
    "SEARCH_ATTRIBUTE_NAMES",
    "bulk_workflow_id",
    "delivery_workflow_id",
    "expansion_workflow_id",
    "messages_queue",
    "operation_workflow_id",
    "replay_workflow_id",
    "webhook_workflow_id",
    "webhooks_queue",
]


_MESSAGES = "-messages"


def messages_queue(task_queue: str) -> str:
    """Transactional messages have a task queue and slots of their own: they wait behind no bulk send."""
    return task_queue if task_queue.endswith(_MESSAGES) else task_queue + _MESSAGES


def webhooks_queue(task_queue: str) -> str:
    """Webhooks have slots of their own: a receiver that hangs takes none of those that carry mail."""
    return f"{task_queue}-webhooks"


BULK_ID = SearchAttributeKey.for_keyword("BulkId")
BULK_STATE = SearchAttributeKey.for_keyword("BulkState")
LANE = SearchAttributeKey.for_keyword("Lane")
SEARCH_ATTRIBUTE_NAMES = (BULK_ID.name, BULK_STATE.name, LANE.name)
