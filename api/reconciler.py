"""Brings archive and Temporal together again after a crash of either: nothing accepted is forgotten."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial

from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from api.starting import Starter
from postwerk.archive import reads
from postwerk.archive.engine import Archive
from postwerk.archive.intake import erase_storing
from postwerk.contracts.states import BulkState
from workflows.client import RPC_TIMEOUT
from workflows.names import bulk_workflow_id

log = logging.getLogger("postwerk.reconciler")

EVERY = timedelta(seconds=15)
STARTED_AFTER = timedelta(seconds=5)
"""Younger ones are being started right now by the call that stored them."""
BELIEVED_FOR = timedelta(minutes=5)
"""A workflow found started is left alone for this long, however many sends wait for a worker."""
BROKEN_OFF_AFTER = timedelta(hours=1)


async def reconcile_forever(
    archive: Archive, client: Client, task_queue: str, every: timedelta = EVERY
) -> None:
    """Look again and again; no error ends it, only being cancelled does. Any number may run at once."""
    reconciler = Reconciler(archive, client, task_queue)
    while True:
        await reconciler.look(datetime.now(UTC))
        await asyncio.sleep(every.total_seconds())


class Reconciler:
    """Starts, cancels, starts again and erases what a crash left behind."""

    def __init__(self, archive: Archive, client: Client, task_queue: str) -> None:
        self._archive = archive
        self._client = client
        self._task_queue = task_queue
        self._starter = Starter(archive, client, task_queue)
        self._known: dict[str, datetime] = {}
        """Queued sends that Temporal has for certain; they wait for a worker, not for us."""
        self._now = datetime.now(UTC)

    async def look(self, now: datetime) -> None:
        """One look at everything that is not ended."""
        self._now = now
        self._starter = Starter(self._archive, self._client, self._task_queue)
        for step in (self.start_queued, self.repeat_cancels, self.restart_lost, self.erase_broken_off):
            await _guarded(step.__name__, step)

    async def start_queued(self) -> None:
        self._known = {bulk_id: at for bulk_id, at in self._known.items() if at > self._now - BELIEVED_FOR}
        async with self._archive.reading() as connection:
            waiting = await reads.bulk_sends_not_started(connection, self._now - STARTED_AFTER)
        for bulk_id in waiting:
            if bulk_id not in self._known:
                await _guarded(bulk_id, partial(self._start, bulk_id))

    async def _start(self, bulk_id: str) -> None:
        if await self._starter.start_stored(bulk_id, self._now):
            self._known[bulk_id] = self._now

    async def repeat_cancels(self) -> None:
        for bulk_id in await self._in_states(BulkState.CANCELLING):
            await _guarded(bulk_id, partial(self._starter.cancel, bulk_id, self._now))

    async def restart_lost(self) -> None:
        """Temporal's database was lost or restored: what the archive has left open goes on."""
        for bulk_id in await self._in_states(BulkState.RUNNING, BulkState.PAUSED):
            if not await self._is_known(bulk_id):
                log.warning("bulk send %s has lost its workflow; starting it again", bulk_id)
                await _guarded(bulk_id, partial(self._start, bulk_id))

    async def erase_broken_off(self) -> None:
        async with self._archive.reading() as connection:
            broken_off = await reads.bulk_sends_broken_off(connection, self._now - BROKEN_OFF_AFTER)
        for bulk_id in broken_off:
            more = True
            while more:
                async with self._archive.writing() as connection:
                    more = await erase_storing(connection, bulk_id)

    async def _in_states(self, *states: BulkState) -> list[str]:
        async with self._archive.reading() as connection:
            return await reads.bulk_sends_under_way(connection, states)

    async def _is_known(self, bulk_id: str) -> bool:
        handle = self._client.get_workflow_handle(bulk_workflow_id(bulk_id))
        try:
            await handle.describe(rpc_timeout=RPC_TIMEOUT)
        except RPCError as error:
            if error.status == RPCStatusCode.NOT_FOUND:
                return False
            raise
        return True


async def _guarded(what: str, do: Callable[[], Awaitable[object]]) -> None:
    try:
        await do()
    except Exception as error:  # noqa: BLE001  one send's trouble must not keep the others waiting
        log.warning("reconciling %s failed, tried again soon: %s", what, type(error).__name__)
