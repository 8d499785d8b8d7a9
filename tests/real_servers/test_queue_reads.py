"""The queue's list and counts say what a plain look at every message says."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from postwerk.archive import queue_counts, queue_reads
from postwerk.archive.engine import Archive
from postwerk.archive.queue_counts import count_meant, rows_to_read, take_survey
from postwerk.archive.queue_filter import BULK, UNDER_WAY, sends_in_question
from postwerk.archive.queue_reads import Position, queued_messages
from postwerk.archive.reads import MESSAGE_COLUMNS, Message, message_of
from postwerk.contracts.queue import QueueFilter
from postwerk.contracts.states import OPEN_STATES, MessageState
from postwerk.rules.providers import lane_of
from postwerk.rules.queue_summary import By, counted_in, parts_of, summarise
from tests.support.databases import DATABASES, fresh_database, open_archive
from tests.support.queues import (
    CODES,
    DOMAINS,
    NOW,
    REASONS,
    an_assorted_queue,
    public_ids,
    recount,
    set_message,
)

SOME = settings(
    max_examples=120,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)
AGES = [timedelta(minutes=minutes) for minutes in (0, 15, 30, 45, 90, 500)]


@asynccontextmanager
async def _an_archive(database: str, folder: Path, server: str) -> AsyncIterator[Archive]:
    if database == "sqlite":
        async with open_archive(f"sqlite+aiosqlite:///{folder}/archive.db") as archive:
            yield archive
        return
    async with fresh_database(server) as url, open_archive(url) as archive:
        yield archive


def filters(ids: list[str]) -> st.SearchStrategy[QueueFilter]:
    """Any filter, of values that are there, or nearly."""
    named = st.lists(st.tuples(st.sampled_from(ids), st.integers(1, 45)), min_size=1, max_size=40)
    domains, states = st.sampled_from(DOMAINS), st.sampled_from(sorted(OPEN_STATES))
    criteria: dict[str, st.SearchStrategy[Any]] = {
        "ids": named.map(lambda some: tuple(f"{bulk_id}.{seq}" for bulk_id, seq in some)),
        "bulk": st.lists(st.sampled_from([*ids, "bulk_none"]), min_size=1, max_size=4).map(tuple),
        "provider": st.sampled_from([*{lane_of(domain) for domain in DOMAINS}, "other", "none.example"]),
        "domain": st.sampled_from([*DOMAINS, "none.example", "ail.com"]),
        "recipient": st.builds(lambda n, domain: f"uSER{n}@{domain}", st.integers(0, 41), domains),
        "state": st.lists(states, min_size=1, max_size=3, unique=True).map(tuple),
        "code": st.sampled_from([*[code for code in CODES if code], 2, 4, 5]),
        "reason": st.sampled_from([reason for reason in REASONS if reason]),
        "q": st.sampled_from(["user1", "USER2", "@GMX", "%", "_", "nobody"]),
        "older_than": st.sampled_from(AGES),
        "younger_than": st.sampled_from(AGES),
        "all": st.booleans(),
    }
    return st.fixed_dictionaries({}, optional=criteria).map(lambda given: QueueFilter(**given))


class Plainly:
    """Every message of the archive in memory, and what each filter means, said in Python."""

    def __init__(self, messages: list[Message], accepted_at: dict[str, Any]) -> None:
        self.messages = messages
        self.accepted_at = accepted_at
        """Of sends under way."""

    @classmethod
    async def of(cls, archive: Archive) -> Plainly:
        async with archive.reading() as connection:
            rows = await connection.execute(select(*MESSAGE_COLUMNS))
            messages = sorted((message_of(row) for row in rows), key=_place)
            query = select(BULK.id, BULK.accepted_at).where(BULK.state.in_(UNDER_WAY))
            return cls(messages, {row.id: row.accepted_at for row in await connection.execute(query)})

    def meant(self, wanted: QueueFilter) -> list[Message]:
        return [one for one in self.messages if self._is_meant(one, wanted)]

    def _is_meant(self, one: Message, wanted: QueueFilter) -> bool:
        if one.bulk_id not in self.accepted_at:
            return False
        age, domain = NOW - self.accepted_at[one.bulk_id], one.address.partition("@")[2]
        code = one.last_code or 0
        return all(
            (
                not wanted.ids or f"{one.bulk_id}.{one.seq}" in wanted.ids,
                not wanted.bulk or one.bulk_id in wanted.bulk,
                wanted.provider is None or wanted.provider in (one.lane, lane_of(domain)),
                wanted.domain is None or domain == wanted.domain,
                wanted.recipient is None or one.address.lower() == wanted.recipient.lower(),
                one.state in (wanted.state or OPEN_STATES),
                wanted.code is None or wanted.code in (code, code // 100),
                wanted.reason is None or one.last_reason == wanted.reason,
                wanted.q is None or wanted.q.lower() in one.address.lower(),
                wanted.older_than is None or age >= wanted.older_than,
                wanted.younger_than is None or age < wanted.younger_than,
            )
        )


def _place(message: Message) -> tuple[str, int]:
    return message.bulk_id, message.seq


async def _listed(archive: Archive, wanted: QueueFilter, *, limit: int, patience: float) -> list[Message]:
    """All pages, each by its cursor."""
    found: list[Message] = []
    after: Position | None = None
    while True:
        async with archive.reading() as connection:
            page = await queued_messages(connection, wanted, NOW, limit=limit, after=after, patience=patience)
        assert len(page.messages) <= limit
        found += page.messages
        if page.next is None:
            return found
        assert after is None or page.next > after
        after = page.next


@pytest.mark.parametrize("database", DATABASES)
def test_filters_mean_what_they_say(
    database: str, tmp_path: Path, postgresql_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue_reads, "_FIRST_LOOK", 7)
    monkeypatch.setattr(queue_reads, "_WIDEST_LOOK", 20)
    with asyncio.Runner() as runner:
        opened = _an_archive(database, tmp_path, postgresql_server)
        archive = runner.run(opened.__aenter__())
        try:
            _compare(runner, archive)
        finally:
            runner.run(opened.__aexit__(None, None, None))


def _compare(runner: asyncio.Runner, archive: Archive) -> None:
    ids = runner.run(an_assorted_queue(archive))
    plainly = runner.run(Plainly.of(archive))

    @SOME
    @given(wanted=filters(ids), limit=st.integers(1, 50), patience=st.sampled_from([0.0, 10.0]))
    def agrees(wanted: QueueFilter, limit: int, patience: float) -> None:
        meant = plainly.meant(wanted)
        assert runner.run(_listed(archive, wanted, limit=limit, patience=patience)) == meant
        runner.run(_counts_agree(archive, wanted, Counter(one.state for one in meant)))

    agrees()


async def _counts_agree(archive: Archive, wanted: QueueFilter, meant: Counter[MessageState]) -> None:
    async with archive.reading() as connection:
        sends = await sends_in_question(connection, wanted, NOW)
        assert await count_meant(connection, sends, wanted) == meant
        everything = await sends_in_question(connection, QueueFilter(), NOW)
        surveyed = counted_in(
            await take_survey(connection, everything, NOW), wanted, {send.id for send in sends}
        )
    if wanted.domain is None and wanted.provider is None:
        assert (surveyed is None) is bool(wanted.ids or wanted.recipient or wanted.q)
    assert surveyed is None or +surveyed == meant


@pytest.mark.parametrize("by", [By.PROVIDER, By.DOMAIN, By.REASON])
async def test_a_survey_adds_up_to_the_counters(archive: Archive, by: By) -> None:
    await an_assorted_queue(archive)
    async with archive.reading() as connection:
        sends = await sends_in_question(connection, QueueFilter(), NOW)
        survey = await take_survey(connection, sends, NOW)
    accepted_at = {send.id: send.accepted_at for send in sends if send.accepted_at}
    rows = summarise(parts_of(survey, by, accepted_at), AGES[1:], NOW)

    for state in OPEN_STATES:
        assert sum(row.states[state] for row in rows) == sum(send.counts.get(state, 0) for send in sends)
    assert all(sum(row.by_age) == row.total for row in rows)
    assert [row.total for row in rows] == sorted((row.total for row in rows), reverse=True)
    assert sum(row.total for row in rows) > 50


async def test_of_very_many_domains_only_the_largest_are_known(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what is not known for sure is not told."""
    monkeypatch.setattr(queue_counts, "MOST_DOMAINS", 2)
    bulk_id, *_ = await an_assorted_queue(archive)
    async with archive.reading() as connection:
        one = await sends_in_question(connection, QueueFilter(bulk=(bulk_id,)), NOW)
        survey = await take_survey(connection, one, NOW)
        largest = summarise(parts_of(survey, By.DOMAIN, {bulk_id: NOW}), [], NOW)[0]
        counts = await count_meant(connection, one, QueueFilter(domain=largest.name))
    assert counted_in(survey, QueueFilter(domain=largest.name), {bulk_id}) == counts == largest.states
    assert counted_in(survey, QueueFilter(domain="none.example"), {bulk_id}) is None


async def test_where_few_are_deferred_only_they_are_read(archive: Archive) -> None:
    bulk_id, *_ = await an_assorted_queue(archive)
    for seq in range(1, 41):
        await set_message(archive, bulk_id, seq, state="deferred" if seq in (7, 31) else "delivered")
    await recount(archive, bulk_id)
    async with archive.reading() as connection:
        sends = await sends_in_question(connection, QueueFilter(bulk=(bulk_id,)), NOW)
        survey = await take_survey(connection, sends, NOW)
    assert rows_to_read(sends) == 2
    assert sum(group.n for group in survey.groups) == sum(group.n for group in survey.domains) == 2
    assert {group.state for group in survey.groups} == {MessageState.DEFERRED}


async def test_cursors_lose_and_repeat_nothing_while_messages_move(archive: Archive) -> None:
    """What stays open all the time is seen once, whatever becomes of the others meanwhile."""
    ids = (await an_assorted_queue(archive))[:4]
    plainly = await Plainly.of(archive)
    before = {_place(one): one.state for one in plainly.meant(QueueFilter())}
    seen: list[tuple[str, int]] = []
    moved: set[tuple[str, int]] = set()
    after: Position | None = None
    for turn in range(100):
        async with archive.reading() as connection:
            page = await queued_messages(connection, QueueFilter(), NOW, limit=9, after=after)
        seen += [_place(one) for one in page.messages]
        if (after := page.next) is None:
            break
        for number, place in enumerate(before):
            if number % 11 == turn % 11:  # some ahead of us, some behind
                state = ["delivered", "deferred", "held", "sending"][(number + turn) % 4]
                moved |= {place} if state == "delivered" else set()
                await set_message(archive, *place, state=state)
        await recount(archive, *ids)
    assert after is None
    assert len(seen) == len(set(seen))
    assert set(before) - moved <= set(seen) <= set(before)
    assert moved


async def test_an_id_of_another_send_is_not_meant(archive: Archive) -> None:
    first, second, *_ = await an_assorted_queue(archive)
    async with archive.reading() as connection:
        wanted = QueueFilter(ids=tuple(public_ids(first, range(1, 41))), bulk=(second,))
        assert (await queued_messages(connection, wanted, NOW, limit=50)).messages == []
