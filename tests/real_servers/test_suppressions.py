"""The suppression list in the archive, on both databases: entries, and messages that end because of it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
from sqlalchemy import text
from temporalio.testing import ActivityEnvironment

from activities.bulks import BulkActivities
from activities.parts import WorkerParts
from postwerk.archive import delivery, plan, reads, suppressing
from postwerk.archive.engine import Archive
from postwerk.archive.intake import NewBulkSend, add_recipients, queue_bulk_send, store_bulk_send
from postwerk.archive.suppressions import (
    EntryCursor,
    HardBounce,
    NewSuppression,
    Suppression,
    SuppressionFilter,
    add_suppressions,
    count_suppressions,
    remove_suppression,
    settle_suppressed,
    suppress_hard_bounces,
    suppress_listed,
    suppressed_seqs,
    suppression,
    suppressions,
)
from postwerk.contracts.options import BulkOptions
from postwerk.contracts.orders import BulkOrder, Plan
from postwerk.contracts.states import BulkState
from postwerk.errors import NotFound
from tests.support.seeding import a_content, a_recipient, a_stored_bulk_send

NOW = datetime(2027, 1, 4, 12, tzinfo=UTC)
ANY = SuppressionFilter()


async def listed(
    archive: Archive, *addresses: str, reason: str = "manual", source: str = "api", now: datetime = NOW
) -> int:
    entries = [NewSuppression(address, reason) for address in addresses]
    async with archive.writing() as connection:
        return await add_suppressions(connection, entries, source=source, now=now)


async def found(archive: Archive, wanted: SuppressionFilter = ANY, **page: Any) -> list[str]:
    async with archive.reading() as connection:
        return [entry.address for entry in await suppressions(connection, wanted, **page)]


async def accounting(archive: Archive, bulk_id: str) -> dict[str, int]:
    """The counters, after a look whether everything adds up."""
    async with archive.reading() as connection:
        told = await reads.accounting(connection, bulk_id)
    assert told["adds_up"], told
    return dict(told["counted"])


async def run(archive: Archive, statement: str, **values: Any) -> None:
    async with archive.writing() as connection:
        await connection.execute(text(statement), values)


# Entries


async def test_an_entry_stays_as_it_was_first_listed(archive: Archive) -> None:
    assert await listed(archive, "Ada@example.com", "bob@example.com", "ada@example.com") == 2
    later = NOW + timedelta(days=1)
    assert await listed(archive, "ADA@example.com", "eve@example.com", reason="complaint", now=later) == 1
    assert await listed(archive) == 0

    async with archive.reading() as connection:
        entry = await suppression(connection, "aDa@example.com")
        assert await count_suppressions(connection, ANY) == 3
    assert entry == Suppression("ada@example.com", "manual", "api", "", None, NOW)


async def test_an_entry_taken_off_is_gone(archive: Archive) -> None:
    await listed(archive, "ada@example.com")
    async with archive.writing() as connection:
        assert await remove_suppression(connection, "Ada@example.com")
        assert not await remove_suppression(connection, "ada@example.com")
        with pytest.raises(NotFound):
            await suppression(connection, "ada@example.com")


async def test_entries_are_listed_newest_first_page_by_page(archive: Archive) -> None:
    await listed(archive, "a@example.com", "b@example.com", "c@example.com")
    await listed(archive, "0@example.com", now=NOW + timedelta(seconds=1))

    seen: list[str] = []
    after: EntryCursor | None = None
    for _ in range(4):
        async with archive.reading() as connection:
            (entry,) = await suppressions(connection, ANY, limit=1, after=after)
        seen.append(entry.address[0])
        after = EntryCursor(entry.created_at, entry.address)
    assert seen == ["0", "c", "b", "a"]
    assert await found(archive, after=after) == []


async def test_entries_are_found_by_reason_source_and_part_of_the_address(archive: Archive) -> None:
    await listed(archive, "a_b@example.com", "axb@example.com")
    await listed(archive, "Carl@gmx.de", reason="complaint", source="import")

    assert await found(archive, SuppressionFilter(reason="complaint")) == ["carl@gmx.de"]
    assert await found(archive, SuppressionFilter(source="api", q="A_B@")) == ["a_b@example.com"]
    assert await found(archive, SuppressionFilter(q="%")) == []
    async with archive.reading() as connection:
        assert await count_suppressions(connection, SuppressionFilter(source="api")) == 2


async def test_hard_bounces_are_listed_by_the_address_of_their_message(archive: Archive) -> None:
    first = await a_stored_bulk_send(archive, ["Ada@example.com", "bob@example.com", "eve@example.com"])
    second = await a_stored_bulk_send(archive, ["ada@EXAMPLE.com", "eve@example.com"])
    await listed(archive, "bob@example.com")

    def at(bulk_id: str, seq: int) -> HardBounce:
        return HardBounce(bulk_id, seq, "user_unknown", "550 5.1.1 no such user", 1_000_000)

    bounces = [at(first.bulk_id, 1), at(first.bulk_id, 2), at(second.bulk_id, 1), at("bulk_gone", 1)]
    added = await archive.at_once(lambda connection: suppress_hard_bounces(connection, bounces))

    assert added == 1
    assert await archive.at_once(lambda connection: suppress_hard_bounces(connection, [])) == 0
    async with archive.reading() as connection:
        entry = await suppression(connection, "ada@example.com")
        assert (await suppression(connection, "bob@example.com")).source == "api"
        assert await count_suppressions(connection, ANY) == 2
    assert (entry.reason, entry.source, entry.detail) == ("user_unknown", "reply", "550 5.1.1 no such user")
    assert entry.bulk_id in (first.bulk_id, second.bulk_id)
    assert entry.created_at == datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)


async def test_writers_with_the_same_addresses_in_any_order_never_wait_for_each_other_crosswise(
    archive: Archive,
) -> None:
    addresses = [f"user{n}@example.com" for n in range(300)]
    shuffled = [random.Random(n).sample(addresses, 300) for n in range(8)]

    added = await asyncio.gather(*(listed(archive, *some) for some in shuffled))

    assert sum(added) == 300


async def test_letters_beyond_ascii_are_compared_as_the_messages_are(archive: Archive) -> None:
    await listed(archive, "Ärger@example.com")
    order = await a_stored_bulk_send(archive, ["Ärger@example.com", "arger@example.com"])

    assert await accounting(archive, order.bulk_id) == {"queued": 1, "suppressed": 1}
    async with archive.reading() as connection:
        assert (await suppression(connection, "Ärger@example.com")).reason == "manual"


# Messages of a send under way


async def test_a_message_whose_address_is_listed_meanwhile_is_suppressed(archive: Archive) -> None:
    order = await a_stored_bulk_send(archive, [f"user{n}@example.com" for n in range(1, 7)])
    bulk_id, seqs = order.bulk_id, range(1, 7)
    async with archive.reading() as connection:
        assert await suppressed_seqs(connection, bulk_id, seqs) == set()
    await listed(archive, *[f"USER{n}@example.com" for n in range(1, 6)], reason="complaint")
    for seq, state in ((2, "deferred"), (3, "sending"), (4, "delivered")):
        await run(archive, "UPDATE message SET state = :state, next_attempt_at = 5 WHERE seq = :seq",
                  seq=seq, state=state)  # fmt: skip
        await run(archive, "UPDATE counter SET n = n - 1 WHERE state = 'queued'")
        await run(archive, "INSERT INTO counter VALUES (:id, :state, 0, 1)", id=bulk_id, state=state)

    async with archive.reading() as connection:
        assert await suppressed_seqs(connection, bulk_id, seqs) == {1, 2, 3, 4, 5}
        assert await suppressed_seqs(connection, bulk_id, [2, 6, 99]) == {2}
        assert await suppressed_seqs(connection, bulk_id, []) == set()
    async with archive.writing() as connection:
        assert await settle_suppressed(connection, bulk_id, [], NOW, shard=3) == 0
        assert await settle_suppressed(connection, bulk_id, [1, 2, 3, 4, 6], NOW, shard=3) == 2

    assert await accounting(archive, bulk_id) == {"delivered": 1, "queued": 2, "sending": 1, "suppressed": 2}
    async with archive.reading() as connection:
        row = await connection.execute(
            text("SELECT state, last_reason, next_attempt_at, changed_at FROM message WHERE seq = 2")
        )
    assert row.one() == ("suppressed", "complaint", None, 1_799_064_000_000_000)


# Planning


async def test_a_plan_leaves_out_who_is_listed(archive: Archive) -> None:
    await listed(archive, *[f"user{n}@example.com" for n in range(0, 40, 2)], "user1@gmail.com")
    addresses = [f"User{n}@example.com" for n in range(40)] + ["user1@gmail.com", "user2@gmx.de"]
    order = await a_stored_bulk_send(archive, addresses, recipients_per_child=8)

    assert order.batches is not None
    assert [(batch.lane, batch.messages) for batch in order.batches] == [
        ("example.com", 8), ("gmx.net", 1), ("example.com", 8), ("example.com", 4),
    ]  # fmt: skip
    due: list[str] = []
    async with archive.reading() as connection:
        for batch in order.batches:
            due += [message.address for message in await delivery.due_messages(connection, batch, NOW)]
    assert sorted(due) == sorted([f"User{n}@example.com" for n in range(1, 40, 2)] + ["user2@gmx.de"])
    assert await accounting(archive, order.bulk_id) == {"queued": 21, "suppressed": 21}


async def test_a_plan_in_which_everybody_is_listed_has_no_batches(archive: Archive) -> None:
    await listed(archive, "ada@example.com", "bob@example.com")
    order = await a_stored_bulk_send(archive, ["ada@example.com", "bob@example.com"])

    assert order.batches == ()
    assert await accounting(archive, order.bulk_id) == {"suppressed": 2}


async def test_a_plan_is_made_once_whoever_is_listed_or_taken_off_afterwards(archive: Archive) -> None:
    await listed(archive, "ada@example.com")
    order = await a_stored_bulk_send(archive, ["ada@example.com", "bob@example.com"])
    await listed(archive, "bob@example.com")
    async with archive.writing() as connection:
        await remove_suppression(connection, "ada@example.com")
        again = await plan.plan_batches(connection, order.bulk_id, None, now=NOW, shard=0)

    assert again.orders == order.batches
    assert await accounting(archive, order.bulk_id) == {"queued": 1, "suppressed": 1}


async def test_only_the_range_that_was_asked_for_is_suppressed(archive: Archive) -> None:
    order = await a_stored_bulk_send(archive, [f"user{n}@example.com" for n in range(1, 9)])
    async with archive.writing() as connection:
        assert await suppress_listed(connection, order.bulk_id, 1, 8, NOW, shard=1) == 0
    await listed(archive, *[f"user{n}@example.com" for n in range(1, 9)])
    async with archive.writing() as connection:
        assert await suppress_listed(connection, order.bulk_id, 3, 5, NOW, shard=1) == 3
        assert await suppress_listed(connection, order.bulk_id, 3, 6, NOW, shard=1) == 1
    assert await accounting(archive, order.bulk_id) == {"queued": 4, "suppressed": 4}


async def a_large_send(archive: Archive, count: int) -> str:
    """A queued bulk send of user0 .. at example.com, not planned."""
    bulk_id = "bulk_large"
    async with archive.writing() as connection:
        new = NewBulkSend(bulk_id, "", a_content(), BulkOptions(), None, NOW)
        await store_bulk_send(connection, new, BulkState.STORING)
        recipients = [a_recipient(f"User{n}@example.com") for n in range(count)]
        await add_recipients(connection, bulk_id, recipients)
        await queue_bulk_send(connection, bulk_id, NOW, new.options)
    return bulk_id


async def planned(archive: Archive, bulk_id: str) -> Plan:
    """What the activity answers."""
    activities = BulkActivities(cast(WorkerParts, SimpleNamespace(archive=archive, shard=2)))
    order = BulkOrder(bulk_id=bulk_id, now=NOW)
    return await ActivityEnvironment().run(activities.plan_bulk, order)


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suppressing, "PAGE", 100)
    monkeypatch.setattr("postwerk.archive.bulks.ROWS_PER_COMMIT", 30)


@pytest.mark.usefixtures("small_pages")
@pytest.mark.parametrize("entries", [range(0), range(0, 4000, 8), range(-3000, 4000, 2)])
async def test_a_large_plan_finds_everybody_along_the_list_or_along_the_messages(
    archive: Archive, entries: Sequence[int]
) -> None:
    bulk_id = await a_large_send(archive, 2500)
    await listed(archive, *[f"user{n}@example.com" for n in entries])

    first = await planned(archive, bulk_id)
    again = await planned(archive, bulk_id)

    suppressed = len([n for n in entries if 0 <= n < 2500])
    assert sum(batch.messages for batch in first.orders) == 2500 - suppressed
    assert again == first
    counted = await accounting(archive, bulk_id)
    assert counted.get("suppressed", 0) == suppressed


@pytest.mark.parametrize("archive", ["sqlite"], indirect=True)  # PostgreSQL plans by what it has counted
async def test_each_way_of_searching_uses_an_index(archive: Archive) -> None:
    """Read along the wrong one, a million messages take an hour instead of a second."""
    values = {"bulk_id": "b", "after": "", "end": "z"}
    plans = []
    async with archive.reading() as connection:
        for statement in (suppressing._UP_TO, suppressing._BY_MESSAGES):
            rows = await connection.execute(text(f"EXPLAIN QUERY PLAN {statement.text}"), values)
            plans.append([row[3] for row in rows])
    assert any("message_once (bulk_id=? AND <expr>=?)" in step for step in plans[0])
    assert any("suppression_1 (address=?)" in step for step in plans[1])


@pytest.mark.usefixtures("small_pages")
async def test_a_large_plan_that_was_broken_off_is_finished_by_the_next(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    bulk_id = await a_large_send(archive, 2500)
    await listed(archive, *[f"user{n}@example.com" for n in range(0, 2500, 5)])

    async def broken_off(*_: Any, **__: Any) -> None:
        raise OSError("the worker died")

    with monkeypatch.context() as broken:
        broken.setattr("activities.bulks.plan.plan_batches", broken_off)
        with pytest.raises(OSError, match="died"):
            await planned(archive, bulk_id)
    done = await planned(archive, bulk_id)

    assert sum(batch.messages for batch in done.orders) == 2000
    assert await accounting(archive, bulk_id) == {"queued": 2000, "suppressed": 500}
