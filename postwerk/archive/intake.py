"""Taking bulk sends and recipients in, queueing them, and taking back what was never started."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import orjson
from sqlalchemy import insert, text, update
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col

from postwerk.archive.api_keys import rights_of_owner
from postwerk.archive.blobs import NewBlob, store_blobs
from postwerk.archive.bulks import ROWS_PER_COMMIT, finish_bulk, open_range, settle_some
from postwerk.archive.columns import to_microseconds
from postwerk.archive.counters import add_to_counters
from postwerk.archive.engine import Archive
from postwerk.archive.quotas import charge_quota
from postwerk.archive.tables import BulkSendRow
from postwerk.contracts.content import Content
from postwerk.contracts.options import BulkOptions
from postwerk.contracts.states import BulkState, MessageState, SendKind
from postwerk.errors import Conflict, NotFound
from postwerk.rules.api_keys import check_from
from postwerk.rules.recipients import NewRecipient


@dataclass(frozen=True, slots=True)
class NewBulkSend:
    """A checked request, about to be stored."""

    id: str
    name: str
    content: Content
    options: BulkOptions
    metadata: Any
    created_at: datetime
    notice_of: str = ""
    """The bulk send that this one tells of; callers' own have none."""
    kind: SendKind = SendKind.BULK
    owner: str = ""
    """Id of the API key that makes it; empty without one."""
    blobs: tuple[NewBlob, ...] = ()
    """Files of its content that came with the request."""


class Added(NamedTuple):
    """What became of some recipients."""

    accepted: int
    duplicates: int


INTAKE_SHARD = 0

_INSERT_CONTENT = text(
    "INSERT INTO content (id, document) VALUES (:id, :document) ON CONFLICT (id) DO NOTHING"
)
# The lock on the row keeps the parts of one list apart; the state says whether it still takes recipients.
_RESERVE_SEQ = text("""
    UPDATE bulk_send SET next_seq = next_seq + :rows
    WHERE id = :bulk_id AND state IN ('open', 'storing') RETURNING next_seq
""")
_COUNT_ADDED = text("""
    UPDATE bulk_send SET accepted = accepted + :accepted, duplicates = duplicates + :duplicates,
        rejected = rejected + :rejected WHERE id = :bulk_id AND state IN ('open', 'storing')
""")
_COLUMNS = (
    "bulk_id, seq, address, name, variables, metadata, lane, state, attempts, deferrals, possible_duplicate"
)
_INSERT_SQLITE = f"""
    INSERT INTO message ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, 'queued', 0, 0, 0) ON CONFLICT DO NOTHING
"""
_INSERT_POSTGRESQL = f"""
    INSERT INTO message ({_COLUMNS})
    SELECT $1, $2 + n - 1, address, name, variables, metadata, lane, 'queued', 0, 0, false
    FROM unnest($3::text[], $4::text[], $5::text[], $6::text[], $7::text[])
        WITH ORDINALITY AS given (address, name, variables, metadata, lane, n)
    ON CONFLICT DO NOTHING
"""


async def store_bulk_send(
    connection: AsyncConnection, new: NewBulkSend, state: BulkState, **known: Any
) -> None:
    """Write a bulk send without recipients, and its content and files unless they are known.

    `known`: columns of which more is known already. Raises Forbidden when its owner's key may not send from
    this domain, whoever hands it in.
    """
    if new.owner and (rights := await rights_of_owner(connection, new.owner)) is not None:
        check_from(rights.domains, new.content)
    await store_blobs(connection, new.blobs, new.created_at)
    content_id = await store_content(connection, new.content)
    columns = {
        "id": new.id,
        "name": new.name,
        "state": state.value,
        "reason": "",
        "content_id": content_id,
        "options": new.options.model_dump(mode="json"),
        "details": new.metadata,
        "created_at": new.created_at,
        "next_seq": 1,
        "accepted": 0,
        "rejected": 0,
        "duplicates": 0,
        "notice_of": new.notice_of,
        "kind": new.kind.value,
        "owner": new.owner,
    }
    await connection.execute(insert(BulkSendRow).values(columns | known))


async def store_content(connection: AsyncConnection, content: Content) -> str:
    """Write a content unless it is there; answers its id."""
    document = orjson.dumps(content.model_dump(mode="json"))
    content_id = hashlib.sha256(document).hexdigest()
    await connection.execute(_INSERT_CONTENT, {"id": content_id, "document": document.decode()})
    return content_id


async def add_recipients(
    connection: AsyncConnection, bulk_id: str, recipients: Sequence[NewRecipient], rejected: int = 0
) -> Added:
    """Write recipients as queued messages; who is there already is dropped. Raises Conflict when not open.

    `rejected` are those refused before: only counted. Hand in about a thousand at a time, one commit each.
    """
    reserved = await connection.execute(_RESERVE_SEQ, {"bulk_id": bulk_id, "rows": len(recipients)})
    row = reserved.one_or_none()
    if row is None:
        raise Conflict("This bulk send takes no recipients (any more); make another one.")
    accepted = await _insert(connection, bulk_id, row.next_seq - len(recipients), recipients)
    added = Added(accepted, len(recipients) - accepted)
    await connection.execute(_COUNT_ADDED, {"bulk_id": bulk_id, "rejected": rejected, **added._asdict()})
    await add_to_counters(connection, {(bulk_id, MessageState.QUEUED): accepted}, INTAKE_SHARD)
    return added


async def _insert(
    connection: AsyncConnection, bulk_id: str, first_seq: int, recipients: Sequence[NewRecipient]
) -> int:
    """The messages really inserted. Driver level: SQLAlchemy's own bulk insert costs twice the time."""
    if not recipients:
        return 0
    if connection.dialect.name == "sqlite":
        rows = [
            (bulk_id, seq, r.address, r.name, r.variables, r.metadata, r.lane)
            for seq, r in enumerate(recipients, first_seq)
        ]
        done = await connection.exec_driver_sql(_INSERT_SQLITE, rows)
    else:
        columns = tuple(list(column) for column in zip(*recipients, strict=True))
        done = await connection.exec_driver_sql(_INSERT_POSTGRESQL, (bulk_id, first_seq, *columns))
    return done.rowcount


async def queue_bulk_send(
    connection: AsyncConnection, bulk_id: str, now: datetime, options: BulkOptions
) -> bool:
    """Close the list and queue it: from here on it is accepted. False when there was no open list.

    One with a `send_at` among its options is scheduled, and its deadline counts from then. Raises
    QuotaExceeded: its owner may not have so many accepted for now.
    """
    scheduled = options.send_at is not None
    done = await connection.execute(
        update(BulkSendRow)
        .where(col(BulkSendRow.id) == bulk_id, col(BulkSendRow.state).in_(["open", "storing"]))
        .values(
            state=(BulkState.SCHEDULED if scheduled else BulkState.QUEUED).value,
            accepted_at=now,
            begins_at=options.send_at,
            deadline=options.ends_at(options.send_at or now),
        )
        .returning(col(BulkSendRow.owner), col(BulkSendRow.accepted))
    )
    queued = done.one_or_none()
    if queued is None:
        return False
    await charge_quota(connection, queued.owner, queued.accepted, now)
    return True


async def open_bulk_send(connection: AsyncConnection, bulk_id: str) -> None:
    """All recipients of its request are written; it takes more until it is started."""
    await connection.execute(
        update(BulkSendRow)
        .where(col(BulkSendRow.id) == bulk_id, col(BulkSendRow.state) == BulkState.STORING.value)
        .values(state=BulkState.OPEN.value)
    )


_CANCEL = text("""
    UPDATE bulk_send SET state = 'cancelling', reason = :reason
    WHERE id = :bulk_id AND state IN ('open', 'scheduled', 'queued', 'running', 'paused')
""")
_STATE = text("SELECT state FROM bulk_send WHERE id = :bulk_id AND state <> 'storing'")
_NEXT_OPEN = text("""
    SELECT seq FROM message WHERE bulk_id = :bulk_id AND seq > :after
    AND state IN ('queued', 'sending', 'deferred', 'held') ORDER BY seq LIMIT 1
""")


async def begin_cancel(connection: AsyncConnection, bulk_id: str, reason: str) -> BulkState:
    """Mark it as being cancelled: no SMTP transaction starts from now on. Answers the state it then has."""
    await connection.execute(_CANCEL, {"bulk_id": bulk_id, "reason": reason})
    state = (await connection.execute(_STATE, {"bulk_id": bulk_id})).scalar_one_or_none()
    if state is None:
        raise NotFound
    return BulkState(state)


# A worker that is told to stop lets its transactions come to their end: ten minutes for the final reply
# (RFC 5321 4.5.3.2). What is marked so for longer belongs to one that is dead.
_STILL_SENDING = timedelta(minutes=11)
_SENDING = text("SELECT COALESCE(sum(n), 0) FROM counter WHERE bulk_id = :bulk_id AND state = 'sending'")
_SENDING_LATELY = text("""
    SELECT 1 FROM message WHERE bulk_id = :bulk_id AND state = 'sending' AND changed_at > :since LIMIT 1
""")


async def is_still_sending(connection: AsyncConnection, bulk_id: str, now: datetime) -> bool:
    """Whether attempts of the send may still be under way, though no workflow carries it any more."""
    if not (await connection.execute(_SENDING, {"bulk_id": bulk_id})).scalar_one():
        return False
    where = {"bulk_id": bulk_id, "since": to_microseconds(now - _STILL_SENDING)}
    return (await connection.execute(_SENDING_LATELY, where)).first() is not None


async def close_failed(archive: Archive, bulk_id: str, now: datetime) -> None:
    """Close a send whose workflow failed: what is open ends failed. In small commits."""
    async with archive.reading() as connection:
        if await is_still_sending(connection, bulk_id, now):
            return
        left = await open_range(connection, bulk_id)
    for first in range(left[0], left[1] + 1, ROWS_PER_COMMIT) if left else ():
        last = first + ROWS_PER_COMMIT - 1
        async with archive.writing() as connection:
            await settle_some(
                connection, bulk_id, first, last, MessageState.FAILED, now=now, shard=INTAKE_SHARD
            )
    async with archive.writing() as connection:
        await finish_bulk(connection, bulk_id, BulkState.FAILED, now=now, reason="its workflow failed")


async def cancel_unstarted(
    connection: AsyncConnection, bulk_id: str, now: datetime, after: int = 0
) -> int | None:
    """Cancel the next open messages of a send that no workflow carries; None when it is closed.

    Answers the last seq done, to go on `after` it in the next transaction. While attempts of it may be under
    way nothing is done, and their true outcomes are recorded.
    """
    if await is_still_sending(connection, bulk_id, now):
        return after
    first = (await connection.execute(_NEXT_OPEN, {"bulk_id": bulk_id, "after": after})).scalar_one_or_none()
    if first is None:
        await finish_bulk(connection, bulk_id, BulkState.CANCELLED, now=now)
        return None
    last = int(first) + ROWS_PER_COMMIT - 1
    await settle_some(connection, bulk_id, first, last, MessageState.CANCELLED, now=now, shard=INTAKE_SHARD)
    return last


_ERASE_MESSAGES = text("""
    DELETE FROM message WHERE bulk_id = :bulk_id AND seq IN
        (SELECT seq FROM message WHERE bulk_id = :bulk_id ORDER BY seq LIMIT :limit)
""")


async def erase_storing(connection: AsyncConnection, bulk_id: str, limit: int = 2000) -> bool:
    """Erase the next rows of a send whose storing was broken off; False when nothing of it is left."""
    still = text("SELECT 1 FROM bulk_send WHERE id = :bulk_id AND state = 'storing'")
    if (await connection.execute(still, {"bulk_id": bulk_id})).first() is None:
        return False
    done = await connection.execute(_ERASE_MESSAGES, {"bulk_id": bulk_id, "limit": limit})
    if done.rowcount:
        return True
    for table in ("batch", "counter"):
        await connection.execute(text(f"DELETE FROM {table} WHERE bulk_id = :bulk_id"), {"bulk_id": bulk_id})
    await connection.execute(
        text("DELETE FROM bulk_send WHERE id = :bulk_id AND state = 'storing'"), {"bulk_id": bulk_id}
    )
    return False
