"""Mail that came back, from the archive and into it: each once, whatever happens in between."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from postwerk.archive import inbound, reads
from postwerk.archive.engine import Archive
from postwerk.archive.inbound import LEASE, Inbound, NewInbound
from postwerk.archive.suppressions import Suppression, SuppressionFilter, suppressions
from postwerk.archive.token_secrets import load_tokens
from postwerk.contracts.inbound import Found, InboundState
from postwerk.contracts.states import MessageState
from postwerk.inbound.processing import Processor
from postwerk.inbound.reader import MailReader, ReaderDied
from postwerk.inbound.reading import read_mail
from postwerk.rules.returned import WAITS_AT_MOST
from tests.support.metrics import Growth
from tests.support.returned import EXIM, QMAIL, TRIED_FOR_DAYS, VACATION, a_complaint, a_dsn
from tests.support.seeding import a_stored_bulk_send

WHO = "gone@example.com"


class World:
    """A bulk send with three messages, a clock, and what comes back."""

    def __init__(self, archive: Archive) -> None:
        self.archive = archive
        self.now = datetime.now(UTC)
        self.processor = Processor(archive, now=lambda: self.now)

    async def begin(self, *states: MessageState) -> None:
        order = await a_stored_bulk_send(self.archive, [WHO, "other@example.com", "third@example.com"])
        self.bulk_id = order.bulk_id
        self.tokens = await load_tokens(self.archive, self.now)
        for seq, state in enumerate(states or (MessageState.DELIVERED,) * 3, 1):
            await self.put(seq, state)

    async def put(self, seq: int, state: MessageState) -> None:
        """As if it had been sent once and come to this."""
        where = {"bulk_id": self.bulk_id, "seq": seq, "state": state.value}
        async with self.archive.writing() as connection:
            was = await connection.execute(
                text("SELECT state FROM message WHERE bulk_id = :bulk_id AND seq = :seq"), where
            )
            await connection.execute(
                text(
                    "UPDATE message SET state = :state, attempts = 1 WHERE bulk_id = :bulk_id AND seq = :seq"
                ),
                where,
            )
            for name, n in ((was.scalar_one(), -1), (state.value, 1)):
                await connection.execute(
                    text("""
                        INSERT INTO counter (bulk_id, state, shard, n) VALUES (:bulk_id, :name, 0, :n)
                        ON CONFLICT (bulk_id, state, shard) DO UPDATE SET n = counter.n + excluded.n
                    """),
                    {"bulk_id": self.bulk_id, "name": name, "n": n},
                )

    def token(self, seq: int = 1, *, day: datetime | None = None) -> str:
        local = self.tokens.bounce_local_part(self.bulk_id, seq, (day or self.now).date())
        return f"{local}@bounce.example"

    async def comes(self, raw: bytes, to: str | None = None, *, sender: str = "") -> str:
        new = NewInbound("smtp", sender, self.token() if to is None else to, raw)
        async with self.archive.writing() as connection:
            return (await inbound.store_inbound(connection, new, self.now))[0]

    async def came(self, raw: bytes, to: str | None = None, *, sender: str = "") -> Inbound:
        """It comes and is worked off."""
        inbound_id = await self.comes(raw, to, sender=sender)
        await self.processor.work_off()
        return await self.mail(inbound_id)

    async def mail(self, inbound_id: str) -> Inbound:
        async with self.archive.reading() as connection:
            return await inbound.inbound_mail(connection, inbound_id)

    async def message(self, seq: int = 1) -> reads.Message:
        async with self.archive.reading() as connection:
            return await reads.message(connection, self.bulk_id, seq)

    async def attempts(self, seq: int = 1) -> list[reads.Attempt]:
        async with self.archive.reading() as connection:
            return await reads.attempts(connection, self.bulk_id, seq)

    async def send(self) -> reads.BulkSend:
        async with self.archive.reading() as connection:
            return await reads.bulk_send(connection, self.bulk_id)

    async def listed(self) -> list[Suppression]:
        async with self.archive.reading() as connection:
            return await suppressions(connection, SuppressionFilter())

    async def adds_up(self) -> bool:
        async with self.archive.reading() as connection:
            return bool((await reads.accounting(connection, self.bulk_id))["adds_up"])


@pytest.fixture
async def world(archive: Archive) -> AsyncIterator[World]:
    made = World(archive)
    await made.begin()
    yield made
    await made.processor.close()


# Late bounces


async def test_a_delivered_message_bounces_late_and_everything_says_so(world: World) -> None:
    growth = Growth()
    mail = await world.came(a_dsn())

    assert growth.of("postwerk_inbound_total", kind="bounce", result="done") == 1
    assert growth.of("postwerk_late_bounces_total") == 1
    assert (mail.state, mail.kind, mail.bulk_id, mail.seq) == (InboundState.DONE, "bounce", world.bulk_id, 1)
    message = await world.message()
    assert (message.state, message.late, message.attempts) == (MessageState.BOUNCED, True, 2)
    assert (message.last_reason, message.last_stage) == ("user_unknown", "dsn")
    assert (message.last_code, message.last_enhanced) == (550, "5.1.1")
    assert "User unknown" in (message.last_text or "")
    [attempt] = await world.attempts()
    assert (attempt.number, attempt.outcome, attempt.stage, attempt.host) == (
        2,
        "bounced",
        "dsn",
        "mx.example.net",
    )
    send = await world.send()
    assert (send.counts[MessageState.DELIVERED], send.counts[MessageState.BOUNCED], send.late_bounces) == (
        2,
        1,
        1,
    )
    assert await world.adds_up()
    [entry] = await world.listed()
    assert (entry.address, entry.reason, entry.source, entry.bulk_id) == (
        WHO,
        "user_unknown",
        "dsn",
        world.bulk_id,
    )


@pytest.mark.parametrize("raw", [EXIM, TRIED_FOR_DAYS], ids=["full", "tried for days"])
async def test_who_may_come_back_is_not_suppressed(world: World, raw: bytes) -> None:
    mail = await world.came(raw)
    assert mail.state is InboundState.DONE
    assert (await world.message()).state is MessageState.BOUNCED
    assert await world.listed() == []


async def test_another_recipient_is_noted_and_the_token_decides(world: World) -> None:
    mail = await world.came(a_dsn("victim@example.com"))
    assert "another recipient" in mail.detail
    assert (await world.message()).state is MessageState.BOUNCED
    assert [entry.address for entry in await world.listed()] == [WHO]


@pytest.mark.parametrize("times", [200, pytest.param(10_000, marks=pytest.mark.slow)])
async def test_the_same_bounce_however_often_is_one(world: World, times: int) -> None:
    ids = set()
    async with world.archive.writing() as connection:
        new = NewInbound("smtp", "", world.token(), a_dsn())
        for _ in range(times):
            ids.add((await inbound.store_inbound(connection, new, world.now))[0])
    assert len(ids) == 1
    assert await world.processor.work_off() == 1
    assert (await world.send()).late_bounces == 1


async def test_many_bounces_of_one_message_count_once(world: World) -> None:
    ids = [await world.comes(a_dsn(note=f"copy {n}")) for n in range(20)]
    await world.processor.work_off()
    states = [(await world.mail(one)).state for one in ids]
    assert states.count(InboundState.DONE) == 1
    assert states.count(InboundState.IGNORED) == 19
    assert len(await world.attempts()) == 1
    assert await world.adds_up()


# What changes nothing


async def nothing_changed(world: World) -> bool:
    states = [(await world.message(seq)).state for seq in (1, 2, 3)]
    return states == [MessageState.DELIVERED] * 3 and await world.listed() == [] and await world.adds_up()


async def test_without_a_valid_token_nothing_changes(world: World) -> None:
    good = world.token()
    forged = ("0" if good[30] != "0" else "1").join((good[:30], good[31:]))
    old = world.token(day=world.now - timedelta(days=40))
    for to in (forged, old, "news@bounce.example", "abuse@bounce.example", ""):
        mail = await world.came(a_dsn(), to)
        assert (mail.state, mail.seq) == (InboundState.IGNORED, 0)
        assert "token" in mail.detail
    assert await nothing_changed(world)


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (a_dsn(action="delayed", status="4.4.1"), "delay"),
        (VACATION, "auto_reply"),
        (b"From: a\r\n\r\nhi", "other"),
    ],
    ids=["delay", "vacation", "letter"],
)
async def test_what_is_no_bounce_changes_nothing(world: World, raw: bytes, kind: str) -> None:
    mail = await world.came(raw)
    assert (mail.state, mail.kind) == (InboundState.IGNORED, kind)
    assert mail.detail
    assert await nothing_changed(world)


async def test_a_bounce_with_a_sender_that_no_machine_wrote_changes_nothing(world: World) -> None:
    mail = await world.came(QMAIL, sender="mallory@example.com")
    assert mail.state is InboundState.IGNORED
    assert await nothing_changed(world)


async def test_a_bulk_send_that_is_not_there_any_more_is_said(world: World) -> None:
    gone = world.tokens.bounce_local_part("bulk_" + "0" * 26, 1, world.now.date())
    mail = await world.came(a_dsn(), f"{gone}@bounce.example")
    assert (mail.state, mail.kind) == (InboundState.IGNORED, "bounce")
    assert "not there" in mail.detail


# Early, late, twice


@pytest.mark.parametrize(
    "state", [MessageState.SENDING, MessageState.DEFERRED, MessageState.QUEUED, MessageState.HELD]
)
async def test_a_bounce_before_the_250_is_recorded_waits_for_it(world: World, state: MessageState) -> None:
    await world.put(1, state)
    mail = await world.came(a_dsn())
    assert (mail.state, mail.seq) == (InboundState.WAITING, 1)
    assert (await world.message()).state is state

    await world.put(1, MessageState.DELIVERED)
    world.now += timedelta(seconds=3)
    assert await world.processor.work_off() == 1
    assert (await world.mail(mail.id)).state is InboundState.DONE
    assert (await world.message()).late
    assert (await world.mail(mail.id)).tries == 1  # read once
    assert await world.adds_up()


async def test_it_does_not_wait_for_ever(world: World) -> None:
    await world.put(1, MessageState.DEFERRED)
    mail = await world.came(a_dsn())
    looks = 0
    while (await world.mail(mail.id)).state is InboundState.WAITING:
        world.now += timedelta(hours=6)
        looks += await world.processor.work_off()
        assert looks < 300
    assert world.now - mail.received_at >= WAITS_AT_MOST
    ended = await world.mail(mail.id)
    assert (ended.state, (await world.message()).state) == (InboundState.IGNORED, MessageState.DEFERRED)


@pytest.mark.parametrize(
    "state", [MessageState.EXPIRED, MessageState.CANCELLED, MessageState.BOUNCED, MessageState.UNKNOWN]
)
async def test_after_another_end_it_is_noted(world: World, state: MessageState) -> None:
    await world.put(1, state)
    mail = await world.came(a_dsn())
    assert mail.state is InboundState.IGNORED
    assert state.value in mail.detail
    message = await world.message()
    assert (message.state, message.late) == (state, False)
    assert await world.adds_up()


# Complaints


async def test_a_complaint_ends_all_mail_to_its_recipient(world: World) -> None:
    link = f"List-Unsubscribe: <https://shop.example/u/{world.tokens.unsubscribe(world.bulk_id, 2)}>"
    raw = a_complaint(original=link)
    growth = Growth()
    mail = await world.came(raw, "fbl@bounce.example", sender="feedback@provider.example")

    assert (mail.state, mail.kind, mail.seq) == (InboundState.DONE, "complaint", 2)
    message = await world.message(2)
    assert (message.state, message.complained_at) == (MessageState.DELIVERED, world.now)
    [entry] = await world.listed()
    assert (entry.address, entry.reason, entry.source) == ("other@example.com", "complaint", "complaint")
    assert (await world.send()).complaints == 1
    again = await world.came(raw + b"\r\n", "abuse@bounce.example")
    assert again.state is InboundState.IGNORED
    assert (await world.send()).complaints == 1
    assert growth.of("postwerk_complaints_total") == 1
    assert growth.of("postwerk_inbound_total", kind="complaint", result="ignored") == 1


async def test_a_complaint_goes_beyond_an_unsubscription(world: World) -> None:
    async with world.archive.writing() as connection:
        await connection.execute(
            text("""INSERT INTO suppression (address, reason, source, detail, created_at, scope)
                    VALUES ('other@example.com', 'unsubscribe', 'api', '', 1, 'bulk')""")
        )
    await world.came(a_complaint(original=f"Return-Path: <{world.token(2)}>"), "fbl@bounce.example")
    async with world.archive.reading() as connection:
        rows = (await connection.execute(text("SELECT reason, scope FROM suppression"))).all()
    assert [tuple(row) for row in rows] == [("complaint", "all")]


# Readers that die, processes that die


class Deadly(MailReader):
    """Over a mail with this word in it the reader dies."""

    def __init__(self, word: bytes) -> None:
        super().__init__()
        self._word = word
        self.deaths = 0

    async def read(self, raw: bytes) -> Found:
        if self._word in raw:
            await super().read(b"From: a@b.example\r\n\r\nto have a process")
            assert self.pid is not None
            os.kill(self.pid, signal.SIGKILL)
            self.deaths += 1
        return await super().read(raw)


async def test_a_mail_that_kills_its_reader_twice_is_unparsed_and_keeps_nobody_waiting(world: World) -> None:
    reader = Deadly(b"poison")
    world.processor = Processor(world.archive, reader=reader, now=lambda: world.now)
    poison = await world.comes(a_dsn(note="poison"))
    good = [await world.comes(a_dsn(note=f"good {seq}"), world.token(seq)) for seq in (1, 2, 3)]
    await world.processor.work_off()
    assert [(await world.mail(one)).state for one in good] == [InboundState.DONE] * 3
    assert (await world.mail(poison)).state is InboundState.WAITING

    growth = Growth()
    world.now += timedelta(seconds=6)
    await world.processor.work_off()
    assert growth.of("postwerk_inbound_total") == growth.of("postwerk_inbound_total", kind="unparsed") == 1
    ended = await world.mail(poison)
    assert (ended.state, ended.tries, reader.deaths) == (InboundState.UNPARSED, 2, 2)
    assert "signal 9" in ended.detail
    async with world.archive.reading() as connection:
        assert await inbound.inbound_raw(connection, poison) == a_dsn(note="poison")
    world.now += timedelta(days=1)
    assert await world.processor.work_off() == 0


async def test_a_mail_that_takes_whole_processes_with_it_is_given_up(world: World) -> None:
    mail = await world.comes(a_dsn())
    for _ in range(inbound.MOST_TRIES):
        assert await inbound.take_up(world.archive, world.now) is not None  # and dies
        world.now += LEASE + timedelta(seconds=1)
    await world.processor.work_off()
    assert (await world.mail(mail)).state is InboundState.UNPARSED


async def test_nobody_takes_up_what_another_has(world: World) -> None:
    ids = {await world.comes(a_dsn(note=str(n))) for n in range(10)}
    taken = await asyncio.gather(*(inbound.take_up(world.archive, world.now) for _ in range(14)))
    assert {one.id for one in taken if one} == ids
    assert sum(one is None for one in taken) == 4
    world.now += LEASE + timedelta(seconds=1)
    assert await inbound.take_up(world.archive, world.now) is not None  # its holder has died


async def test_who_comes_back_after_his_lease_does_nothing(world: World) -> None:
    mail_id = await world.comes(a_dsn())
    slow = await inbound.take_up(world.archive, world.now)
    world.now += LEASE + timedelta(seconds=1)
    await world.processor.work_off()
    assert slow is not None
    assert await world.processor.process(slow) is None
    assert (await world.mail(mail_id)).state is InboundState.DONE
    assert (len(await world.attempts()), (await world.send()).late_bounces) == (1, 1)
    assert await world.adds_up()


async def test_two_processes_at_once_do_each_mail_once(world: World) -> None:
    ids = [await world.comes(a_dsn(note=str(n)), world.token(1 + n % 3)) for n in range(30)]
    processors = [Processor(world.archive, now=lambda: world.now) for _ in range(3)]
    await asyncio.gather(*(one.work_off() for one in processors))
    for one in processors:
        await one.close()
    states = [(await world.mail(one)).state for one in ids]
    assert (states.count(InboundState.DONE), states.count(InboundState.IGNORED)) == (3, 27)
    assert (await world.send()).late_bounces == 3
    assert await world.adds_up()


async def test_an_error_of_ours_over_one_mail_keeps_no_other_waiting(world: World) -> None:
    class Confused(MailReader):
        async def read(self, raw: bytes) -> Found:
            if b"confusing" in raw:
                raise KeyError("our mistake")
            return read_mail(raw)

    world.processor = Processor(world.archive, reader=Confused(), now=lambda: world.now)
    confusing = await world.comes(a_dsn(note="confusing"))
    good = await world.came(a_dsn(), world.token(2))
    assert good.state is InboundState.DONE
    assert (await world.mail(confusing)).state is InboundState.WAITING


async def test_a_reader_that_is_too_slow_is_killed() -> None:
    reader = MailReader(seconds=0.0)
    with pytest.raises(ReaderDied, match="took more than"):
        await reader.read(a_dsn())
    assert reader.pid is None
