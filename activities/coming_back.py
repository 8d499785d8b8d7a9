"""When a batch comes back that has messages left, as far as its own messages and suspensions say."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from activities.lane_desk import LaneDesk
from postwerk.archive.delivery import Left, last_due
from postwerk.archive.suspended_due import suspended_due
from postwerk.contracts.options import BulkOptions
from postwerk.contracts.orders import BatchOrder
from postwerk.rules.retry_schedule import together_within
from postwerk.rules.sending_window import is_open, next_opening
from postwerk.rules.suspending import back_after


async def due_together(
    connection: AsyncConnection, desk: LaneDesk, batch: BatchOrder, left: Left, now: datetime
) -> datetime | None:
    """When the next message is due, and those soon after it; None: none is open.

    Messages of suspended domains are due at the end of their suspension.
    """
    if left.next_at is None:
        return None
    ends = {domain: one.until for domain, one in desk.suspensions.in_lane(batch.lane, now).items()}
    if ends:
        due = await suspended_due(connection, batch, ends, now) or left.next_at
        return back_after(due, batch.number) if due in ends.values() else due
    latest = left.next_at + together_within(left.next_at - now)
    return await last_due(connection, batch, latest) or left.next_at


def window_opens(options: BulkOptions, batch: BatchOrder, at: datetime) -> datetime | None:
    """When this batch comes back because the send's window is closed at `at`; None when it is open.

    Batches come back one after the other; whoever comes then finds the pace of lane and send.
    """
    window = options.window
    if window is None or is_open(window, at):
        return None
    return back_after(next_opening(window, at), batch.number)


def when_lane_may_go(desk: LaneDesk, batch: BatchOrder, next_at: datetime, now: datetime) -> datetime | None:
    """When this batch comes back because its whole lane is suspended; None when that is not so."""
    found = desk.suspensions.of_lane(batch.lane, now)
    return back_after(found.until, batch.number) if found and next_at < found.until else None
