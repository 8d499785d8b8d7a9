"""Suspensions in the archive: who made them, which are in force, and when a batch is due because of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from postwerk.archive import suspensions
from postwerk.archive.audit import Actor, AuditEntry, audit_entries
from postwerk.archive.columns import to_microseconds
from postwerk.archive.engine import Archive
from postwerk.archive.suspended_due import suspended_due
from postwerk.archive.suspensions import Suspension
from postwerk.contracts.orders import BatchOrder
from postwerk.errors import NotFound
from postwerk.rules.suspending import SuspensionKind
from tests.support.seeding import a_stored_bulk_send

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
ADA, BOB = Actor("ada"), Actor("bob")


async def suspend(archive: Archive, name: str, minutes: int, kind: str = "domain") -> Suspension:
    async with archive.writing() as connection:
        return await suspensions.suspend(
            connection,
            SuspensionKind(kind),
            name,
            until=NOW + minutes * MINUTE,
            reason="their maintenance",
            actor=ADA,
            now=NOW,
        )


async def in_force(archive: Archive, after: int = 0) -> list[str]:
    """Lanes that rest as a whole, that many minutes later."""
    now = NOW + after * MINUTE
    async with archive.reading() as connection:
        return (await suspensions.suspensions_in_force(connection, now)).whole_lanes(now)


async def audited(archive: Archive) -> list[AuditEntry]:
    async with archive.reading() as connection:
        return await audit_entries(connection)


async def test_one_ends_by_itself_and_others_go_on(archive: Archive) -> None:
    await suspend(archive, "acme.example", 10)
    await suspend(archive, "gmail.com", 20, "provider")
    assert sorted(await in_force(archive, after=9)) == ["acme.example", "gmail.com"]
    assert await in_force(archive, after=10) == ["gmail.com"]
    assert await in_force(archive, after=20) == []


async def test_one_is_ended_by_hand_once(archive: Archive) -> None:
    made = await suspend(archive, "acme.example", 10)
    async with archive.writing() as connection:
        ended, was_active = await suspensions.end_suspension(connection, made.id, BOB, NOW + MINUTE)
        again, is_active = await suspensions.end_suspension(connection, made.id, ADA, NOW + 2 * MINUTE)
    assert (was_active, is_active) == (True, False)
    assert (ended.ended_at, ended.ended_by, ended.by) == (NOW + MINUTE, "bob", "ada")
    assert again == ended
    assert await in_force(archive, after=2) == []
    [end, create] = await audited(archive)
    assert (create.action, create.by, create.target) == ("suspension.create", "ada", "acme.example")
    assert (end.action, end.by, end.reason) == ("suspension.end", "bob", "their maintenance")
    assert end.details == create.details


async def test_one_that_has_run_out_cannot_be_ended(archive: Archive) -> None:
    made = await suspend(archive, "acme.example", 10)
    async with archive.writing() as connection:
        found, was_active = await suspensions.end_suspension(connection, made.id, BOB, NOW + 10 * MINUTE)
    assert (found.ended_at, was_active) == (None, False)
    assert [entry.action for entry in await audited(archive)] == ["suspension.create"]


async def test_who_ends_one_of_two_leaves_the_other(archive: Archive) -> None:
    first = await suspend(archive, "acme.example", 10)
    await suspend(archive, "acme.example", 30)
    async with archive.writing() as connection:
        await suspensions.end_suspension(connection, first.id, ADA, NOW)
    assert await in_force(archive, after=29) == ["acme.example"]


async def test_they_are_listed_newest_first(archive: Archive) -> None:
    made = [await suspend(archive, f"n{n}.example", 10 * n + 10) for n in range(4)]
    newest = [one.id for one in reversed(made)]
    later = NOW + 25 * MINUTE
    async with archive.reading() as connection:
        found = await suspensions.suspensions(connection, NOW)
        page = await suspensions.suspensions(connection, NOW, limit=2, after=newest[0])
        active = await suspensions.suspensions(connection, later, active=True)
        ended = await suspensions.suspensions(connection, later, active=False)
        assert await suspensions.suspension(connection, newest[0]) == made[3]
        with pytest.raises(NotFound):
            await suspensions.suspension(connection, "sus_none")
    assert [one.id for one in found] == newest
    assert [one.id for one in page] == newest[1:3]
    assert [one.id for one in active] == newest[:2]
    assert [one.id for one in ended] == newest[2:]


# When a batch is due

A, B = "a.example", "b.example"


async def a_batch(archive: Archive, **due: int | None) -> BatchOrder:
    """One batch in the lane `other`: a message to each domain, due so many minutes from now; None: queued."""
    order = await a_stored_bulk_send(archive, [f"X@{name}.example" for name in due], recipients_per_child=100)
    assert order.batches is not None
    async with archive.writing() as connection:
        for seq, minutes in enumerate(due.values(), start=1):
            if minutes is not None:
                at = to_microseconds(NOW + minutes * MINUTE)
                await connection.execute(
                    text("UPDATE message SET state = 'deferred', next_attempt_at = :at WHERE seq = :seq"),
                    {"at": at, "seq": seq},
                )
    [batch] = order.batches
    return batch


async def minutes_until_due(archive: Archive, batch: BatchOrder, **ends: int) -> float | None:
    async with archive.reading() as connection:
        found = await suspended_due(
            connection, batch, {f"{name}.example": NOW + n * MINUTE for name, n in ends.items()}, NOW
        )
    return None if found is None else (found - NOW) / MINUTE


async def test_a_batch_is_due_when_the_first_of_its_suspensions_ends(archive: Archive) -> None:
    batch = await a_batch(archive, a=None, b=None)
    assert await minutes_until_due(archive, batch, a=50, b=60) == 50


async def test_or_when_another_message_is_due_before(archive: Archive) -> None:
    batch = await a_batch(archive, a=None, b=5)
    assert await minutes_until_due(archive, batch, a=50) == 5


async def test_a_deferred_message_of_a_suspended_domain_waits_for_the_later_time(archive: Archive) -> None:
    batch = await a_batch(archive, a=5, b=70)
    assert await minutes_until_due(archive, batch, a=50, b=60) == 50


async def test_what_may_go_now_is_due_now(archive: Archive) -> None:
    batch = await a_batch(archive, a=None, b=None)
    due = await minutes_until_due(archive, batch, a=50)
    assert due is not None
    assert due <= 0


async def test_messages_that_are_due_together_do_not_keep_a_suspended_one_waiting(archive: Archive) -> None:
    batch = await a_batch(archive, b=50, a=None, c=51)
    async with archive.writing() as connection:
        at = to_microseconds(NOW + 50 * MINUTE + timedelta(seconds=20))
        await connection.execute(text("UPDATE message SET next_attempt_at = :at WHERE seq = 3"), {"at": at})
    alone = await minutes_until_due(archive, batch, d=90)
    assert alone is None or alone <= 0  # `a` may go now
    together = await minutes_until_due(archive, batch, a=90)
    assert together == pytest.approx(50 + 20 / 60)
    async with archive.reading() as connection:
        end = NOW + 50 * MINUTE + timedelta(seconds=10)
        assert await suspended_due(connection, batch, {A: end}, NOW) == end


async def test_a_batch_with_nothing_open_is_never_due(archive: Archive) -> None:
    batch = await a_batch(archive, a=None)
    async with archive.writing() as connection:
        await connection.execute(text("UPDATE message SET state = 'delivered'"))
    assert await minutes_until_due(archive, batch, a=50) is None
