"""No text ends the data before its time (CVE-2023-51764 and its kin): judged by the bytes a server gets."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from postwerk.contracts.content import Content, Mailbox, MailIdentity, Recipient
from postwerk.errors import ContentError
from postwerk.mime.composer import Composer
from tests.support.hostile import SMUGGLED
from tests.support.scripted_server import ScriptedServer, send_one

SOURCES: dict[str, dict[str, Any]] = {
    "text": {"text": "{{ v }}"},
    "text itself": {"text": "<v>"},
    "html": {"html": "<p>{{ v|safe }}</p>"},
    "subject": {"subject": "{{ v }}"},
    "header": {"headers": {"X-Custom": "{{ v }}"}},
}


def mail_with(value: str, **source: Any) -> bytes:
    fields = {"subject": "s", "text": "t", **source}
    if fields["text"] == "<v>":
        fields["text"] = value
    content = Content(sender=Mailbox(email="news@shop.example"), **fields)
    identity = MailIdentity("bulk_1", datetime(2026, 11, 22, tzinfo=UTC))
    return Composer(content, identity).compose(Recipient(1, "anna@example.net", "", {"v": value}))


@pytest.mark.parametrize("place", SOURCES)
async def test_one_mail_is_one_mail(tmp_path: Path, place: str) -> None:
    refused = 0
    with ScriptedServer(tmp_path, {}) as server:
        for value in SMUGGLED:
            try:
                mail = mail_with(value, **SOURCES[place])
            except ContentError:
                refused += 1
                continue
            exchange = await send_one(server.relay(), mail)
            assert exchange.reply is not None
            assert exchange.reply.code == 250
        sent = len(SMUGGLED) - refused
        verbs = await asyncio.to_thread(lambda: server.verbs)
        messages = server.messages

    # A control character keeps a text out of a header; a NUL keeps it out of everything.
    assert refused == (len(SMUGGLED) if place in ("subject", "header") else 2)
    assert verbs.count("MAIL") == verbs.count("RCPT") == verbs.count("DATA") == sent
    assert len(messages) == sent
    for message in messages:
        assert message.endswith(b"\r\n.\r\n")
        body = message.removesuffix(b".\r\n")
        assert b"\r\n.\r\n" not in body
        assert b"\r" not in body.replace(b"\r\n", b"")
        assert b"\n" not in body.replace(b"\r\n", b"")
        assert all(len(line) <= 998 for line in body.split(b"\r\n"))
