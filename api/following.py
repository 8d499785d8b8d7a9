"""What follows a change of a bulk send, behind the caller's back: messages wait anew, batches are woken."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy.exc import SQLAlchemyError
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from api.starting import TEMPORAL_AWAY
from postwerk.archive.engine import Archive
from postwerk.archive.rescheduling import reschedule
from postwerk.contracts.options import RetrySchedule
from postwerk.contracts.orders import HoldSignal
from postwerk.observe import log
from workflows.client import RPC_TIMEOUT
from workflows.names import bulk_workflow_id

OPTIONS_KNOWN = 1.1
"""Seconds after which every worker knows the new options: woken earlier, a batch would go by the old ones."""
AGAIN = 5.0
"""Seconds until the next try when archive or Temporal is away."""


@dataclass(frozen=True, slots=True)
class Consequences:
    """What is to be done once the workers know of a change."""

    reschedule: RetrySchedule | None = None
    """Messages that wait by the old schedule are to wait by this one."""
    wake: bool = False
    """Batches sleep for a reason that may be gone."""


class Follower:
    """One task at a time for each bulk send; a change meanwhile is followed after it, from the beginning."""

    def __init__(self, archive: Archive, client: Client) -> None:
        self._archive = archive
        self._client = client
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._next: dict[str, Consequences] = {}

    def follow(self, bulk_id: str, consequences: Consequences) -> None:
        """Do it as soon as the workers know; returns at once."""
        if consequences == Consequences():
            return
        before = self._next.get(bulk_id, Consequences())
        self._next[bulk_id] = Consequences(
            consequences.reschedule or before.reschedule, consequences.wake or before.wake
        )
        if bulk_id not in self._tasks:
            self._tasks[bulk_id] = asyncio.create_task(self._follow(bulk_id))

    async def close(self) -> None:
        tasks = list(self._tasks.values())
        for one in tasks:
            one.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _follow(self, bulk_id: str) -> None:
        try:
            while bulk_id in self._next:
                await asyncio.sleep(OPTIONS_KNOWN)
                await self._until_done(bulk_id, self._next.pop(bulk_id))
        finally:
            del self._tasks[bulk_id]

    async def _until_done(self, bulk_id: str, consequences: Consequences) -> None:
        """The change itself is written; this must come, however long archive or Temporal are away."""
        while True:
            try:
                await self._carry_out(bulk_id, consequences)
            except (SQLAlchemyError, *TEMPORAL_AWAY) as error:
                log.change_not_followed(bulk_id, error)
                await asyncio.sleep(AGAIN)
            else:
                return

    async def _carry_out(self, bulk_id: str, consequences: Consequences) -> None:
        if consequences.reschedule is not None:
            moved = await reschedule(self._archive, bulk_id, consequences.reschedule, datetime.now(UTC))
            log.rescheduled(bulk_id, moved)
        if consequences.wake:
            await self._wake(bulk_id)

    async def _wake(self, bulk_id: str) -> None:
        """All batches, by their root. One that has not begun, or has ended, needs no telling."""
        handle = self._client.get_workflow_handle(bulk_workflow_id(bulk_id))
        try:
            await handle.signal("look_again", HoldSignal(), rpc_timeout=RPC_TIMEOUT)
        except RPCError as error:
            if error.status != RPCStatusCode.NOT_FOUND:
                raise
