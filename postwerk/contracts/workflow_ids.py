"""Workflow ids: what people read in the Web UI and type at the command line."""

from __future__ import annotations

import hashlib
from datetime import datetime


def bulk_workflow_id(bulk_id: str) -> str:
    """`bulk-<id>`: one root workflow for each bulk send, so that starting twice is harmless."""
    return f"bulk-{bulk_id}"


def expansion_workflow_id(bulk_id: str, first: int, last: int) -> str:
    return f"bulk-{bulk_id}/batches-{first}-{last}"


def delivery_workflow_id(bulk_id: str, number: int) -> str:
    return f"bulk-{bulk_id}/batch-{number}"


def operation_workflow_id(operation_id: str) -> str:
    return f"operation-{operation_id}"


def temporal_schedule_id(schedule_id: str) -> str:
    """`schedule-<id>`, among Temporal's Schedules."""
    return f"schedule-{schedule_id}"


def firing_workflow_id(schedule_id: str, by_hand_at: datetime | None = None) -> str:
    """`recurring-<id>`; Temporal's Schedule adds its time, and so do we when it is told to by hand."""
    when = "" if by_hand_at is None else f"-by-hand-{by_hand_at:%Y-%m-%dT%H:%M:%S.%fZ}"
    return f"recurring-{schedule_id}{when}"


def coalesce_workflow_id(owner: str, key: str) -> str:
    """One for each key of an owner; of the key itself, which may be personal, nothing can be read in it."""
    digest = hashlib.sha256(f"{owner}\0{key}".encode()).hexdigest()
    return f"coalesce-{digest}"


def webhook_workflow_id(webhook_id: str) -> str:
    """`webhook-<id>`: one for each webhook."""
    return f"webhook-{webhook_id}"


def replay_workflow_id(webhook_id: str, replay_id: str) -> str:
    return f"webhook-{webhook_id}/{replay_id}"
