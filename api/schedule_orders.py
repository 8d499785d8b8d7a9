"""Making, changing and ending schedules: first in the archive, then in Temporal, now or by the reconciler."""

from __future__ import annotations

import asyncio
from typing import Any

from api.dependencies import Parts
from api.errors import Unavailable
from api.schedule_schemas import ScheduleChange, ScheduleFired, ScheduleRequest
from api.starting import PATIENCE, TEMPORAL_AWAY
from api.taking.order_body import check_words
from api.taking.schedules import GivenModel, read_spec, store_model
from api.who import Caller
from postwerk.archive import schedules
from postwerk.archive.audit import Actor, write_audit
from postwerk.archive.ids import bulk_id_at, new_id
from postwerk.archive.schedules import Schedule
from postwerk.contracts.schedules import ScheduleState
from postwerk.errors import InvalidRequest
from postwerk.observe import log
from postwerk.rules.recipients import check_name
from workflows.schedules import fire_by_hand


async def create(
    parts: Parts, wanted: ScheduleRequest, model: GivenModel, actor: Actor, caller: Caller
) -> Schedule:
    """Raises InvalidRequest, Forbidden; then nothing is stored."""
    now = parts.now()
    spec, name = read_spec(wanted.spec, now), check_name(wanted.name)
    model_id = await store_model(parts, model, caller.owner, caller)
    made = Schedule(
        id=new_id("sch"),
        name=name,
        owner=caller.owner,
        spec=spec,
        model_id=model_id,
        state=ScheduleState.ACTIVE,
        reason="",
        created_at=now,
        changed_at=None,
        last_at=None,
        last_bulk_id="",
        changes=1,
        told=0,
    )
    async with parts.archive.writing() as connection:
        await schedules.create_schedule(connection, made)
        await write_audit(connection, actor, "schedule.create", at=now, target=made.id)
    await _tell(parts, made.id)
    return made


async def change(
    parts: Parts,
    schedule_id: str,
    wanted: ScheduleChange,
    model: GivenModel | None,
    actor: Actor,
    caller: Caller,
) -> None:
    """Raises NotFound, InvalidRequest, Forbidden."""
    given = wanted.model_fields_set - {"reason"}
    if not given:
        raise InvalidRequest("Name at least one field to change.", code="nothing_to_change")
    if wanted.reason is not None:
        check_words(wanted.reason, "#/reason")
    async with parts.archive.reading() as connection:
        before = await schedules.schedule(connection, schedule_id)
    values = await _new_values(parts, before, wanted, model, caller)
    async with parts.archive.writing() as connection:
        now = parts.now()
        await schedules.change_schedule(connection, schedule_id, now, **values)
        details = {"changed": sorted(given)}
        await write_audit(
            connection,
            actor,
            "schedule.change",
            at=now,
            target=schedule_id,
            reason=wanted.reason or "",
            details=details,
        )
    await _tell(parts, schedule_id)


async def _new_values(
    parts: Parts, before: Schedule, wanted: ScheduleChange, model: GivenModel | None, caller: Caller
) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if "name" in wanted.model_fields_set:
        values["name"] = check_name(wanted.name or "")
    if "spec" in wanted.model_fields_set:
        if wanted.spec is None:
            raise InvalidRequest("A schedule needs its times.", pointer="#/spec", code="missing")
        values["spec"] = read_spec(wanted.spec, parts.now())
    if "bulk_send" in wanted.model_fields_set:
        if model is None:
            raise InvalidRequest("Say what is sent.", pointer="#/bulk_send", code="missing")
        values["model_id"] = await store_model(parts, model, before.owner, caller)
    return values


async def set_state(parts: Parts, schedule_id: str, state: ScheduleState, reason: str, actor: Actor) -> None:
    """Pause, resume or delete it. Raises NotFound. Doing it again changes nothing."""
    now = parts.now()
    async with parts.archive.writing() as connection:
        before = await schedules.schedule(connection, schedule_id)
        if before.state is state:
            return
        kept = reason if state is ScheduleState.PAUSED else ""
        await schedules.change_schedule(connection, schedule_id, now, state=state.value, reason=kept)
        await write_audit(connection, actor, _ACTIONS[state], at=now, target=schedule_id, reason=reason)
    await _tell(parts, schedule_id)


_ACTIONS = {
    ScheduleState.ACTIVE: "schedule.resume",
    ScheduleState.PAUSED: "schedule.pause",
    ScheduleState.DELETED: "schedule.delete",
}


async def trigger(parts: Parts, schedule_id: str, reason: str, actor: Actor) -> ScheduleFired:
    """Raises NotFound, Unavailable: Temporal is away, and nothing is made later instead."""
    now = parts.now()
    async with parts.archive.reading() as connection:
        found = await schedules.schedule(connection, schedule_id)
    try:
        async with asyncio.timeout(PATIENCE):
            workflow_id = await fire_by_hand(
                parts.client,
                schedule_id,
                now,
                task_queue=parts.config.task_queue,
                name=found.name,
                public_url=parts.config.public_url,
            )
    except TEMPORAL_AWAY as error:
        raise Unavailable("Temporal is away, so no send is made of it; try again soon.") from error
    async with parts.archive.writing() as connection:
        await write_audit(connection, actor, "schedule.trigger", at=now, target=schedule_id, reason=reason)
    return ScheduleFired(
        schedule=schedule_id, bulk_send=bulk_id_at(now, schedule_id), workflow_id=workflow_id
    )


async def _tell(parts: Parts, schedule_id: str) -> None:
    """It is stored, so it is taken; what Temporal does not hear now it hears from the reconciler."""
    try:
        async with asyncio.timeout(PATIENCE):
            await parts.schedules.tell(schedule_id)
    except TEMPORAL_AWAY as error:
        log.left_to_reconciler("schedule", schedule_id, error)
