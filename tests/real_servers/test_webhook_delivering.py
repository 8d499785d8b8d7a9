"""A run of a webhook on both databases: each event at least once, in order, and what failed comes again."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from postwerk.archive.columns import to_microseconds
from postwerk.archive.engine import Archive
from postwerk.archive.event_cursor import START, Cursor
from postwerk.archive.outbox import newest
from postwerk.archive.outbox_keeping import erase_events
from postwerk.archive.webhook_deliveries import begin_afresh, erase_deliveries
from postwerk.archive.webhooks import change_webhook, delete_webhook
from postwerk.contracts.events import EventType
from postwerk.contracts.webhooks import (
    DeliveryOutcome,
    DeliveryReport,
    Position,
    ReplayOrder,
    RunOutcome,
    WebhookState,
)
from postwerk.rules.webhook_schedule import WAITS
from postwerk.webhooks import watching
from postwerk.webhooks.delivering import Run
from postwerk.webhooks.replaying import ReplayRun
from postwerk.webhooks.sending import Sender
from postwerk.webhooks.watching import OutboxWatch
from postwerk.webhooks.wire import Wire
from tests.support.metrics import Growth
from tests.support.receiver import OK, Receiver, answer
from tests.support.webhooks import a_webhook, requests_of, some_events, stored

DELIVERED, FAILED, GIVEN_UP = DeliveryOutcome.DELIVERED, DeliveryOutcome.FAILED, DeliveryOutcome.GIVEN_UP
ERROR = answer(500, "oops")


class Runs:
    """Runs of webhooks over one archive, as a worker has them."""

    def __init__(self, archive: Archive, wire: Wire, watch: OutboxWatch) -> None:
        self.archive = archive
        self.sender = Sender(wire, chance=random.Random(1))
        self.watch = watch

    async def until_told(self, webhook_id: str) -> DeliveryReport:
        """One run, until it fails or its receiver has everything."""
        async with self.archive.reading() as connection:
            end = await newest(connection)
        run = Run(self.archive, self.sender, self.watch, webhook_id, lambda: run._ledger.cursor >= end)
        return await asyncio.wait_for(run.deliver(), 30)

    async def again(self, order: ReplayOrder) -> DeliveryReport:
        return await asyncio.wait_for(
            ReplayRun(self.archive, self.sender, order, lambda: False).deliver(), 30
        )


@asynccontextmanager
async def running(archive: Archive) -> AsyncIterator[Runs]:
    wire, watch = Wire(private=True, seconds=0.5), OutboxWatch(archive)
    try:
        yield Runs(archive, wire, watch)
    finally:
        await watch.close()
        await wire.close()


def lanes_of(receiver: Receiver) -> list[str]:
    return [event["data"]["lane"] for event in receiver.events]


def expected(count: int) -> list[str]:
    return [f"lane{number}" for number in range(count)]


@pytest.mark.parametrize(("most", "requests"), [(1, 7), (3, 3), (100, 1)])
async def test_every_event_comes_once_in_order_and_signed(archive: Archive, most: int, requests: int) -> None:
    growth = Growth()
    with Receiver() as receiver:
        hook = await a_webhook(archive, receiver.url, max_events=most)
        await some_events(archive, 7)
        async with running(archive) as runs:
            report = await runs.until_told(hook.id)
        got = receiver.got

    assert lanes_of(receiver) == expected(7)
    assert [one.verified(hook.secret) == one.document for one in got] == [True] * requests
    assert len({one.message_id for one in got}) == requests
    assert (report.outcome, report.events, report.requests) == (RunOutcome.GO_ON, 7, requests)
    assert growth.of("postwerk_webhook_events_total") == 7
    assert growth.of("postwerk_webhook_request_seconds_count") == requests
    ids = [event["id"] for event in receiver.events]
    assert (await stored(archive, hook.id)).cursor == Cursor.parse(ids[-1])
    rows = await requests_of(archive, hook.id)
    assert [(row.outcome, row.status, row.attempt) for row in rows] == [(DELIVERED, 200, 1)] * requests
    assert [row.message_id for row in rows] == [one.message_id for one in got]


async def test_one_event_is_its_own_body_and_several_are_in_a_list(archive: Archive) -> None:
    with Receiver() as receiver:
        alone = await a_webhook(archive, receiver.url, max_events=1)
        await some_events(archive, 2)
        async with running(archive) as runs:
            await runs.until_told(alone.id)
            together = await a_webhook(archive, receiver.url, max_events=10)
            await runs.until_told(together.id)
        first, second, both = (one.document for one in receiver.got)
        ids = [one.message_id for one in receiver.got]
    assert sorted(first) == ["data", "id", "timestamp", "type"]
    assert ids[:2] == [first["id"], second["id"]]
    assert ids[2].startswith("batch_")
    assert (both["type"], both["timestamp"]) == ("events", second["timestamp"])
    assert both["data"]["events"] == [first, second]


@pytest.mark.parametrize("most", [1, 4])
async def test_a_failure_ends_the_run_and_the_same_events_come_again_under_the_same_id(
    archive: Archive, most: int
) -> None:
    with Receiver(OK, ERROR, answer(302), OK) as receiver:
        hook = await a_webhook(archive, receiver.url, max_events=most)
        await some_events(archive, most + 3)
        async with running(archive) as runs:
            first = await runs.until_told(hook.id)
            await some_events(archive, 5)  # none of these joins what is tried again
            second = await runs.until_told(hook.id)
            third = await runs.until_told(hook.id)
        got = receiver.got

    assert [one.outcome for one in (first, second, third)] == [RunOutcome.FAILED] * 2 + [RunOutcome.GO_ON]
    assert [(one.trouble, one.tries) for one in (first, second)] == [("status_500", 1), ("status_302", 2)]
    assert first.wait is not None
    assert WAITS[1] <= first.wait <= WAITS[1] * 1.1
    assert len({one.message_id for one in got[1:4]}) == 1
    assert got[1].body == got[2].body == got[3].body
    assert got[1].headers["webhook-signature"]
    taken = [event["data"]["lane"] for one in (got[0], *got[3:]) for event in one.events]
    assert taken == expected(most + 3) + expected(5)
    rows = await requests_of(archive, hook.id)
    assert [(row.outcome, row.attempt) for row in rows[:4]] == [
        (DELIVERED, 1),
        (FAILED, 1),
        (FAILED, 2),
        (DELIVERED, 3),
    ]
    assert (rows[1].status, rows[1].detail) == (500, "oops")
    assert rows[1].next_at is not None


async def test_a_batch_whose_worker_died_comes_again_as_it_was(archive: Archive) -> None:
    """Its receiver may have it: then it sees the same webhook-id."""
    with Receiver() as receiver:
        hook = await a_webhook(archive, receiver.url, max_events=10)
        await some_events(archive, 3)
        async with running(archive) as runs:
            task = asyncio.create_task(runs.until_told(hook.id))
            receiver.answers[:] = [b"hang"]
            await receiver.requests(1)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            (row,) = await requests_of(archive, hook.id)
            await some_events(archive, 4)
            receiver.answers[:] = [OK]
            await runs.until_told(hook.id)
        got = receiver.got
    assert row.outcome is DeliveryOutcome.SENDING
    assert got[0].message_id == got[1].message_id
    assert got[0].body == got[1].body
    assert len(got[2].events) == 4
    rows = await requests_of(archive, hook.id)
    assert [(one.outcome, one.attempt) for one in rows] == [(DELIVERED, 1)] * 2


async def test_a_list_of_one_stays_a_list_of_one(archive: Archive) -> None:
    with Receiver(ERROR, OK) as receiver:
        hook = await a_webhook(archive, receiver.url, max_events=10)
        await some_events(archive, 1)
        async with running(archive) as runs:
            await runs.until_told(hook.id)
            await some_events(archive, 2)
            await runs.until_told(hook.id)
        first, again, others = receiver.got
    assert (first.body, first.message_id) == (again.body, again.message_id)
    assert (len(first.events), len(others.events)) == (1, 2)


async def test_after_the_last_try_it_is_gone_and_nothing_is_lost(archive: Archive) -> None:
    growth = Growth()
    with Receiver(ERROR) as receiver:
        hook = await a_webhook(archive, receiver.url)
        await some_events(archive, 2)
        async with running(archive) as runs:
            reports = [await runs.until_told(hook.id) for _ in WAITS]
            ended = await stored(archive, hook.id)
            assert (await runs.until_told(hook.id)).trouble == "gone"
            receiver.answers[:] = [OK]
            async with archive.writing() as connection:
                await change_webhook(
                    connection, hook.id, datetime.now(UTC), state=WebhookState.ENABLED, reason=""
                )
            await runs.until_told(hook.id)
    assert [one.outcome for one in reports] == [RunOutcome.FAILED] * 9 + [RunOutcome.STOPPED]
    assert (ended.state, ended.cursor) == (WebhookState.GONE, START)
    assert "every try" in ended.reason
    assert lanes_of(receiver)[10:] == expected(2)
    rows = await requests_of(archive, hook.id)
    assert [row.outcome for row in rows] == [FAILED] * 9 + [GIVEN_UP] + [DELIVERED] * 2
    counted = [
        growth.of("postwerk_webhook_requests_total", outcome=one) for one in (FAILED, GIVEN_UP, DELIVERED)
    ]
    assert counted == [9, 1, 2]
    assert [row.attempt for row in rows] == [*range(1, 11), 1, 1]


async def test_who_says_gone_is_asked_no_more(archive: Archive) -> None:
    with Receiver(answer(410)) as receiver:
        hook = await a_webhook(archive, receiver.url)
        await some_events(archive, 1)
        async with running(archive) as runs:
            report = await runs.until_told(hook.id)
    assert (report.outcome, report.trouble) == (RunOutcome.STOPPED, "status_410")
    after = await stored(archive, hook.id)
    assert (after.state, after.reason) == (WebhookState.GONE, "its receiver answered 410 Gone")


async def test_who_asks_for_time_gets_it(archive: Archive) -> None:
    with Receiver(answer(503, retry_after="300"), answer(429), OK) as receiver:
        hook = await a_webhook(archive, receiver.url)
        await some_events(archive, 1)
        async with running(archive) as runs:
            waits = [(await runs.until_told(hook.id)).wait for _ in range(2)]
    assert waits[0] == timedelta(seconds=300)
    assert waits[1] is not None
    assert waits[1] >= timedelta(minutes=5)


async def test_a_new_beginning_counts_from_one(archive: Archive) -> None:
    with Receiver(ERROR) as receiver:
        hook = await a_webhook(archive, receiver.url)
        await some_events(archive, 1)
        async with running(archive) as runs:
            for _ in range(3):
                await runs.until_told(hook.id)
            async with archive.writing() as connection:
                await begin_afresh(connection, hook.id, START)
            report = await runs.until_told(hook.id)
    assert report.tries == 1


async def test_only_what_it_wants_comes_and_it_moves_past_the_rest(archive: Archive) -> None:
    with Receiver() as receiver:
        hook = await a_webhook(archive, receiver.url, types=("suppression.*", "lane.recovered"))
        await some_events(archive, 3)
        await some_events(archive, 1, type=EventType.LANE_RECOVERED.value)
        await some_events(archive, 1, type=EventType.SUPPRESSION_CREATED.value, name="ada@example.com")
        await some_events(archive, 3)
        async with running(archive) as runs:
            await runs.until_told(hook.id)
        async with archive.reading() as connection:
            end = await newest(connection)
    assert [event["type"] for event in receiver.events] == ["lane.recovered", "suppression.created"]
    assert (await stored(archive, hook.id)).cursor == end


async def test_disabled_or_deleted_it_is_told_nothing(archive: Archive) -> None:
    with Receiver() as receiver:
        hook = await a_webhook(archive, receiver.url, state=WebhookState.DISABLED)
        await some_events(archive, 1)
        async with running(archive) as runs:
            disabled = await runs.until_told(hook.id)
            async with archive.writing() as connection:
                await delete_webhook(connection, hook.id)
            deleted = await runs.until_told(hook.id)
        assert receiver.got == []
    assert [one.outcome for one in (disabled, deleted)] == [RunOutcome.STOPPED] * 2
    assert [one.trouble for one in (disabled, deleted)] == ["disabled", "deleted"]


async def test_disabled_while_it_waits_it_ends(archive: Archive) -> None:
    with Receiver() as receiver:
        hook = await a_webhook(archive, receiver.url)
        async with running(archive) as runs:
            run = Run(archive, runs.sender, runs.watch, hook.id, lambda: False)
            task = asyncio.create_task(run.deliver())
            await some_events(archive, 1)
            await receiver.requests(1)
            async with archive.writing() as connection:
                await change_webhook(connection, hook.id, datetime.now(UTC), state=WebhookState.DISABLED)
            report = await asyncio.wait_for(task, 10)
    assert (report.outcome, report.trouble, report.events) == (RunOutcome.STOPPED, "disabled", 1)


async def test_a_batch_waits_for_others_as_long_as_it_may(archive: Archive) -> None:
    with Receiver() as receiver:
        hook = await a_webhook(archive, receiver.url, max_events=3, max_wait=timedelta(seconds=1))
        await some_events(archive, 2)
        async with running(archive) as runs:
            run = Run(archive, runs.sender, runs.watch, hook.id, lambda: len(receiver.got) == 2)
            task = asyncio.create_task(run.deliver())
            await some_events(archive, 2)
            await task
        assert [len(one.events) for one in receiver.got] == [3, 1]


async def test_however_many_wait_the_archive_is_asked_once_for_all(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[Cursor] = []

    async def counted(connection: AsyncConnection) -> Cursor:
        looks.append(await newest(connection))
        return looks[-1]

    monkeypatch.setattr(watching, "newest", counted)
    watch, now = OutboxWatch(archive), datetime.now(UTC)
    waiting = [asyncio.create_task(watch.wait(START, now, 30)) for _ in range(50)]
    await asyncio.sleep(0)
    await some_events(archive, 1)
    await asyncio.wait_for(asyncio.gather(*waiting), 20)
    await watch.close()
    assert 1 <= len(looks) <= 3


async def test_a_body_has_a_megabyte_at_most(archive: Archive) -> None:
    with Receiver() as receiver:
        hook = await a_webhook(archive, receiver.url, max_events=1000)
        await some_events(archive, 5, reason="x" * 400_000)
        async with running(archive) as runs:
            report = await runs.until_told(hook.id)
    assert report.events == 5
    assert [len(one.events) for one in receiver.got] == [2, 2, 1]


async def test_an_operator_who_moves_it_is_obeyed(archive: Archive) -> None:
    """What stands in the row is what counts, whatever a run has in mind."""
    with Receiver(b"hang") as receiver:
        hook = await a_webhook(archive, receiver.url)
        await some_events(archive, 2)
        async with archive.reading() as connection:
            end = await newest(connection)
        async with running(archive) as runs:
            task = asyncio.create_task(runs.until_told(hook.id))
            await receiver.requests(1)
            async with archive.writing() as connection:
                await change_webhook(connection, hook.id, datetime.now(UTC), cursor=end)
            receiver.answers[:] = [OK]
            await task
    assert (await stored(archive, hook.id)).cursor == end


# Again


async def test_a_replay_sends_what_was_taken_beside_live_ones(archive: Archive) -> None:
    with Receiver() as receiver:
        hook = await a_webhook(archive, receiver.url, max_events=2)
        await some_events(archive, 5)
        async with running(archive) as runs:
            await runs.until_told(hook.id)
            last = (await stored(archive, hook.id)).cursor
            await some_events(archive, 1)
            order = ReplayOrder(
                webhook_id=hook.id,
                position=Position(xid=0, id=0),
                last=Position(xid=last.xid, id=last.id),
            )
            receiver.answers[:] = [OK, ERROR, OK]
            failed = await runs.again(order)
            assert failed.position is not None
            done = await runs.again(order.model_copy(update={"position": failed.position, "tries": 1}))
        again = receiver.got[3:]

    assert (failed.outcome, failed.events, failed.tries) == (RunOutcome.FAILED, 2, 1)
    assert (done.outcome, done.events, done.trouble) == (RunOutcome.STOPPED, 3, "")
    assert [event["data"]["lane"] for one in (again[0], *again[2:]) for event in one.events] == expected(5)
    assert again[0].message_id == receiver.got[0].message_id
    assert (await stored(archive, hook.id)).cursor == last
    rows = [row for row in await requests_of(archive, hook.id) if row.kind == "replay"]
    assert [(row.outcome, row.attempt) for row in rows] == [
        (DELIVERED, 1),
        (FAILED, 1),
        (DELIVERED, 2),
        (DELIVERED, 1),
    ]


async def test_what_it_has_not_got_stays_though_it_stopped_a_month_ago_at_most(archive: Archive) -> None:
    now, week = datetime.now(UTC), timedelta(days=7)
    hook = await a_webhook(archive, "https://shop.example/", state=WebhookState.GONE)
    await some_events(archive, 5, at=to_microseconds(now - timedelta(days=8)))
    erased = []
    for stopped in (now - timedelta(days=29), now - timedelta(days=31)):
        async with archive.writing() as connection:
            await change_webhook(connection, hook.id, stopped)
            erased.append(await erase_events(connection, now, week, 100))
    assert erased == [0, 4]  # the last one stays, to tell where one could go on


async def test_the_log_is_kept_for_a_while(archive: Archive) -> None:
    with Receiver() as receiver:
        hook = await a_webhook(archive, receiver.url)
        await some_events(archive, 3)
        async with running(archive) as runs:
            await runs.until_told(hook.id)
    rows = await requests_of(archive, hook.id)
    async with archive.writing() as connection:
        assert await erase_deliveries(connection, rows[0].at - timedelta(seconds=1), 100) == 0
        assert await erase_deliveries(connection, datetime.now(UTC) + timedelta(seconds=1), 2) == 2
    assert await requests_of(archive, hook.id) == rows[2:]
