"""When a batch is due again while some domains in it are suspended: each not before its suspension ends."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncConnection

from postwerk.archive.columns import from_microseconds, to_microseconds
from postwerk.archive.given import Given
from postwerk.contracts.orders import BatchOrder
from postwerk.rules.retry_schedule import together_within

# Both sides in lower case: the domain of an address is kept so, and SQLite folds it anyway. No domain holds
# a wildcard, and no address a second @.
_DUE = """
    SELECT CASE WHEN given.until > COALESCE(message.next_attempt_at, 0) THEN given.until
        ELSE COALESCE(message.next_attempt_at, 0) END AS due
    FROM message LEFT JOIN {given} ON lower(message.address) LIKE '%@' || given.domain
    WHERE bulk_id = :bulk_id AND lane = :lane AND seq BETWEEN :first_seq AND :last_seq
        AND state IN ('queued', 'sending', 'deferred')
"""
_COLUMNS = {"domain": "text", "until": "bigint"}
_FIRST = Given(f"SELECT min(due) FROM ({_DUE}) AS waiting", **_COLUMNS)
_LAST = Given(f"SELECT max(due) FROM ({_DUE}) AS waiting WHERE due <= :latest", **_COLUMNS)


async def suspended_due(
    connection: AsyncConnection, order: BatchOrder, ends: Mapping[str, datetime], now: datetime
) -> datetime | None:
    """When the next open message of the batch is due, and those soon after it; None: none is open.

    `ends`: suspended domains, each with the end of its time. Who waits for one is not kept waiting for
    messages that are due after it.
    """
    first = await connection.run_sync(_ask, _FIRST, order, ends, {})
    if first is None:
        return None
    latest = min([first + together_within(first - now), *(end for end in ends.values() if end >= first)])
    more = {"latest": to_microseconds(latest)}
    return await connection.run_sync(_ask, _LAST, order, ends, more)


def _ask(
    connection: Connection,
    given: Given,
    order: BatchOrder,
    ends: Mapping[str, datetime],
    more: Mapping[str, Any],
) -> datetime | None:
    rows = [{"domain": domain, "until": to_microseconds(until)} for domain, until in ends.items()]
    statement, parameters = given.bind(connection, rows)
    batch = order.model_dump(include={"bulk_id", "lane", "first_seq", "last_seq"})
    due = connection.execute(statement, {**parameters, **batch, **more}).scalar_one_or_none()
    return None if due is None else from_microseconds(due)
