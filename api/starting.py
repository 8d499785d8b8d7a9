"""Starting and cancelling the workflow of a stored bulk send. What fails here, the reconciler does again."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime, timedelta

from pydantic import BaseModel
from temporalio.client import (
    Client,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.service import RPCError

from postwerk.archive import reads
from postwerk.archive.coalescing import note_handed, waiting_arrival
from postwerk.archive.engine import Archive
from postwerk.archive.intake import INTAKE_SHARD, cancel_unstarted
from postwerk.archive.plan import plan_batches
from postwerk.contracts.coalescing import Arrival
from postwerk.contracts.orders import BulkSendInput
from postwerk.observe import log
from postwerk.rules.partition import SMALL_SEND
from postwerk.rules.starting import start_order
from workflows.client import cancel_bulk_send, hand_in, signal_bulk_send, start_send

PATIENCE = 3.0
"""Seconds a caller waits for Temporal; what is stored is accepted either way."""
NOTICED_WITHIN = 1.0
"""Seconds a caller waits until a worker has taken note of a message that waits for others."""
NOBODY = 5
"""So many of them in a row say that no worker runs; one alone may have had a worker that died."""
REST = 5.0
"""Seconds in which nobody waits again after Temporal did not answer."""
TEMPORAL_AWAY = (RPCError, RuntimeError, OSError, TimeoutError)
"""What the SDK raises when the server cannot be reached; a lazy client's first connect is a RuntimeError."""
_CANCELLED_AT_ONCE = 5
"""Transactions of 2,000 messages that a cancel call settles itself; the reconciler does the rest."""


class Starter:
    """Brings what is in the archive to Temporal. `public_url` is for links in its Web UI."""

    def __init__(self, archive: Archive, client: Client, task_queue: str, public_url: str = "") -> None:
        self._archive = archive
        self._client = client
        self._task_queue = task_queue
        self._public_url = public_url
        self._away_until = 0.0
        self._nobody_until = 0.0
        """No worker takes note of messages that wait for others; until then nobody is asked again."""
        self._unnoticed = 0
        """So many in a row were not taken note of."""

    async def start(self, order: BulkSendInput, name: str) -> bool:
        """Start the workflow; False when Temporal is away, then the reconciler starts it."""
        if time.monotonic() < self._away_until:
            return False
        try:
            async with asyncio.timeout(PATIENCE):
                await start_send(
                    self._client,
                    order,
                    task_queue=self._task_queue,
                    name=name,
                    public_url=self._public_url,
                )
        except TEMPORAL_AWAY as error:
            self._away("start", order.bulk_id, error)
            return False
        return True

    async def start_stored(self, bulk_id: str, now: datetime) -> bool:
        """Start it by what the archive knows; small ones take their plan along.

        A message that waits for others of its key is handed to these instead.
        """
        async with self._archive.reading() as connection:
            arrival = await waiting_arrival(connection, bulk_id)
        if arrival is not None:
            return await self.hand_in(arrival)
        order, name = await self._order(bulk_id, now)
        return await self.start(order, name)

    async def hand_in(self, arrival: Arrival) -> bool:
        """Tell the workflow of its key of a message that waits; False when the reconciler has to do it."""
        if time.monotonic() < max(self._away_until, self._nobody_until):
            return False
        try:
            async with asyncio.timeout(NOTICED_WITHIN):
                await hand_in(self._client, arrival, task_queue=self._task_queue, public_url=self._public_url)
        except (TimeoutError, WorkflowUpdateRPCTimeoutOrCancelledError):
            self._unnoticed += 1
            if self._unnoticed >= NOBODY:
                self._nobody_until = time.monotonic() + REST
            return False
        except (*TEMPORAL_AWAY, WorkflowUpdateFailedError) as error:
            self._away("coalescing", arrival.bulk_id, error)
            return False
        self._unnoticed = 0
        async with self._archive.writing() as connection:
            await note_handed(connection, arrival.bulk_id)
        return True

    async def cancel(self, bulk_id: str, now: datetime) -> bool:
        """Cancel the workflow, or close the send here if it has none; False when that is not finished yet."""
        if time.monotonic() < self._away_until:
            return False
        try:
            async with asyncio.timeout(PATIENCE):
                if await cancel_bulk_send(self._client, bulk_id):
                    return False
        except TEMPORAL_AWAY as error:
            self._away("cancel", bulk_id, error)
            return False
        return await self._close(bulk_id, now)

    async def signal(self, bulk_id: str, name: str, signal: BaseModel) -> bool | None:
        """Signal the root workflow; False when none runs, None when Temporal is away."""
        if time.monotonic() < self._away_until:
            return None
        try:
            async with asyncio.timeout(PATIENCE):
                return await signal_bulk_send(self._client, bulk_id, name, signal)
        except TEMPORAL_AWAY as error:
            self._away(name, bulk_id, error)
            return None

    async def _order(self, bulk_id: str, now: datetime) -> tuple[BulkSendInput, str]:
        async with self._archive.writing() as connection:
            send = await reads.bulk_send(connection, bulk_id)
            batches = None
            scheduled = send.started_at is None and not send.rounds and send.begins_at is not None
            if send.accepted <= SMALL_SEND and not send.rounds and not scheduled:
                plan = await plan_batches(
                    connection, bulk_id, send.options.recipients_per_child, now=now, shard=INTAKE_SHARD
                )
                batches = plan.orders
        left = None
        if send.started_at and send.deadline:  # its workflow was lost: the time it used stays used
            left = max(send.deadline - now, timedelta(seconds=1))
        order = start_order(
            bulk_id,
            send.accepted,
            send.options,
            batches,
            left=left,
            first_batch=send.carried + 1,
            again=send.rounds > 0,
            send_at=send.begins_at if scheduled else None,
            kind=send.kind,
        )
        return order, send.name

    async def _close(self, bulk_id: str, now: datetime) -> bool:
        after: int | None = 0
        for _ in range(_CANCELLED_AT_ONCE):
            async with self._archive.writing() as connection:
                after = await cancel_unstarted(connection, bulk_id, now, after or 0)
            if after is None:
                return True
        return False

    def _away(self, what: str, bulk_id: str, error: BaseException) -> None:
        self._away_until = time.monotonic() + REST
        log.left_to_reconciler(what, bulk_id, error)
