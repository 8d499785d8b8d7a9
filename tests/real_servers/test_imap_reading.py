"""A mail with everything in it, as a mail program gets it: over SMTP, delivered by Dovecot, read by IMAP."""

from __future__ import annotations

import email
import email.policy
import re
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import pytest

from postwerk.contracts.content import Attachment, Content, Mailbox, MailIdentity, Recipient
from postwerk.mime.composer import Composer
from postwerk.smtp import Conversation, RelayConfig, open_conversation
from tests.support.dovecot import Dovecot, NoDovecot
from tests.support.sandbox import SandboxProcess

PDF, PNG = b"%PDF-1.7\n" + bytes(range(256)) * 800, b"\x89PNG\r\n\x1a\n" + bytes(range(256))
ICS = b"BEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\nEND:VCALENDAR\r\n"
NAME = "Preisliste für alle Länder und Gegenden dieser Erde, Frühling 2026.pdf"
ANN = Recipient(1, "ann@mail.example", "Ann Überall", {})
pytestmark = [pytest.mark.slow, pytest.mark.timeout(200)]


@pytest.fixture
def dovecot() -> Iterator[Dovecot]:
    with tempfile.TemporaryDirectory(prefix="postwerk-dovecot-", dir="/tmp") as folder:
        try:
            server = Dovecot(Path(folder)).__enter__()
        except NoDovecot as reason:
            pytest.skip(str(reason))
        try:
            yield server
        finally:
            server.__exit__(None, None, None)


def a_composer() -> Composer:
    files = {sha256(data).hexdigest(): data for data in (PDF, PNG, ICS)}
    ids = {data: id for id, data in files.items()}
    content = Content(
        sender=Mailbox(email="news@xn--bcher-kva.example", name="Bücher"),
        subject="Frühling",
        text="Grüße\n.\n",
        html='<p>Grüße <img src="cid:logo"></p>',
        attachments=(
            Attachment(name=NAME, media_type="application/pdf", blob=ids[PDF], size=len(PDF)),
            Attachment(name="l.png", media_type="image/png", blob=ids[PNG], content_id="logo", inline=True),
            Attachment(name="invite.ics", media_type="text/calendar", blob=ids[ICS], method="REQUEST"),
        ),
    )
    return Composer(content, MailIdentity("bulk_0199", datetime(2026, 1, 2, tzinfo=UTC)), files=files)


async def _yes() -> bool:
    return True


async def test_a_mail_program_finds_every_part(dovecot: Dovecot) -> None:
    mail = a_composer().mail(ANN)
    async with SandboxProcess() as sandbox:
        opened = await open_conversation(RelayConfig(host=sandbox.host, port=sandbox.smtp_port))
        assert isinstance(opened, Conversation)
        exchange = await opened.send("news@xn--bcher-kva.example", ANN.address, mail, _yes)
        assert exchange.reply is not None
        assert exchange.reply.code == 250
        (stored,) = sandbox.messages()
        raw = sandbox.raw(stored["id"])
    assert raw == mail.whole()
    dovecot.deliver(ANN.address, raw)

    reader = dovecot.mailbox(ANN.address)
    structure = reader.fetch("1", "(BODYSTRUCTURE)")[1][0].decode()
    kinds = re.findall(r'\("(\w+)" "([\w.-]+)" [(N]', structure)
    assert ["/".join(kind) for kind in kinds] == [
        *("text/plain", "text/html", "image/png", "text/calendar", "application/pdf", "application/ics")
    ]
    assert re.findall(r'"(alternative|related|mixed)"', structure) == ["related", "alternative", "mixed"]
    assert '"<logo>"' in structure
    assert '"method" "REQUEST"' in structure
    found = email.message_from_bytes(reader.fetch("1", "(BODY[])")[1][0][1], policy=email.policy.default)
    assert [defect for part in found.walk() for defect in part.defects] == []
    files = {
        part.get_filename(): part.get_payload(decode=True) for part in found.walk() if part.get_filename()
    }
    assert files == {NAME: PDF, "l.png": PNG, "invite.ics": ICS}
    for section, data in (("2", PDF), ("1.2.2", PNG), ("1.3", ICS)):
        reader_says = reader.fetch("1", f"(BINARY[{section}])")[1][0][1]
        assert reader_says == data, section
    reader.logout()
