"""Lanes: whether the relay can be reached for a mailbox provider, remembered for all workers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from postwerk.archive.columns import from_microseconds, to_microseconds

_STATUS = text("SELECT failures, cool_until, reason FROM lane WHERE relay = :relay AND name = :name")
# Only the first of many who fail together counts: the others find the lane cooling down already.
_FAILED = text("""
    INSERT INTO lane (relay, name, failures, cool_until, reason)
    VALUES (:relay, :name, 1, :until, :reason)
    ON CONFLICT (relay, name) DO UPDATE
    SET failures = lane.failures + 1, cool_until = excluded.cool_until, reason = excluded.reason
    WHERE lane.cool_until IS NULL OR lane.cool_until <= :now
""")
_RECOVERED = text("""
    UPDATE lane SET failures = 0, cool_until = NULL, reason = ''
    WHERE relay = :relay AND name = :name AND failures > 0
""")
_END_COOL_DOWN = text("UPDATE lane SET cool_until = NULL WHERE relay = :relay AND name = :name")


@dataclass(frozen=True, slots=True)
class LaneStatus:
    """`failures` to get a session in a row; until `cool_until` nobody tries."""

    failures: int = 0
    cool_until: datetime | None = None
    reason: str = ""


async def lane_status(connection: AsyncConnection, relay: str, name: str) -> LaneStatus:
    row = (await connection.execute(_STATUS, {"relay": relay, "name": name})).one_or_none()
    if row is None:
        return LaneStatus()
    failures, cool_until, reason = row
    return LaneStatus(failures, from_microseconds(cool_until) if cool_until else None, reason)


async def lane_failed(
    connection: AsyncConnection, relay: str, name: str, *, until: datetime, now: datetime, reason: str
) -> LaneStatus:
    """No session could be had: the lane cools down until `until`, unless it does so already."""
    await connection.execute(
        _FAILED,
        {
            "relay": relay,
            "name": name,
            "until": to_microseconds(until),
            "now": to_microseconds(now),
            "reason": reason,
        },
    )
    return await lane_status(connection, relay, name)


async def lane_recovered(connection: AsyncConnection, relay: str, name: str) -> None:
    await connection.execute(_RECOVERED, {"relay": relay, "name": name})


async def end_cool_down(connection: AsyncConnection, relay: str, name: str) -> None:
    """Somebody wants a try now."""
    await connection.execute(_END_COOL_DOWN, {"relay": relay, "name": name})
