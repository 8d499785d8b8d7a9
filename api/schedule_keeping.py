"""Bringing schedules to Temporal: from the archive, which is the truth, as often as it takes."""

from __future__ import annotations

from datetime import datetime

from temporalio.client import Client

from postwerk.archive import schedules
from postwerk.archive.engine import Archive
from postwerk.archive.schedules import Schedule
from postwerk.contracts.schedules import ScheduleState
from workflows.schedules import next_times, put_schedule, remove_schedule


class ScheduleKeeper:
    """Any number may be at work at once: whoever comes last has read the row after the others' changes."""

    def __init__(self, archive: Archive, client: Client, task_queue: str, public_url: str = "") -> None:
        self._archive = archive
        self._client = client
        self._task_queue = task_queue
        self._public_url = public_url

    async def tell(self, schedule_id: str) -> Schedule:
        """Have Temporal know it as the archive does; again when it was changed meanwhile. Raises RPCError."""
        while True:
            async with self._archive.reading() as connection:
                found = await schedules.schedule(connection, schedule_id, deleted=True)
            await self._apply(found)
            async with self._archive.writing() as connection:
                if await schedules.note_told(connection, found):
                    return await schedules.schedule(connection, schedule_id, deleted=True)

    async def _apply(self, found: Schedule) -> None:
        if found.state is ScheduleState.DELETED:
            await remove_schedule(self._client, found.id)
            return
        await put_schedule(
            self._client,
            found.id,
            found.spec,
            name=found.name,
            paused=(found.reason or "paused") if found.state is ScheduleState.PAUSED else None,
            task_queue=self._task_queue,
            public_url=self._public_url,
        )

    async def restore(self, schedule_id: str) -> bool:
        """Make it anew if Temporal has lost it; whether it had. Raises RPCError."""
        if await next_times(self._client, schedule_id) is not None:
            return False
        await self.tell(schedule_id)
        return True

    async def to_tell(self, before: datetime, *, all_of_them: bool) -> list[str]:
        """Ids of the schedules that Temporal may not know as they are."""
        async with self._archive.reading() as connection:
            return await schedules.schedules_to_tell(connection, before, all_of_them=all_of_them)
