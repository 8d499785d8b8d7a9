"""When a message was tried: its attempts in the archive, and the waits between them."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise

from postwerk.archive import reads
from postwerk.archive.engine import Archive

SLACK = timedelta(seconds=3)
"""What a busy machine may add to a wait that is exact; none is ever shorter."""
CLOCK_STEP = timedelta(milliseconds=20)
"""The time-skipping server and a worker read the same moment so far apart."""


async def attempts_of(archive: Archive, bulk_id: str, seq: int = 1) -> list[reads.Attempt]:
    async with archive.reading() as connection:
        return await reads.attempts(connection, bulk_id, seq)


async def moments_of(archive: Archive, bulk_id: str, seq: int = 1) -> list[datetime]:
    return [attempt.started_at for attempt in await attempts_of(archive, bulk_id, seq)]


async def waits_of(archive: Archive, bulk_id: str, seq: int = 1) -> list[timedelta]:
    return [later - earlier for earlier, later in pairwise(await moments_of(archive, bulk_id, seq))]


async def message_of(archive: Archive, bulk_id: str, seq: int = 1) -> reads.Message:
    async with archive.reading() as connection:
        return await reads.message(connection, bulk_id, seq)


def is_exactly(wait: timedelta, wanted: timedelta) -> bool:
    """To the second: never before, and no later than a busy machine makes it."""
    return -CLOCK_STEP <= wait - wanted <= SLACK


async def deadline_of(archive: Archive, bulk_id: str) -> datetime:
    deadline = (await send_of(archive, bulk_id)).deadline
    assert deadline is not None
    return deadline


async def send_of(archive: Archive, bulk_id: str) -> reads.BulkSend:
    async with archive.reading() as connection:
        return await reads.bulk_send(connection, bulk_id)
