"""What stands behind this process: the archive, Temporal with its workers, the relays. Asked in a moment."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy.exc import SQLAlchemyError

from api.dependencies import Parts
from api.starting import TEMPORAL_AWAY
from api.waiting import relay_name
from postwerk.archive import lanes
from postwerk.archive.engine import Archive
from postwerk.archive.lanes import RELAY, LaneState
from postwerk.errors import PostwerkError
from workflows.client import backlog, workers_polling

PATIENCE = 1.0


@dataclass(frozen=True, slots=True)
class Connected:
    """None: it does not answer."""

    archive: bool
    workers: int | None
    backlog: int | None
    """Tasks that wait for a worker."""
    relays: Mapping[str, LaneState]
    """By name, the default one first."""


async def connected(parts: Parts) -> Connected:
    """After a second at most; nothing is raised."""
    (archive, relays), (workers, waiting) = await asyncio.gather(_archive(parts), _temporal(parts))
    return Connected(archive, workers, waiting, relays)


async def _temporal(parts: Parts) -> tuple[int | None, int | None]:
    client, queue = parts.client, parts.config.task_queue
    try:
        async with asyncio.timeout(PATIENCE):
            workers, waiting = await asyncio.gather(workers_polling(client, queue), backlog(client, queue))
    except TEMPORAL_AWAY:
        return None, None
    return workers, waiting


async def _archive(parts: Parts) -> tuple[bool, Mapping[str, LaneState]]:
    try:
        async with asyncio.timeout(PATIENCE):
            return True, await _relays(parts, parts.archive)
    except (SQLAlchemyError, OSError):
        return False, {}


async def _relays(parts: Parts, archive: Archive) -> dict[str, LaneState]:
    async with archive.reading() as connection:
        try:
            first = await relay_name(parts, connection)
        except PostwerkError:  # several are remembered, and no setting says which is meant
            first = parts.config.relay or "default"
        found = {}
        for name in (first, *parts.config.relays):
            states = await lanes.lane_states(connection, name, [RELAY])
            found[name] = states.get(RELAY) or LaneState(RELAY)
    return found
