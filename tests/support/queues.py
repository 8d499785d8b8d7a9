"""A small queue of everything: sends in several states, messages in all of theirs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from sqlalchemy import text

from postwerk.archive.columns import to_microseconds
from postwerk.archive.engine import Archive
from postwerk.contracts.states import OPEN_STATES, MessageState
from postwerk.rules.providers import is_provider, lane_of
from tests.support.seeding import a_stored_bulk_send

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
DOMAINS = ["gmail.com", "googlemail.com", "gmx.de", "firma.example", "klein.example"]
CODES = [None, 250, 421, 451, 452, 550]
REASONS = [None, "greylisted", "rate_limited", "mailbox_full"]
STATES = ["running", "paused", "queued", "cancelling", "completed", "open"]


async def an_assorted_queue(archive: Archive, seed: int = 1, messages: int = 40) -> list[str]:
    """A bulk send in each state, the first ones alike; answers their ids in order."""
    chance = Random(seed)
    ids = []
    for number, state in enumerate(STATES):
        # firma.example has a lane of its own in some of them, and is one of `other` in the rest.
        weights = [5, 2, 4, 6 if number % 2 else 1, 1]
        domains = chance.choices(DOMAINS, weights, k=messages)
        addresses = [f"User{n}@{domain}" for n, domain in enumerate(domains)]
        bulk_id = (await a_stored_bulk_send(archive, addresses)).bulk_id
        accepted_at = NOW - timedelta(minutes=30 * number)
        await set_send(archive, bulk_id, state=state, accepted_at=to_microseconds(accepted_at))
        for seq, domain in enumerate(domains, start=1):
            changes = {
                **({"lane": lane_of(domain)} if is_provider(lane_of(domain)) else {}),
                "state": chance.choice([*MessageState, *sorted(OPEN_STATES)]).value,
                "last_code": chance.choice(CODES),
                "last_reason": chance.choice(REASONS),
            }
            await set_message(archive, bulk_id, seq, **changes)
        await recount(archive, bulk_id)
        ids.append(bulk_id)
    return ids


async def set_send(archive: Archive, bulk_id: str, **changes: Any) -> None:
    await _set(archive, "bulk_send", {"id": bulk_id}, changes)


async def set_message(archive: Archive, bulk_id: str, seq: int, **changes: Any) -> None:
    """Its columns as the database holds them; `recount` afterwards."""
    await _set(archive, "message", {"bulk_id": bulk_id, "seq": seq}, changes)


async def _set(archive: Archive, table: str, key: Mapping[str, Any], changes: Mapping[str, Any]) -> None:
    values = ", ".join(f"{name} = :{name}" for name in changes)
    where = " AND ".join(f"{name} = :{name}" for name in key)
    async with archive.writing() as connection:
        await connection.execute(text(f"UPDATE {table} SET {values} WHERE {where}"), {**changes, **key})


async def recount(archive: Archive, *bulk_ids: str) -> None:
    """Give the counters their sums."""
    async with archive.writing() as connection:
        for bulk_id in bulk_ids:
            await connection.execute(text("DELETE FROM counter WHERE bulk_id = :id"), {"id": bulk_id})
            await connection.execute(
                text(
                    "INSERT INTO counter (bulk_id, state, shard, n) SELECT bulk_id, state, 0, count(*) "
                    "FROM message WHERE bulk_id = :id GROUP BY bulk_id, state"
                ),
                {"id": bulk_id},
            )


async def an_operation(archive: Archive, verb: str, by: str, reason: str) -> str:
    """The id of an operation that is done."""
    async with archive.writing() as connection:
        await connection.execute(
            text(
                'INSERT INTO operation (id, verb, state, filter, reason, "by", via, created_at, changed, '
                "skipped, detail, bulk_id, seq) "
                "VALUES (:id, :verb, 'done', '{}', :reason, :by, 'api', :at, 1, 0, '', '', 0)"
            ),
            {"id": f"op_{verb}", "verb": verb, "by": by, "reason": reason, "at": to_microseconds(NOW)},
        )
    return f"op_{verb}"


def public_ids(bulk_id: str, seqs: Sequence[int]) -> list[str]:
    return [f"{bulk_id}.{seq}" for seq in seqs]
