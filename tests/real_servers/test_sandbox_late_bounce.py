"""The sandbox gives back what it took, to the listener, and a real message bounces late."""

from __future__ import annotations

import asyncio
import smtplib
from datetime import UTC, datetime

import pytest
from sqlalchemy import text

from postwerk.archive import inbound, reads
from postwerk.archive.engine import Archive
from postwerk.archive.token_secrets import load_tokens
from postwerk.contracts.states import MessageState
from postwerk.errors import ConfigurationError
from postwerk.inbound.reading import read_mail
from postwerk.sandbox.late_bounce import bounce_of, read_target
from tests.support.listener import DOMAIN, ListenerProcess
from tests.support.sandbox import SandboxProcess
from tests.support.seeding import a_stored_bulk_send

MAIL = b"Message-ID: <1@shop.example>\r\nSubject: Hello\r\n\r\nDear friend\r\n"


def test_what_it_sends_is_a_real_notification() -> None:
    found = read_mail(bounce_of("b-x@bounce.example", "latebounce+a@example.com", MAIL))
    assert (found.kind, found.auto_submitted, found.message_id) == ("bounce", True, "<1@shop.example>")
    assert found.reported[0].recipient == "latebounce+a@example.com"
    assert found.reported[0].status == "5.1.1"


@pytest.mark.parametrize("target", ["nowhere", "host:", ":25", "host:0", "host:99999", "host:x"])
def test_a_target_that_is_none_is_named(target: str) -> None:
    with pytest.raises(ConfigurationError, match="host:port"):
        read_target(target)


async def test_a_mail_that_was_taken_comes_back_and_its_message_bounces_late(archive: Archive) -> None:
    order = await a_stored_bulk_send(archive, ["latebounce+ada@example.com"])
    async with archive.writing() as connection:
        for statement in (
            "UPDATE message SET state = 'delivered', attempts = 1 WHERE bulk_id = :bulk_id",
            "UPDATE counter SET state = 'delivered' WHERE bulk_id = :bulk_id",
        ):
            await connection.execute(text(statement), {"bulk_id": order.bulk_id})
    now = datetime.now(UTC)
    sender = f"{(await load_tokens(archive, now)).bounce_local_part(order.bulk_id, 1, now.date())}@{DOMAIN}"

    with (
        ListenerProcess(archive.url.render_as_string(hide_password=False)) as listener,
        SandboxProcess("--bounces-to", listener.address) as sandbox,
    ):
        await asyncio.to_thread(send, sandbox.relay_url, sender, "latebounce+ada@example.com")
        await asyncio.to_thread(send, sandbox.relay_url, sender, "ok+bob@example.com")
        async with asyncio.timeout(60):
            while not (message := await message_of(archive, order.bulk_id)).late:
                await asyncio.sleep(0.1)
    assert (message.state, message.last_reason) == (MessageState.BOUNCED, "user_unknown")
    async with archive.reading() as connection:
        [mail] = await inbound.inbound_mails(connection)
        assert (mail.state, mail.via, mail.mail_from, mail.rcpt_to) == ("done", "lmtp", "", sender)
        assert (await reads.accounting(connection, order.bulk_id))["adds_up"]


def send(relay_url: str, sender: str, to: str) -> None:
    host, _, port = relay_url.removeprefix("smtp://").rpartition(":")
    with smtplib.SMTP(host, int(port), timeout=20) as door:
        door.sendmail(sender, [to], MAIL)


async def message_of(archive: Archive, bulk_id: str) -> reads.Message:
    async with archive.reading() as connection:
        return await reads.message(connection, bulk_id, 1)
