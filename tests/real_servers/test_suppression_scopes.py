"""Two scopes on one list: who unsubscribed gets no bulk sends, but still single messages."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from postwerk.archive import suppressing
from postwerk.archive.engine import Archive
from postwerk.archive.ids import new_bulk_id
from postwerk.archive.intake import NewBulkSend, add_recipients, queue_bulk_send, store_bulk_send
from postwerk.archive.operating import _FORGET_SUPPRESSIONS, _NARROW_SUPPRESSIONS
from postwerk.archive.suppressions import (
    HardBounce,
    NewSuppression,
    Suppression,
    SuppressionFilter,
    add_suppressions,
    suppress_hard_bounces,
    suppress_listed,
    suppressed_seqs,
    suppression,
    suppressions,
)
from postwerk.contracts.options import BulkOptions
from postwerk.contracts.states import BulkState, SendKind, SuppressionScope
from tests.support.seeding import a_content, a_recipient, a_stored_bulk_send

NOW = datetime(2027, 1, 4, 12, tzinfo=UTC)
LATER = NOW + timedelta(days=1)
ADA = "ada@example.com"


async def listed(archive: Archive, *entries: tuple[str, str], now: datetime = NOW) -> int:
    async with archive.writing() as connection:
        new = [NewSuppression(address, reason) for address, reason in entries]
        return await add_suppressions(connection, new, source="api", now=now)


async def entry_of(archive: Archive, address: str = ADA) -> Suppression:
    async with archive.reading() as connection:
        return await suppression(connection, address)


async def a_send(archive: Archive, kind: SendKind, *addresses: str) -> str:
    """Queued, and not planned yet."""
    new = NewBulkSend(new_bulk_id(), "test", a_content(), BulkOptions(), None, NOW, kind=kind)
    async with archive.writing() as connection:
        await store_bulk_send(connection, new, BulkState.STORING)
        await add_recipients(connection, new.id, [a_recipient(address) for address in addresses])
        await queue_bulk_send(connection, new.id, NOW, new.options)
    return new.id


@pytest.mark.parametrize(
    ("first", "second", "reason", "scope", "unsubscribed_at"),
    [
        ("unsubscribe", "complaint", "complaint", SuppressionScope.ALL, NOW),
        ("complaint", "unsubscribe", "complaint", SuppressionScope.ALL, LATER),
        ("unsubscribe", "unsubscribe", "unsubscribe", SuppressionScope.BULK, NOW),
        ("complaint", "manual", "complaint", SuppressionScope.ALL, None),
    ],
)
async def test_the_broader_entry_wins(
    archive: Archive,
    first: str,
    second: str,
    reason: str,
    scope: SuppressionScope,
    unsubscribed_at: datetime | None,
) -> None:
    await listed(archive, (ADA, first))
    await listed(archive, (ADA.upper(), second), now=LATER)
    entry = await entry_of(archive)
    assert (entry.reason, entry.scope, entry.unsubscribed_at) == (reason, scope, unsubscribed_at)
    assert entry.created_at == (NOW if reason == first else LATER)


async def test_one_import_may_say_both_of_an_address(archive: Archive) -> None:
    entries = [
        (ADA, "unsubscribe"),
        ("bob@example.com", "unsubscribe"),
        (ADA.title(), "manual"),
        (ADA, "complaint"),
    ]
    assert await listed(archive, *entries) == 2
    assert (await entry_of(archive)).reason == "manual"
    assert await listed(archive, *entries) <= 1  # that Ada unsubscribed is news
    assert await listed(archive, *entries) == 0


async def test_a_hard_bounce_widens_what_an_unsubscribe_said(archive: Archive) -> None:
    one = await a_stored_bulk_send(archive, [ADA, "bob@example.com"])
    two = await a_stored_bulk_send(archive, [ADA])
    await listed(archive, (ADA, "unsubscribe"))
    bounces = [HardBounce(bulk.bulk_id, 1, "user_unknown", "550", 1_000_000) for bulk in (one, two)]
    assert await archive.at_once(lambda connection: suppress_hard_bounces(connection, bounces)) == 1
    entry = await entry_of(archive)
    assert (entry.reason, entry.source, entry.scope) == ("user_unknown", "reply", SuppressionScope.ALL)


async def test_a_bounce_taken_back_leaves_the_unsubscribe(archive: Archive) -> None:
    one = await a_stored_bulk_send(archive, [ADA, "bob@example.com"])
    await listed(archive, (ADA, "unsubscribe"))
    bounces = [HardBounce(one.bulk_id, seq, "user_unknown", "550", 1_000_000) for seq in (1, 2)]
    await archive.at_once(lambda connection: suppress_hard_bounces(connection, bounces))
    rows = [{"bulk_id": one.bulk_id, "seq": seq} for seq in (1, 2)]
    for statement in (_NARROW_SUPPRESSIONS, _FORGET_SUPPRESSIONS):

        def run(connection, statement=statement):  # type: ignore[no-untyped-def]
            clause, given = statement.bind(connection, rows)
            connection.execute(clause, {**given, "of": one.bulk_id})

        await archive.at_once(run)
    entry = await entry_of(archive)
    assert (entry.reason, entry.scope, entry.unsubscribed_at) == ("unsubscribe", SuppressionScope.BULK, NOW)
    async with archive.reading() as connection:
        assert len(await suppressions(connection, SuppressionFilter())) == 1


@pytest.mark.parametrize(
    ("kind", "gone"), [(SendKind.BULK, {1, 2}), (SendKind.MESSAGE, {2}), (SendKind.NOTICE, {2})]
)
async def test_only_bulk_sends_heed_who_unsubscribed(
    archive: Archive, kind: SendKind, gone: set[int]
) -> None:
    await listed(archive, (ADA, "unsubscribe"), ("bob@example.com", "complaint"))
    bulk_id = await a_send(archive, kind, ADA, "bob@example.com", "eve@example.com")
    async with archive.writing() as connection:
        assert await suppressed_seqs(connection, bulk_id, [1, 2, 3]) == gone
        for entries in ("few", "many"):
            if entries == "many":  # more than there are messages: the search goes along the messages
                more = [NewSuppression(f"x{n}@example.com", "manual") for n in range(9)]
                await add_suppressions(connection, more, source="api", now=NOW)
            search = await suppressing.begin_search(connection, bulk_id)
            assert search is not None
            assert (search.address is None) is (entries == "many")
            found, _ = await suppressing.search_page(connection, search)
            assert set(found) == gone
        assert await suppress_listed(connection, bulk_id, 1, 3, NOW, 0) == len(gone)
        states = await connection.execute(
            text("SELECT seq, last_reason FROM message WHERE bulk_id = :id AND state = 'suppressed'"),
            {"id": bulk_id},
        )
        reasons = {1: "unsubscribe", 2: "complaint"}
        assert dict(tuple(row) for row in states) == {seq: reasons[seq] for seq in gone}


async def test_entries_are_found_by_scope(archive: Archive) -> None:
    await listed(archive, (ADA, "unsubscribe"), ("bob@example.com", "complaint"))
    async with archive.reading() as connection:
        for scope, address in ((SuppressionScope.BULK, ADA), (SuppressionScope.ALL, "bob@example.com")):
            (entry,) = await suppressions(connection, SuppressionFilter(scope=scope))
            assert entry.address == address
