"""What senders were told, as the archive holds it: each notice with its mail, made again and parsed."""

from __future__ import annotations

import email
import email.policy
from datetime import datetime
from email.message import EmailMessage
from typing import NamedTuple

from sqlalchemy import text

from postwerk.archive import reads
from postwerk.archive.columns import from_microseconds
from postwerk.archive.engine import Archive
from postwerk.contracts.content import Content, MailIdentity
from postwerk.mime.composer import Composer


class Told(NamedTuple):
    """A notice; `seq` 0 is about the whole bulk send."""

    seq: int
    kind: str
    told_at: datetime
    send: reads.BulkSend
    content: Content
    mail: EmailMessage

    @property
    def status(self) -> dict[str, str]:
        """The fields about the recipient in a delivery status notification."""
        (part,) = [
            one for one in self.mail.iter_parts() if one.get_content_type() == "message/delivery-status"
        ]
        return {name: str(value) for name, value in part.get_payload()[1].items()}

    @property
    def text(self) -> str:
        body = next(self.mail.iter_parts()) if self.mail.is_multipart() else self.mail
        return str(body.get_content()).replace("\r\n", "\n")


async def notices_of(archive: Archive, bulk_id: str) -> list[Told]:
    """Everything told of a bulk send, in the order it was told."""
    query = (
        "SELECT seq, kind, told_at, notice_bulk_id FROM notice WHERE bulk_id = :id ORDER BY notice_bulk_id"
    )
    async with archive.reading() as connection:
        rows = (await connection.execute(text(query), {"id": bulk_id})).all()
        return [await _told(connection, *row) for row in rows]


async def _told(connection, seq: int, kind: str, told_at: int, notice_id: str) -> Told:
    send = await reads.bulk_send(connection, notice_id)
    content, accepted_at, recipient = await reads.sent_content(connection, notice_id, 1)
    raw = Composer(content, MailIdentity(notice_id, accepted_at)).compose(recipient)
    return Told(seq, kind, from_microseconds(told_at), send, content, parsed(raw))


def parsed(raw: bytes) -> EmailMessage:
    mail = email.message_from_bytes(raw, policy=email.policy.default)
    assert isinstance(mail, EmailMessage)
    return mail
