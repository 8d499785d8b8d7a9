"""Queues to ask about, put straight into an archive by SQL: any number of messages in seconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import insert, text
from sqlalchemy.ext.asyncio import AsyncConnection

from postwerk.archive.engine import Archive
from postwerk.archive.ids import new_bulk_id
from postwerk.archive.tables import BulkSendRow, ContentRow
from postwerk.contracts.options import BulkOptions
from postwerk.contracts.states import BulkState

PER_BATCH = 250
_CONTENT = {"sender": {"email": "news@shop.example", "name": "Shop"}, "subject": "Spring", "text": "Spring."}


@dataclass(frozen=True, slots=True)
class Shape:
    """A queue by its size: how many sends, and the state of message `i` of `count` as SQL."""

    sends: int
    state: str


SHAPES = {
    "deferred": Shape(1, "'deferred'"),
    "queued": Shape(1, "'queued'"),
    "scattered": Shape(
        10,
        "CASE WHEN i <= :count - :count / 10 OR i % 10 < 7 THEN 'delivered'"
        " WHEN i % 10 = 7 THEN 'deferred' ELSE 'queued' END",
    ),
}

# One in twenty thousand has a reply, and one in fifty thousand a reason, that nobody else has.
_MESSAGES = """
    WITH RECURSIVE numbers(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM numbers WHERE i < :count),
    drawn AS (SELECT i, (CAST(i AS BIGINT) * 7919) % 1000 AS h, {state} AS state FROM numbers),
    addressed AS (SELECT i, h, state, CASE
        WHEN h < 380 THEN 'gmail.com' WHEN h < 400 THEN 'googlemail.com' WHEN h < 600 THEN 'yahoo.com'
        WHEN h < 700 THEN 'outlook.com' WHEN h < 750 THEN 'hotmail.com' WHEN h < 850 THEN 'gmx.de'
        WHEN h < 920 THEN 'firma' || (h - 850) || '.example'
        ELSE 'klein' || (i / 60) || '.example' END AS domain FROM drawn)
    INSERT INTO message (bulk_id, seq, address, name, variables, lane, state, attempts, deferrals,
        possible_duplicate, changed_at, next_attempt_at, last_reason, last_stage, last_code, last_enhanced,
        last_text)
    SELECT :bulk_id, i, 'user' || i || '@' || domain, 'User ' || i, '{{"first_name":"User"}}', CASE
        WHEN h < 400 THEN 'gmail.com' WHEN h < 600 THEN 'yahoo.com' WHEN h < 750 THEN 'outlook.com'
        WHEN h < 850 THEN 'gmx.net' WHEN h < 920 THEN domain ELSE 'other' END,
        state, tried, tried, {no}, CASE WHEN tried = 1 THEN CAST(:now AS BIGINT) END,
        CASE WHEN state = 'deferred' THEN CAST(:now AS BIGINT) + i END,
        CASE WHEN state = 'deferred' THEN CASE WHEN i % 50000 = 49999 THEN 'mailbox_full'
            WHEN i % 10 = 0 THEN 'rate_limited' ELSE 'greylisted' END WHEN tried = 1 THEN 'delivered' END,
        CASE WHEN tried = 1 THEN 'rcpt' END,
        CASE WHEN state = 'deferred' THEN CASE WHEN i % 20000 = 19999 THEN 550
            WHEN i % 10 = 0 THEN 421 ELSE 451 END WHEN tried = 1 THEN 250 END,
        CASE WHEN tried = 1 THEN '4.7.1' END,
        CASE WHEN tried = 1 THEN 'Greylisted, please come back in five minutes' END
    FROM (SELECT i, h, state, domain, CASE WHEN state = 'queued' THEN 0 ELSE 1 END AS tried
        FROM addressed) AS told
"""
_COUNTERS = """
    INSERT INTO counter (bulk_id, state, shard, n)
    SELECT bulk_id, state, 0, count(*) FROM message WHERE bulk_id = :bulk_id GROUP BY bulk_id, state
"""
_BATCHES = """
    INSERT INTO batch (bulk_id, number, lane, first_seq, last_seq, messages)
    SELECT :bulk_id, row_number() OVER (ORDER BY part, lane), lane, min(seq), max(seq), count(*)
    FROM (SELECT lane, seq, (row_number() OVER (PARTITION BY lane ORDER BY seq) - 1) / :size AS part
        FROM message WHERE bulk_id = :bulk_id) AS numbered
    GROUP BY lane, part
"""


async def seed(archive: Archive, shape: Shape, messages: int) -> Sequence[str]:
    """Fill the archive with started bulk sends; answers their ids."""
    ids = []
    for number in range(shape.sends):
        async with archive.writing() as connection:
            ids.append(await _send(connection, shape, messages // shape.sends, number))
    if not archive.is_sqlite:
        await _vacuum(archive)
    return ids


async def _send(connection: AsyncConnection, shape: Shape, count: int, number: int) -> str:
    sqlite = connection.dialect.name == "sqlite"
    bulk_id, now = new_bulk_id(), datetime.now(UTC)
    accepted_at = now - timedelta(minutes=7 * (number + 1))
    await _bulk_send(connection, bulk_id, count, accepted_at)
    messages = _MESSAGES.format(state=shape.state, no="0" if sqlite else "false")
    moment = int(now.timestamp() * 1e6)
    await connection.execute(text(messages), {"bulk_id": bulk_id, "count": count, "now": moment})
    await connection.execute(text(_COUNTERS), {"bulk_id": bulk_id})
    batches = await connection.execute(text(_BATCHES), {"bulk_id": bulk_id, "size": PER_BATCH})
    await connection.execute(
        text("UPDATE bulk_send SET batches = :n WHERE id = :id"), {"n": batches.rowcount, "id": bulk_id}
    )
    return bulk_id


async def _bulk_send(connection: AsyncConnection, bulk_id: str, count: int, accepted_at: datetime) -> None:
    await connection.execute(insert(ContentRow).values(id=bulk_id, document=_CONTENT))
    await connection.execute(
        insert(BulkSendRow).values(
            id=bulk_id,
            name="spring",
            state=BulkState.RUNNING.value,
            content_id=bulk_id,
            options=BulkOptions().model_dump(mode="json"),
            created_at=accepted_at,
            accepted_at=accepted_at,
            started_at=accepted_at,
            deadline=accepted_at + timedelta(days=5),
            next_seq=count + 1,
            accepted=count,
        )
    )


async def _vacuum(archive: Archive) -> None:
    """As its own housekeeping would have done by now."""
    async with archive.engine.connect() as connection:
        plain = await connection.execution_options(isolation_level="AUTOCOMMIT")
        await plain.execute(text("VACUUM ANALYZE"))
