"""The door for mail that comes back: what it takes, what it refuses, and that 250 means stored."""

from __future__ import annotations

import asyncio
import smtplib
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from postwerk.archive import inbound
from postwerk.archive.engine import Archive
from postwerk.archive.inbound import Inbound
from postwerk.errors import ConfigurationError
from postwerk.inbound import listener as room
from postwerk.inbound.config import InboundConfig
from postwerk.inbound.listener import Gate, Listener
from postwerk.rules.pace import Rate
from tests.support.listener import DOMAIN, ListenerProcess
from tests.support.returned import RawDoor, a_dsn, hand_over

CONFIG = InboundConfig(DOMAIN, port=0, protocol="smtp", max_bytes=50_000, timeout_seconds=30)
TO = f"b-something@{DOMAIN}"


@asynccontextmanager
async def listening(archive: Archive, config: InboundConfig = CONFIG) -> AsyncIterator[str]:
    async with Listener(archive, config, lambda: None) as listener:
        yield listener.address


async def stored(archive: Archive) -> list[Inbound]:
    async with archive.reading() as connection:
        return await inbound.inbound_mails(connection)


async def raw_of(archive: Archive, inbound_id: str) -> bytes:
    async with archive.reading() as connection:
        return await inbound.inbound_raw(connection, inbound_id)


async def in_thread(work: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    return await asyncio.to_thread(work, *arguments, **options)


@pytest.mark.parametrize("protocol", ["smtp", "lmtp"])
async def test_a_250_means_that_the_exact_bytes_are_stored(archive: Archive, protocol: Any) -> None:
    async with listening(archive, replace(CONFIG, protocol=protocol)) as address:
        mail = a_dsn() + b"\xff\xfe8-bit\r\n." + b"x" * 5_000 + b"\r\n"
        await in_thread(hand_over, address, mail, TO.upper(), protocol=protocol)
    [one] = await stored(archive)
    assert (one.via, one.mail_from, one.rcpt_to, one.state) == (protocol, "", TO.upper(), "waiting")
    assert await raw_of(archive, one.id) == mail


async def test_another_domain_is_no_business_of_ours(archive: Archive) -> None:
    async with listening(archive) as address:
        with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
            await in_thread(hand_over, address, a_dsn(), "ada@example.com", protocol="smtp")
    assert refused.value.recipients["ada@example.com"][0] == 550
    assert refused.value.recipients["ada@example.com"][1].startswith(b"5.7.1")
    assert await stored(archive) == []


def dialogue(address: str, *commands: str) -> list[str]:
    with RawDoor(address) as door:
        return [door.answer(), *(door.say(command) for command in commands)]


async def test_a_mail_that_says_it_is_too_large_is_refused_at_once(archive: Archive) -> None:
    async with listening(archive) as address:
        _, offer, answer = await in_thread(dialogue, address, "EHLO x", "MAIL FROM:<> SIZE=50001")
    assert "SIZE 50000" in offer
    assert answer.startswith("552")


def pour(address: str, data: bytes, *, greeting: str = "EHLO x", recipients: int = 1) -> list[str]:
    """Send these bytes after 354 and hear what is said."""
    with RawDoor(address) as door:
        door.answer()
        door.say(greeting)
        door.say("MAIL FROM:<>")
        for _ in range(recipients):
            door.say(f"RCPT TO:<{TO}>")
        assert door.say("DATA").startswith("354")
        try:
            door.send(data)
        except OSError:
            return ["cut off"]
        return [door.answer() for _ in range(recipients)]


async def test_a_mail_that_grows_too_large_is_refused_behind_its_end(archive: Archive) -> None:
    async with listening(archive) as address:
        assert await in_thread(pour, address, b"x" * 60 + b"\r\n" + b"y\r\n" * 20_000 + b".\r\n") == [
            "552 5.3.4 Message too large"
        ]
    assert await stored(archive) == []


async def test_a_line_without_end_is_cut_off(archive: Archive) -> None:
    async with listening(archive) as address:
        assert await in_thread(pour, address, b"x" * 2_000_000) in (
            ["552 5.3.4 Message too large"],
            ["cut off"],
            [""],
        )
        assert (await in_thread(dialogue, address))[0].startswith("220")
    assert await stored(archive) == []


async def test_lmtp_answers_for_each_recipient(archive: Archive) -> None:
    async with listening(archive, replace(CONFIG, protocol="lmtp")) as address:
        answers = await in_thread(pour, address, b"hi\r\n.\r\n", greeting="LHLO x", recipients=3)
        too_large = await in_thread(
            pour, address, b"y\r\n" * 20_000 + b".\r\n", greeting="LHLO x", recipients=2
        )
    assert answers == ["250 2.0.0 OK, stored"] * 3
    assert too_large == ["552 5.3.4 Message too large"] * 2


@pytest.mark.parametrize("end", [b"\n.\n", b"\r.\r", b"\n.\r\n", b"\r\n.\n", b"\r\n.\r"])
async def test_no_second_mail_is_smuggled_in(archive: Archive, end: bytes) -> None:
    smuggled = b"hi" + end + b"MAIL FROM:<>\r\nRCPT TO:<x@bounce.example>\r\nDATA\r\nsecond\r\n.\r\n"
    async with listening(archive) as address:
        await in_thread(pour, address, smuggled)
    assert [one.rcpt_to for one in await stored(archive)] == [TO]


async def test_while_the_archive_is_away_the_sender_keeps_his_mail(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: Any) -> Any:
        raise OperationalError("INSERT", {}, sqlite3.OperationalError("away"))

    async with listening(archive) as address:
        with monkeypatch.context() as broken:
            broken.setattr(room, "store_inbound", away)
            [answer] = await in_thread(pour, address, b"hi\r\n.\r\n")
            assert answer.startswith("451 4.3.0")
        assert await in_thread(pour, address, b"hi\r\n.\r\n") == ["250 2.0.0 OK, stored"]
    assert len(await stored(archive)) == 1


async def test_the_same_mail_handed_over_twice_is_stored_once(archive: Archive) -> None:
    async with listening(archive) as address:
        for _ in range(2):
            assert await in_thread(pour, address, b"hi\r\n.\r\n") == ["250 2.0.0 OK, stored"]
    assert len(await stored(archive)) == 1


async def test_one_connection_too_many_is_told_to_come_back(archive: Archive) -> None:
    async with listening(archive, replace(CONFIG, connections=2)) as address:
        with RawDoor(address) as first, RawDoor(address) as second, RawDoor(address) as third:
            answers = [await in_thread(door.answer) for door in (first, second, third)]
            assert [answer[:3] for answer in answers] == ["220", "220", "421"]
            assert await in_thread(third.answer) == ""
            assert (await in_thread(first.say, "QUIT")).startswith("221")
            await in_thread(first.answer)
        async with asyncio.timeout(10):
            while not (await in_thread(dialogue, address))[0].startswith("220"):
                await asyncio.sleep(0.05)


def test_connections_that_come_too_fast_are_refused() -> None:
    gate = Gate(replace(CONFIG, rate=Rate.parse("10/s,burst=5")))
    assert sum(gate.admits(100.0) for _ in range(20)) == 5
    assert sum(gate.admits(100.0 + n / 100) for n in range(100)) == pytest.approx(10, abs=1)


async def test_silence_ends_a_connection(archive: Archive) -> None:
    async with listening(archive, replace(CONFIG, timeout_seconds=0.3)) as address, asyncio.timeout(10):
        with RawDoor(address) as door:
            assert (await in_thread(door.answer)).startswith("220")
            assert await in_thread(door.answer) == ""


def test_without_a_bounce_domain_it_does_not_start() -> None:
    with pytest.raises(ConfigurationError, match="POSTWERK_BOUNCE_DOMAIN"):
        InboundConfig("")


# As a process


async def test_what_got_a_250_is_there_after_a_kill_and_is_worked_off_by_the_next(archive: Archive) -> None:
    url = archive.url.render_as_string(hide_password=False)
    with ListenerProcess(url) as process:
        for n in range(20):
            await in_thread(hand_over, process.address, a_dsn(note=str(n)), TO)
        process.kill()
        assert len(await stored(archive)) == 20
        await end_leases(archive)
        process.start()
        async with asyncio.timeout(90):
            while any(one.state == "waiting" for one in await stored(archive)):
                await asyncio.sleep(0.2)
        assert {one.state for one in await stored(archive)} == {"ignored"}  # nobody knows these tokens
        assert process.stop() == 0
        log = process.log()
    assert "@" not in log
    assert "inbound listening" in log


async def end_leases(archive: Archive) -> None:
    """The half minute passes in which nobody else takes up what the dead process had."""
    async with archive.writing() as connection:
        await connection.execute(text("UPDATE inbound SET due_at = received_at WHERE state = 'waiting'"))


async def test_the_process_keeps_its_bounds_too(archive: Archive) -> None:
    """It runs on uvloop, whose transports are of another make."""
    url = archive.url.render_as_string(hide_password=False)
    with ListenerProcess(url, connections="1", protocol="smtp") as process:
        with RawDoor(process.address) as first, RawDoor(process.address) as second:
            assert first.answer().startswith("220")
            assert second.answer().startswith("421 4.7.0")
        async with asyncio.timeout(10):
            while (answers := await in_thread(pour_or_busy, process.address)) == ["busy"]:
                await asyncio.sleep(0.05)
        assert answers in (["552 5.3.4 Message too large"], ["cut off"], [""])
        assert process.stop() == 0


def pour_or_busy(address: str) -> list[str]:
    """A line without end, once the one connection is free."""
    if dialogue(address)[0].startswith("421"):
        return ["busy"]
    try:
        return pour(address, b"x" * 3_000_000)
    except (AssertionError, OSError):
        return ["busy"]
