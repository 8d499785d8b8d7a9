"""The journal on both databases: what it answers is durable, and nobody overwrites a newer state."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Connection, text

from postwerk.archive import reads
from postwerk.archive.engine import Archive
from postwerk.archive.journal import Journal, Mark, Outcome
from postwerk.contracts.states import MessageState
from tests.support.metrics import Growth
from tests.support.seeding import a_stored_bulk_send


@asynccontextmanager
async def open_journal(archive: Archive, shard: int = 1) -> AsyncIterator[Journal]:
    journal = Journal(archive, shard=shard)
    journal.start()
    try:
        yield journal
    finally:
        await journal.close()


def a_mark(bulk_id: str, seq: int, attempt: int = 1, was: MessageState = MessageState.QUEUED) -> Mark:
    return Mark(bulk_id, seq, attempt, was, at=1_000, possible_duplicate=False)


def an_outcome(bulk_id: str, seq: int, attempt: int = 1, **changes: object) -> Outcome:
    outcome = Outcome(
        bulk_id=bulk_id,
        seq=seq,
        attempt=attempt,
        state=MessageState.DELIVERED,
        outcome="delivered",
        reason="delivered",
        at=2_000,
        started_at=1_000,
        milliseconds=3,
        deferrals=0,
        next_attempt_at=None,
        possible_duplicate=False,
        stage="dot",
        code=250,
        enhanced="2.0.0",
        reply="2.0.0 taken",
        host="mail.example.com",
        tls="TLSv1.3",
    )
    return replace(outcome, **changes)  # type: ignore[arg-type]


async def accounts(archive: Archive, bulk_id: str) -> dict[str, object]:
    async with archive.reading() as connection:
        return await reads.accounting(connection, bulk_id)


async def test_a_message_goes_from_queued_over_sending_to_delivered(archive: Archive) -> None:
    bulk_id = (await a_stored_bulk_send(archive, ["a@example.com", "b@example.com"])).bulk_id
    async with open_journal(archive) as journal:
        assert await journal.mark(a_mark(bulk_id, 1))
        assert (await accounts(archive, bulk_id))["stored"] == {"queued": 1, "sending": 1}
        assert await journal.record(an_outcome(bulk_id, 1))

    async with archive.reading() as connection:
        message = await reads.message(connection, bulk_id, 1)
        (attempt,) = await reads.attempts(connection, bulk_id, 1)
    assert (message.state, message.attempts, message.last_code) == (MessageState.DELIVERED, 1, 250)
    assert (attempt.number, attempt.outcome, attempt.host) == (1, "delivered", "mail.example.com")
    assert (await accounts(archive, bulk_id))["adds_up"]


async def test_a_mark_and_its_outcome_may_share_a_commit(archive: Archive) -> None:
    bulk_id = (await a_stored_bulk_send(archive, ["a@example.com"])).bulk_id
    async with open_journal(archive) as journal:
        marked, recorded = journal.mark(a_mark(bulk_id, 1)), journal.record(an_outcome(bulk_id, 1))
        assert await marked
        assert await recorded
    assert (await accounts(archive, bulk_id))["counted"] == {"delivered": 1}


async def test_many_connections_share_commits_and_every_counter_is_exact(archive: Archive) -> None:
    addresses = [f"a{n}@example.com" for n in range(300)]
    bulk_id = (await a_stored_bulk_send(archive, addresses)).bulk_id
    growth = Growth()
    async with open_journal(archive) as journal:

        async def carry(first: int) -> None:
            for seq in range(first, 301, 30):
                assert await journal.mark(a_mark(bulk_id, seq))
                state = MessageState.BOUNCED if seq % 3 == 0 else MessageState.DELIVERED
                assert await journal.record(an_outcome(bulk_id, seq, state=state, outcome=state.value))

        await asyncio.gather(*(carry(first) for first in range(1, 31)))
    told = await accounts(archive, bulk_id)
    assert told["counted"] == {"bounced": 100, "delivered": 200}
    assert told["adds_up"]
    assert growth.of("postwerk_journal_group_size_sum") == 600
    commits = growth.of("postwerk_journal_commit_seconds_count")
    assert 20 <= commits == growth.of("postwerk_journal_group_size_count") < 600


async def test_while_the_archive_is_away_its_metrics_say_so(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    bulk_id = (await a_stored_bulk_send(archive, ["a@example.com"])).bulk_id
    growth, write, seen = Growth(), archive.at_once, list[float]()

    async def at_once(work: Callable[[Connection], Any]) -> Any:
        seen.append(growth.of("postwerk_journal_waiting"))
        if len(seen) <= 2:
            raise OSError("the disk is full")
        return await write(work)

    monkeypatch.setattr(archive, "at_once", at_once)
    async with open_journal(archive) as journal:
        assert await journal.mark(a_mark(bulk_id, 1))
    assert seen == [0, 1, 1]
    assert growth.of("postwerk_journal_failures_total") == 2
    assert growth.of("postwerk_journal_waiting") == 0


async def test_a_cancelled_message_cannot_be_marked(archive: Archive) -> None:
    bulk_id = (await a_stored_bulk_send(archive, ["a@example.com"])).bulk_id
    async with open_journal(archive) as journal:
        assert await journal.mark(a_mark(bulk_id, 1))
        assert not await journal.mark(a_mark(bulk_id, 1))  # somebody else has it
        assert not await journal.mark(a_mark(bulk_id, 1, attempt=2))  # and not in this state
    assert (await accounts(archive, bulk_id))["counted"] == {"sending": 1}


async def test_a_writer_that_comes_back_late_overwrites_nothing(archive: Archive) -> None:
    """Stopped in attempt 1 while another worker took over and made attempt 2."""
    bulk_id = (await a_stored_bulk_send(archive, ["a@example.com"])).bulk_id
    async with open_journal(archive, shard=1) as late, open_journal(archive, shard=2) as newer:
        assert await late.mark(a_mark(bulk_id, 1))
        assert await newer.mark(a_mark(bulk_id, 1, attempt=2, was=MessageState.SENDING))
        assert not await late.record(an_outcome(bulk_id, 1, state=MessageState.BOUNCED, outcome="bounced"))
        assert await newer.record(an_outcome(bulk_id, 1, attempt=2))

    async with archive.reading() as connection:
        message = await reads.message(connection, bulk_id, 1)
        outcomes = [attempt.outcome for attempt in await reads.attempts(connection, bulk_id, 1)]
    assert message.state is MessageState.DELIVERED
    assert outcomes == ["bounced", "delivered"]  # what the late one saw is kept as its attempt
    assert (await accounts(archive, bulk_id))["adds_up"]


async def test_an_outcome_written_twice_counts_once(archive: Archive) -> None:
    bulk_id = (await a_stored_bulk_send(archive, ["a@example.com"])).bulk_id
    async with open_journal(archive) as journal:
        assert await journal.mark(a_mark(bulk_id, 1))
        assert await journal.record(an_outcome(bulk_id, 1))
        assert not await journal.record(an_outcome(bulk_id, 1))
    assert (await accounts(archive, bulk_id))["counted"] == {"delivered": 1}


async def test_closing_writes_what_waits(archive: Archive) -> None:
    bulk_id = (await a_stored_bulk_send(archive, ["a@example.com"])).bulk_id
    async with open_journal(archive) as journal:
        waiting = journal.mark(a_mark(bulk_id, 1))
    assert await waiting


async def test_an_outcome_waits_for_whoever_holds_the_row(archive: Archive) -> None:
    bulk_id = (await a_stored_bulk_send(archive, ["a@example.com"])).bulk_id
    async with open_journal(archive) as journal:
        assert await journal.mark(a_mark(bulk_id, 1))
        async with archive.writing() as other:
            await other.execute(text("UPDATE message SET name = 'held' WHERE seq = 1"))
            waiting = journal.record(an_outcome(bulk_id, 1))
            _, still_waiting = await asyncio.wait({waiting}, timeout=0.15)
            assert still_waiting
        assert await waiting
