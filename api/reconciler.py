"""Brings archive and Temporal together again after a crash of either: nothing accepted is forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial

from temporalio.client import Client

from api.schedule_keeping import ScheduleKeeper
from api.starting import Starter
from api.waking_again import SecondWaking
from postwerk.archive import bulks, reads
from postwerk.archive.coalescing import arrivals_not_handed
from postwerk.archive.drafts import erase_list, lists_left_over
from postwerk.archive.engine import Archive
from postwerk.archive.idempotency import erase_old
from postwerk.archive.intake import begin_cancel, close_failed, erase_storing
from postwerk.archive.operations import Operation, unfinished_operations
from postwerk.archive.schedules import give_up_model, unused_models
from postwerk.archive.webhook_deliveries import erase_deliveries
from postwerk.archive.webhooks import enabled_webhooks
from postwerk.contracts.coalescing import Arrival
from postwerk.contracts.orders import HoldSignal
from postwerk.contracts.states import BulkState
from postwerk.contracts.webhooks import DeliveryOutcome
from postwerk.observe import log
from workflows.client import start_operation, wake_webhook, webhook_runs
from workflows.standing import Standing, standing_of

EVERY = timedelta(seconds=15)
STARTED_AFTER = timedelta(seconds=5)
"""Younger ones are being started right now by the call that stored them."""
BELIEVED_FOR = timedelta(minutes=5)
"""A workflow found started is left alone for this long, however many sends wait for a worker."""
OVERDUE_AFTER = timedelta(seconds=30)
"""A window that should have ended so long ago has lost its workflow, or has no worker."""
AT_ONCE = 20
"""Messages that are handed to the workflows of their keys together."""
BROKEN_OFF_AFTER = timedelta(hours=1)
FORGOTTEN_AT_ONCE = 200
DELIVERIES_KEPT = {DeliveryOutcome.DELIVERED: timedelta(days=1), None: timedelta(days=7)}
"""How long a request to a webhook's receiver stays in the log: hundreds a second may succeed."""


async def reconcile_forever(
    archive: Archive, client: Client, task_queue: str, public_url: str = "", every: timedelta = EVERY
) -> None:
    """Look again and again; no error ends it, only being cancelled does. Any number may run at once."""
    reconciler = Reconciler(archive, client, task_queue, public_url)
    while True:
        await reconciler.look(datetime.now(UTC))
        await asyncio.sleep(every.total_seconds())


class Reconciler:
    """Starts, cancels, starts again and erases what a crash left behind."""

    def __init__(self, archive: Archive, client: Client, task_queue: str, public_url: str = "") -> None:
        self._archive = archive
        self._client = client
        self._task_queue = task_queue
        self._public_url = public_url
        self._starter = Starter(archive, client, task_queue, public_url)
        self._known: dict[str, datetime] = {}
        """Queued sends that Temporal has for certain; they wait for a worker, not for us."""
        self._schedules = ScheduleKeeper(archive, client, task_queue, public_url)
        self._schedules_seen = datetime.min.replace(tzinfo=UTC)
        """When Temporal was last asked whether it still has all of them."""
        self._second_waking = SecondWaking(archive, client)
        self._broken: set[str] = set()
        """Sends whose workflows were found failed once."""
        self._now = datetime.now(UTC)

    async def look(self, now: datetime) -> None:
        """One look at everything that is not ended."""
        self._now = now
        self._starter = Starter(self._archive, self._client, self._task_queue, self._public_url)
        for step in (
            self.start_queued,
            self.hand_in_waiting,
            self.repeat_cancels,
            self.match_workflows,
            self.match_scheduled,
            self.match_schedules,
            self.match_webhooks,
            self.wake_again,
            self.finish_operations,
            self.erase_broken_off,
            self.erase_drafts,
            self.forget_answers,
            self.forget_webhook_deliveries,
        ):
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

    async def hand_in_waiting(self) -> None:
        """Messages that wait for others of their key, and perhaps no workflow knows of them."""
        while some := await self._waiting_alone():
            handed = await asyncio.gather(*[self._starter.hand_in(arrival) for arrival in some])
            self._known |= {one.bulk_id: self._now for one, done in zip(some, handed, strict=True) if done}
            if not any(handed):
                return  # nobody takes note just now: the others would only wait for the same

    async def _waiting_alone(self) -> list[Arrival]:
        async with self._archive.reading() as connection:
            found = await arrivals_not_handed(
                connection, self._now - STARTED_AFTER, overdue=self._now - OVERDUE_AFTER
            )
        return [arrival for arrival in found if arrival.bulk_id not in self._known][:AT_ONCE]

    async def repeat_cancels(self) -> None:
        for bulk_id in await self._in_states(BulkState.CANCELLING):
            await _guarded(bulk_id, partial(self._starter.cancel, bulk_id, self._now))

    async def match_workflows(self) -> None:
        """What is open in the archive is carried by a workflow that runs, and that knows of a pause."""
        for bulk_id in await self._in_states(BulkState.RUNNING, BulkState.PAUSED):
            await _guarded(bulk_id, partial(self._match, bulk_id))

    async def match_scheduled(self) -> None:
        """Those that begin later have a workflow that waits; there may be many, and for years."""
        for bulk_id in await self._in_states(BulkState.SCHEDULED):
            if bulk_id not in self._known:
                await _guarded(bulk_id, partial(self._match_scheduled, bulk_id))

    async def _match_scheduled(self, bulk_id: str) -> None:
        """One that never had its workflow gets it; one that lost it too."""
        standing = await standing_of(self._client, bulk_id)
        if standing in (Standing.RUNNING, Standing.PAUSED):
            self._known[bulk_id] = self._now
        elif standing is Standing.LOST:
            await self._start(bulk_id)
        else:
            await self._match(bulk_id)

    async def match_schedules(self) -> None:
        """What Temporal has not heard of schedules; now and then, whether it has them all."""
        every = self._schedules_seen <= self._now - BELIEVED_FOR
        before = self._now - STARTED_AFTER
        for schedule_id in await self._schedules.to_tell(before, all_of_them=False):
            await _guarded(schedule_id, partial(self._schedules.tell, schedule_id))
        for schedule_id in await self._schedules.to_tell(before, all_of_them=True) if every else ():
            await _guarded(schedule_id, partial(self._schedules.restore, schedule_id))
        if every:
            self._schedules_seen = self._now

    async def match_webhooks(self) -> None:
        """Each that is enabled has a workflow that tells its receiver."""
        async with self._archive.reading() as connection:
            enabled = await enabled_webhooks(connection)
        for webhook_id in enabled:
            if webhook_id not in self._known:
                await _guarded(webhook_id, partial(self._match_webhook, webhook_id))

    async def _match_webhook(self, webhook_id: str) -> None:
        if not await webhook_runs(self._client, webhook_id):
            await wake_webhook(self._client, webhook_id, task_queue=self._task_queue)
        self._known[webhook_id] = self._now

    async def _match(self, bulk_id: str) -> None:
        standing = await standing_of(self._client, bulk_id)
        if standing in (Standing.STOPPED, Standing.BROKEN) and await self._awaits_its_next_run(bulk_id):
            await self._start(bulk_id)  # paused before its next run began; it begins paused
        elif standing is Standing.LOST:  # Temporal's database was lost or restored
            log.workflow_lost(bulk_id)
            await self._start(bulk_id)
        elif standing is Standing.STOPPED:
            await self._stop(bulk_id)
        elif standing is Standing.BROKEN:
            await self._fail(bulk_id)
        elif standing is Standing.RUNNING and await self._is_paused(bulk_id):
            await self._starter.signal(bulk_id, "hold", HoldSignal(reason="paused", if_paused=True))

    async def _awaits_its_next_run(self, bulk_id: str) -> bool:
        """Failed messages were started again after its end, and no run of its workflow has begun since."""
        async with self._archive.reading() as connection:
            send = await reads.bulk_send(connection, bulk_id)
        return send.rounds > 0 and send.started_at is None

    async def _is_paused(self, bulk_id: str) -> bool:
        """Asked once more: it may have been released since the list was read."""
        async with self._archive.reading() as connection:
            return await bulks.bulk_state(connection, bulk_id) is BulkState.PAUSED

    async def _stop(self, bulk_id: str) -> None:
        """Terminated from outside, without a word to the archive: what is left of it ends cancelled, soon."""
        log.workflow_terminated(bulk_id)
        async with self._archive.writing() as connection:
            await begin_cancel(connection, bulk_id, "its workflow was terminated")

    async def _fail(self, bulk_id: str) -> None:
        """It ended by an accident; not closed at the first look, as it may be closing just now."""
        if bulk_id not in self._broken:
            self._broken.add(bulk_id)
            return
        log.workflow_failed(bulk_id)
        await close_failed(self._archive, bulk_id, self._now)
        self._broken.discard(bulk_id)

    async def finish_operations(self) -> None:
        """What an operator wanted done, and whoever was to do it is gone."""
        async with self._archive.reading() as connection:
            unfinished = await unfinished_operations(connection)
        for op in unfinished:
            if op.created_at < self._now - STARTED_AFTER:
                await _guarded(op.id, partial(self._start_operation, op))

    async def _start_operation(self, op: Operation) -> None:
        await start_operation(
            self._client,
            op.id,
            task_queue=self._task_queue,
            verb=op.verb.value,
            public_url=self._public_url,
        )

    async def wake_again(self) -> None:
        """Batches that sleep because of a suspension that somebody has ended."""
        await self._second_waking.look(self._now)

    async def erase_broken_off(self) -> None:
        async with self._archive.reading() as connection:
            unused = await unused_models(connection, self._now - BROKEN_OFF_AFTER)
        for model_id in unused:
            async with self._archive.writing() as connection:
                await give_up_model(connection, model_id)
        async with self._archive.reading() as connection:
            broken_off = await reads.bulk_sends_broken_off(connection, self._now - BROKEN_OFF_AFTER)
        for bulk_id in broken_off:
            more = True
            while more:
                async with self._archive.writing() as connection:
                    more = await erase_storing(connection, bulk_id)

    async def erase_drafts(self) -> None:
        """Lists as they were uploaded, of sends that are started or given up; in small commits."""
        async with self._archive.reading() as connection:
            left = await lists_left_over(connection, self._now)
        for list_id in left:
            more = True
            while more:
                async with self._archive.writing() as connection:
                    more = await erase_list(connection, list_id)

    async def forget_answers(self) -> None:
        """Calls that may not come again any more; in small commits."""
        more = True
        while more:
            async with self._archive.writing() as connection:
                more = await erase_old(connection, self._now, FORGOTTEN_AT_ONCE) == FORGOTTEN_AT_ONCE

    async def forget_webhook_deliveries(self) -> None:
        """Old lines of their logs; in small commits."""
        for outcome, kept in DELIVERIES_KEPT.items():
            more = FORGOTTEN_AT_ONCE
            while more == FORGOTTEN_AT_ONCE:
                async with self._archive.writing() as connection:
                    more = await erase_deliveries(connection, self._now - kept, FORGOTTEN_AT_ONCE, outcome)

    async def _in_states(self, *states: BulkState) -> list[str]:
        async with self._archive.reading() as connection:
            return await reads.bulk_sends_under_way(connection, states)


async def _guarded(what: str, do: Callable[[], Awaitable[object]]) -> None:
    try:
        await do()
    except Exception as error:  # noqa: BLE001  one send's trouble must not keep the others waiting
        log.not_reconciled(what, error)
