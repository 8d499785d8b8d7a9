"""Months in seconds: sends that begin later, expire early, or keep to the hours of their windows."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from temporalio.client import WorkflowFailureError, WorkflowHandle
from temporalio.testing import WorkflowEnvironment

from activities.parts import SendPermission
from postwerk.archive import changing
from postwerk.archive.audit import Actor
from postwerk.archive.engine import Archive
from postwerk.archive.operation_runs import carry_out
from postwerk.archive.operations import new_operation, store_operation
from postwerk.archive.suppressions import NewSuppression, add_suppressions
from postwerk.contracts.options import RetrySchedule
from postwerk.contracts.orders import BeginningSignal, BulkSendInput, ExpirySignal, HoldSignal
from postwerk.contracts.queue import QueueFilter, Verb
from postwerk.contracts.states import BulkState, MessageState
from postwerk.contracts.windows import SendingWindow, Weekday
from postwerk.rules.sending_window import is_open
from tests.support.attempts import CLOCK_STEP, SLACK, is_exactly, message_of, moments_of, send_of
from tests.support.metrics import Growth
from tests.support.sandbox import SandboxProcess
from tests.support.seeding import a_stored_bulk_send
from tests.support.worker import skipping_server, started, working

MINUTE, HOUR, DAY = (timedelta(seconds=n) for n in (60, 3600, 86400))
LAST_CALL = timedelta(seconds=5)
ONE_DATABASE = pytest.mark.parametrize("archive", ["sqlite"], indirect=True)
"""For what the archive's dialect cannot change."""
SPREAD = timedelta(seconds=10)
"""Batches come back from outside a window one after the other."""
BERLIN = ZoneInfo("Europe/Berlin")
REFUSED = "defer@example.com"
HOURLY = RetrySchedule(waits=(HOUR,), jitter=0.0)


def later(wait: timedelta) -> datetime:
    return (datetime.now(UTC) + wait).replace(microsecond=0)


@dataclass(frozen=True, slots=True)
class Story:
    """A send under way, and all that is around it."""

    archive: Archive
    environment: WorkflowEnvironment
    sandbox: SandboxProcess
    order: BulkSendInput
    handle: WorkflowHandle[Any, Any]

    async def until(self, moment: datetime) -> None:
        await self.environment.sleep(moment - await self.environment.get_current_time())

    async def state(self) -> BulkState:
        return (await send_of(self.archive, self.order.bulk_id)).state

    async def message(self, seq: int = 1) -> MessageState:
        return (await message_of(self.archive, self.order.bulk_id, seq)).state

    async def began_at(self, moment: datetime, slack: timedelta = SLACK) -> None:
        """Nothing of it was tried before; its mail and its deadline say so too."""
        send = await send_of(self.archive, self.order.bulk_id)
        first = (await moments_of(self.archive, self.order.bulk_id))[0]
        assert -CLOCK_STEP <= first - moment <= slack
        assert send.begins_at is not None
        assert abs(send.begins_at - moment) <= slack
        assert send.started_at is not None
        assert abs(send.started_at - moment) <= slack
        assert send.deadline == send.begins_at + send.options.deadline
        assert {at.replace(microsecond=0) for at in self.dates()} == {send.begins_at.replace(microsecond=0)}

    def dates(self) -> set[datetime]:
        """The Date of each mail that was taken."""
        found = [self.sandbox.raw(mail["id"]) for mail in self.sandbox.messages()]
        assert found
        heads = [line for mail in found for line in mail.split(b"\r\n") if line.startswith(b"Date: ")]
        return {parsedate_to_datetime(line[6:].decode()) for line in heads}


@asynccontextmanager
async def a_story(archive: Archive, *addresses: str, **options: Any) -> AsyncIterator[Story]:
    async with skipping_server() as environment:
        with SandboxProcess() as sandbox:
            order = await a_stored_bulk_send(archive, addresses or ["ok@example.com"], **options)
            async with working(environment.client, archive, sandbox.relay_url) as queue:
                handle = await started(environment.client, order, queue)
                yield Story(archive, environment, sandbox, order, handle)


# Beginning later


@pytest.mark.parametrize("ahead", [30 * DAY, 4 * 365 * DAY], ids=["a month", "four years"])
async def test_a_send_begins_when_it_is_to(archive: Archive, ahead: timedelta) -> None:
    send_at = later(ahead)
    async with a_story(archive, "ok@example.com", "gone@example.com", send_at=send_at) as story:
        await story.until(send_at - HOUR)
        assert await story.state() is BulkState.SCHEDULED
        progress = await story.handle.query("progress")
        assert (progress["state"], progress["children"]) == ("scheduled", 0)
        assert story.sandbox.attempts() == []
        async with archive.writing() as connection:  # after it was accepted, before it begins
            gone = [NewSuppression("gone@example.com", "manual")]
            await add_suppressions(connection, gone, source="test", now=datetime.now(UTC))
        await story.handle.result()
        assert await story.message(1) is MessageState.DELIVERED
        assert await story.message(2) is MessageState.SUPPRESSED
        assert [one["recipient"] for one in story.sandbox.attempts()] == ["ok@example.com"]
        await story.began_at(send_at)


@ONE_DATABASE
async def test_the_date_of_a_mail_is_the_same_at_each_attempt(archive: Archive) -> None:
    send_at = later(10 * DAY)
    async with a_story(archive, "defer2+1@example.com", send_at=send_at, retry=HOURLY) as story:
        await story.handle.result()
        await story.began_at(send_at)
        assert len(await moments_of(archive, story.order.bulk_id)) == 3


@ONE_DATABASE
async def test_cancelled_before_it_begins_it_sends_nothing(archive: Archive) -> None:
    async with a_story(archive, send_at=later(30 * DAY)) as story:
        await story.environment.sleep(DAY)
        await story.handle.cancel()
        with pytest.raises(WorkflowFailureError):
            await story.handle.result()
        assert await story.state() is BulkState.CANCELLED
        assert await story.message() is MessageState.CANCELLED
        assert story.sandbox.attempts() == []


@ONE_DATABASE
@pytest.mark.parametrize("days", [2, 90], ids=["earlier", "later"])
async def test_its_beginning_is_moved(archive: Archive, days: int) -> None:
    async with a_story(archive, send_at=later(30 * DAY)) as story:
        await story.environment.sleep(DAY)
        moved = later(days * DAY)
        await story.handle.signal("set_beginning", BeginningSignal(send_at=moved))
        await story.handle.result()
        await story.began_at(moved)


@ONE_DATABASE
async def test_it_is_told_to_begin_now(archive: Archive) -> None:
    async with a_story(archive, send_at=later(30 * DAY)) as story:
        await story.environment.sleep(DAY)
        now = await story.environment.get_current_time()
        await story.handle.signal("set_beginning", BeginningSignal())
        await story.handle.result()
        await story.began_at(now)


@ONE_DATABASE
async def test_held_and_released_before_it_begins_it_begins_in_time(archive: Archive) -> None:
    send_at = later(10 * DAY)
    async with a_story(archive, send_at=send_at) as story:
        await story.environment.sleep(DAY)
        await story.handle.signal("hold", HoldSignal(reason="a look at it"))
        await story.environment.sleep(DAY)
        assert await story.state() is BulkState.PAUSED
        await story.handle.signal("release")
        await story.environment.sleep(DAY)
        assert await story.state() is BulkState.SCHEDULED
        await story.handle.result()
        await story.began_at(send_at)


@ONE_DATABASE
async def test_held_past_its_beginning_it_begins_when_it_is_released(archive: Archive) -> None:
    send_at = later(10 * DAY)
    async with a_story(archive, send_at=send_at) as story:
        await story.environment.sleep(DAY)
        await story.handle.signal("hold", HoldSignal(reason="a look at it"))
        await story.until(send_at + 3 * DAY)
        assert story.sandbox.attempts() == []
        released_at = await story.environment.get_current_time()
        await story.handle.signal("release")
        await story.handle.result()
        await story.began_at(released_at)


@ONE_DATABASE
@pytest.mark.timeout(60)
async def test_held_and_released_before_its_beginning_it_goes_on_to_the_end(archive: Archive) -> None:
    """What was over before the first child started holds none of them."""
    send_at = later(10 * DAY)
    to = [f"defer1+{n}@example.com" for n in range(3)]
    async with a_story(archive, *to, send_at=send_at, retry=HOURLY, recipients_per_child=1) as story:
        await story.environment.sleep(DAY)
        await story.handle.signal("hold", HoldSignal(reason="a look at it"))
        await story.environment.sleep(DAY)
        await story.handle.signal("release")
        await story.handle.result()
        assert {await story.message(seq) for seq in (1, 2, 3)} == {MessageState.DELIVERED}
        await story.began_at(send_at)


# Expiring


@ONE_DATABASE
async def test_what_is_refused_expires_before_its_deadline(archive: Archive) -> None:
    expires_at = later(DAY + 10 * MINUTE)
    async with a_story(archive, REFUSED, expires_at=expires_at, retry=HOURLY) as story:
        await story.handle.result()
        assert await story.message() is MessageState.EXPIRED
        send = await send_of(archive, story.order.bulk_id)
        assert send.deadline == expires_at
        assert send.finished_at is not None
        assert -LAST_CALL - CLOCK_STEP <= send.finished_at - expires_at <= SLACK
        last = (await moments_of(archive, story.order.bulk_id))[-1]
        assert is_exactly(last - expires_at, -LAST_CALL)


async def test_held_time_does_not_move_the_moment_it_expires(archive: Archive) -> None:
    """Held for good, two days before: it ends then all the same, and nobody waits for its release."""
    expires_at = later(3 * DAY)
    async with a_story(archive, REFUSED, expires_at=expires_at) as story:
        await story.environment.sleep(DAY)
        await story.handle.signal("hold", HoldSignal(reason="a look at it"))
        tried = len(story.sandbox.attempts())
        await story.handle.result()
        assert await story.message() is MessageState.EXPIRED
        assert len(story.sandbox.attempts()) == tried
        send = await send_of(archive, story.order.bulk_id)
        assert send.finished_at is not None
        assert is_exactly(send.finished_at - expires_at, timedelta(0))


@ONE_DATABASE
async def test_held_before_it_began_it_expires_too(archive: Archive) -> None:
    expires_at = later(3 * DAY)
    async with a_story(archive, send_at=later(2 * DAY), expires_at=expires_at) as story:
        await story.environment.sleep(DAY)
        await story.handle.signal("hold", HoldSignal(reason="a look at it"))
        await story.handle.result()
        assert await story.message() is MessageState.EXPIRED
        assert story.sandbox.attempts() == []
        send = await send_of(archive, story.order.bulk_id)
        assert send.finished_at is not None
        assert -CLOCK_STEP <= send.finished_at - expires_at <= 2 * SLACK


@ONE_DATABASE
async def test_a_message_held_by_itself_expires_too(archive: Archive) -> None:
    expires_at = later(3 * DAY)
    async with a_story(archive, REFUSED, expires_at=expires_at) as story:
        await story.environment.sleep(DAY)
        now = await story.environment.get_current_time()
        one = QueueFilter(ids=(f"{story.order.bulk_id}.1",))
        op = new_operation(Verb.HOLD, one, reason="a look at it", actor=Actor(), now=now)
        async with archive.writing() as connection:
            await store_operation(connection, op)
        await carry_out(archive, op.id, now=lambda: now, shard=0)
        await story.handle.signal("look_again")
        await story.environment.sleep(DAY)
        assert await story.message() is MessageState.HELD
        await story.handle.result()
        assert await story.message() is MessageState.EXPIRED
        send = await send_of(archive, story.order.bulk_id)
        assert send.finished_at is not None
        assert is_exactly(send.finished_at - expires_at, timedelta(0))


@ONE_DATABASE
@pytest.mark.parametrize("held", [False, True])
async def test_the_moment_it_expires_is_moved(archive: Archive, held: bool) -> None:
    async with a_story(archive, REFUSED, expires_at=later(DAY), retry=HOURLY) as story:
        await story.environment.sleep(HOUR)
        if held:
            await story.handle.signal("hold", HoldSignal(reason="a look at it"))
        moved = later(2 * DAY)
        await story.handle.signal("set_expiry", ExpirySignal(expires_at=moved))
        await story.handle.result()
        assert await story.message() is MessageState.EXPIRED
        send = await send_of(archive, story.order.bulk_id)
        assert send.finished_at is not None
        assert -LAST_CALL - CLOCK_STEP <= send.finished_at - moved <= SLACK


# Windows


def a_window(start: int, end: int, *days: Weekday) -> SendingWindow:
    """Hours in Berlin."""
    return SendingWindow(
        days=days or tuple(Weekday), start=start * 60, end=end * 60, time_zone="Europe/Berlin"
    )


@ONE_DATABASE
async def test_first_attempts_and_retries_keep_to_the_window_over_a_change_of_clocks(
    archive: Archive,
) -> None:
    """02:00 to 04:00 each night; on 28 March 2027 the clock goes from 02:00 to 03:00."""
    window = a_window(2, 4)
    send_at = datetime(2027, 3, 26, 18, tzinfo=BERLIN)
    async with a_story(
        archive, REFUSED, "ok@example.com", send_at=send_at, window=window, retry=HOURLY
    ) as story:
        await story.until(send_at + HOUR)
        assert story.sandbox.attempts() == []
        await story.handle.result()
        tried = await moments_of(archive, story.order.bulk_id)
        assert [at for at in tried if not is_open(window, at)] == []
        by_night = [at.astimezone(BERLIN).strftime("%d %H") for at in tried]
        assert by_night == ["27 02", "27 03", "28 03", "29 02", "29 03", "30 02", "30 03", "31 02", "31 03"]
        nights = [datetime(2027, 3, day, hour, tzinfo=BERLIN) for day, hour in ((27, 2), (28, 3), (29, 2))]
        for night, at in zip(nights, (tried[0], tried[2], tried[3]), strict=True):
            assert -CLOCK_STEP <= at - night <= SPREAD
        assert await story.message(1) is MessageState.EXPIRED
        assert await story.message(2) is MessageState.DELIVERED


@ONE_DATABASE
async def test_what_waits_for_its_window_loses_no_attempt_and_expires_by_its_deadline(
    archive: Archive,
) -> None:
    """It opened for an hour; then never again in its time."""
    monday, growth = datetime(2027, 3, 1, 8, 30, tzinfo=BERLIN), Growth()
    async with a_story(
        archive,
        REFUSED,
        send_at=monday,
        window=a_window(8, 9, Weekday.MON),
        retry=RetrySchedule(waits=(10 * MINUTE,), jitter=0.0),
    ) as story:
        await story.handle.result()
        assert growth.of("postwerk_delayed_due_to_window_total", provider="other") >= 1
        tried = await moments_of(archive, story.order.bulk_id)
        assert [at.astimezone(BERLIN).strftime("%d %H:%M") for at in tried] == [
            "01 08:30",
            "01 08:40",
            "01 08:50",
        ]
        send = await send_of(archive, story.order.bulk_id)
        assert send.finished_at is not None
        assert -LAST_CALL - CLOCK_STEP <= send.finished_at - (monday + 5 * DAY) <= SLACK
        message = await message_of(archive, story.order.bulk_id)
        assert (message.state, message.attempts) == (MessageState.EXPIRED, 3)


@ONE_DATABASE
async def test_a_window_that_is_taken_away_lets_waiting_mail_go(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SendPermission, "FRESH_SECONDS", 0.0)  # by the real clock
    monday = datetime(2027, 3, 1, 10, tzinfo=BERLIN)
    async with a_story(archive, send_at=monday, window=a_window(8, 9)) as story:
        await story.until(monday + HOUR)
        assert story.sandbox.attempts() == []
        bulk_id = story.order.bulk_id
        options = (await send_of(archive, bulk_id)).options.model_copy(update={"window": None})
        async with archive.writing() as connection:
            await changing.change_options(connection, bulk_id, options)
        woken_at = await story.environment.get_current_time()
        await story.handle.signal("look_again")
        await story.handle.result()
        assert is_exactly((await moments_of(archive, bulk_id))[0] - woken_at, timedelta(0))


async def test_a_run_that_is_under_way_stops_when_the_window_closes(archive: Archive) -> None:
    """Three seconds before the end, two messages a second: the rest goes the next morning."""
    window = a_window(8, 9)
    begins = datetime(2027, 3, 1, 8, 59, 57, tzinfo=BERLIN)
    addresses = [f"ok+{n}@example.com" for n in range(12)]
    async with a_story(
        archive, *addresses, send_at=begins, window=window, rate="2/s", recipients_per_child=12
    ) as story:
        await story.handle.result()
        tried = [(await moments_of(archive, story.order.bulk_id, seq))[0] for seq in range(1, 13)]
        assert [at for at in tried if not is_open(window, at)] == []
        days = sorted(at.astimezone(BERLIN).day for at in tried)
        assert 1 <= days.count(1) <= 8
        assert days.count(1) + days.count(2) == 12
        assert min(at for at in tried if at.astimezone(BERLIN).day == 2) - begins <= 23 * HOUR + MINUTE
        send = await send_of(archive, story.order.bulk_id)
        assert send.counts[MessageState.DELIVERED] == 12
        attempts = [(await message_of(archive, story.order.bulk_id, seq)).attempts for seq in range(1, 13)]
        assert attempts == [1] * 12
