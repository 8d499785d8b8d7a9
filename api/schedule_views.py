"""A schedule as the archive, and Temporal, tell of it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from fastapi import Request

from api.dependencies import Parts
from api.schedule_schemas import ScheduleView, SentView, SpecView
from api.starting import TEMPORAL_AWAY
from api.views import base_url
from postwerk.archive.schedules import Model, Schedule
from postwerk.contracts.schedules import ScheduleSpec, ScheduleState
from workflows.schedules import next_times

PATIENCE = 1.0
"""Seconds a caller waits for Temporal to say when it comes next."""


async def times_of(parts: Parts, found: Schedule) -> list[datetime] | None:
    """When it comes next; None when that is not known."""
    if found.state is not ScheduleState.ACTIVE:
        return []
    try:
        async with asyncio.timeout(PATIENCE):
            times = await next_times(parts.client, found.id)
    except TEMPORAL_AWAY:
        return None
    return None if times is None else [at.astimezone(UTC) for at in times]


def schedule_view(
    request: Request, parts: Parts, found: Schedule, model: Model, next_at: list[datetime] | None
) -> ScheduleView:
    own = f"{base_url(request, parts)}/v1/schedules/{found.id}"
    return ScheduleView(
        id=found.id,
        name=found.name,
        state=found.state,
        reason=found.reason,
        spec=_spec(found.spec),
        bulk_send=SentView(
            name=model.name,
            sender=model.content.sender.email,
            subject=model.content.subject,
            recipients=model.recipients,
        ),
        next_at=next_at,
        last_at=found.last_at,
        last_bulk_send=found.last_bulk_id or None,
        in_force=found.is_told,
        created_at=found.created_at,
        changed_at=found.changed_at,
        links={"self": own},
    )


def _spec(spec: ScheduleSpec) -> SpecView:
    return SpecView(
        cron=spec.cron or None,
        every=spec.every.total_seconds() if spec.every else None,
        time_zone=spec.time_zone,
        start_at=spec.start_at,
        end_at=spec.end_at,
        jitter=spec.jitter.total_seconds(),
    )
