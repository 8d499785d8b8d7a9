"""kill -9 of the process that works off mail that came back, at any step: each mail counts once."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime

import pytest
from sqlalchemy import text

from postwerk.archive import inbound, reads
from postwerk.archive.engine import Archive
from postwerk.archive.token_secrets import load_tokens
from tests.support.listener import DOMAIN, ListenerProcess
from tests.support.returned import a_dsn, hand_over
from tests.support.seeding import a_stored_bulk_send


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("messages", "kills"), [(20, 1), pytest.param(120, 6, marks=pytest.mark.slow)])
async def test_however_often_it_is_killed_each_bounce_counts_once(
    archive: Archive, messages: int, kills: int
) -> None:
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    chance = random.Random(seed)
    order = await a_stored_bulk_send(archive, [f"gone{n}@example.com" for n in range(messages)])
    await all_delivered(archive, order.bulk_id)
    now = datetime.now(UTC)
    tokens = await load_tokens(archive, now)
    to = [
        f"{tokens.bounce_local_part(order.bulk_id, n, now.date())}@{DOMAIN}" for n in range(1, messages + 1)
    ]

    with ListenerProcess(archive.url.render_as_string(hide_password=False), rate="") as listener:
        for kill in range(kills):
            for address in to[kill * messages // kills : (kill + 1) * messages // kills]:
                await asyncio.to_thread(hand_over, listener.address, a_dsn("gone@example.com"), address)
            await asyncio.sleep(chance.uniform(0, 0.4))  # somewhere between taking up and the last commit
            listener.kill()
            listener.start()
        async with asyncio.timeout(100):
            while await waiting(archive):
                await asyncio.sleep(0.3)

    async with archive.reading() as connection:
        mails = await inbound.inbound_mails(connection, limit=1000)
        send = await reads.bulk_send(connection, order.bulk_id)
        accounting = await reads.accounting(connection, order.bulk_id)
        rows = await connection.execute(text("SELECT count(*) FROM attempt WHERE stage = 'dsn'"))
        listed = await connection.execute(text("SELECT count(*) FROM suppression WHERE source = 'dsn'"))
    assert [mail.state for mail in mails] == ["done"] * messages
    assert (rows.scalar_one(), listed.scalar_one(), send.late_bounces) == (messages,) * 3
    assert accounting["stored"] == {"bounced": messages}
    assert accounting["adds_up"]


async def all_delivered(archive: Archive, bulk_id: str) -> None:
    async with archive.writing() as connection:
        for statement in (
            "UPDATE message SET state = 'delivered', attempts = 1 WHERE bulk_id = :bulk_id",
            "UPDATE counter SET state = 'delivered' WHERE bulk_id = :bulk_id",
        ):
            await connection.execute(text(statement), {"bulk_id": bulk_id})


async def waiting(archive: Archive) -> bool:
    async with archive.reading() as connection:
        rows = await connection.execute(text("SELECT count(*) FROM inbound WHERE state = 'waiting'"))
        return bool(rows.scalar_one())
