"""A test mail: one recipient's mail of a bulk send, to somebody else, as a bulk send of its own."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
from fastapi import Request, Response
from sqlalchemy.ext.asyncio import AsyncConnection

from api.claim import Claim
from api.dependencies import Parts
from api.making import make_for_one
from api.taking.request import read_fields
from api.trial_schemas import TestOrder
from api.who import owner_of
from postwerk.archive import reads
from postwerk.archive.audit import Actor, write_audit
from postwerk.archive.intake import NewBulkSend
from postwerk.archive.reads import BulkSend, Message, MessageFilter
from postwerk.contracts.content import Content, MailIdentity, Recipient
from postwerk.contracts.options import BulkOptions
from postwerk.contracts.states import SendKind
from postwerk.errors import ContentError, InvalidRequest, NotFound
from postwerk.mime.composer import Composer
from postwerk.rules.recipients import NewRecipient, new_recipient

MARK = "[Test] "
LONGEST_NAME = 200


async def make_test(
    request: Request, parts: Parts, bulk_id: str, document: dict[str, Any], actor: Actor, claim: Claim
) -> Response:
    """Read ▸ look up whose mail it shows ▸ try to make it ▸ store and start.

    Raises NotFound, InvalidRequest.
    """
    order = read_fields(TestOrder, document)
    async with parts.archive.reading() as connection:
        send = await reads.bulk_send(connection, bulk_id)
        content = await reads.content_of(connection, bulk_id)
        shown = await _shown(connection, bulk_id, order)
    recipient = _recipient(order, shown)
    new = _new(request, parts, send, content, claim)
    await asyncio.to_thread(_check, new, recipient)

    async def audit(connection: AsyncConnection) -> None:
        details = {"test": new.id, "as": shown.seq if shown else None}
        await write_audit(
            connection, actor, "bulk.test", at=new.created_at, target=bulk_id, count=1, details=details
        )

    return await make_for_one(request, parts, new, recipient, claim, audit)


async def _shown(connection: AsyncConnection, bulk_id: str, order: TestOrder) -> Message | None:
    """The recipient whose mail it shows; None when there is none, or it does not matter who."""
    if order.recipient is not None:
        try:
            return await reads.message(connection, bulk_id, order.recipient)
        except NotFound as error:
            raise InvalidRequest(error.message, pointer="#/as", code="unknown_recipient") from error
    if order.variables is not None:
        return None
    return next(iter(await reads.messages(connection, bulk_id, MessageFilter(), limit=1)), None)


def _recipient(order: TestOrder, shown: Message | None) -> NewRecipient:
    variables = {**(shown.variables if shown else {}), **(order.variables or {})}
    recipient = new_recipient(order.to, None, variables)
    return recipient._replace(name=recipient.name or (shown.name if shown else ""))


def _new(request: Request, parts: Parts, send: BulkSend, content: Content, claim: Claim) -> NewBulkSend:
    """The same content and the same relay; nobody else is told of it, and nothing slows it down."""
    options = send.options
    return NewBulkSend(
        id=claim.resource,
        name=f"test: {send.name}"[:LONGEST_NAME].rstrip(": "),
        content=content.model_copy(update={"subject": MARK + content.subject}),
        options=BulkOptions(retry=options.retry, relay=options.relay, deadline=options.deadline),
        metadata=None,
        created_at=parts.now(),
        kind=SendKind.TEST,
        owner=owner_of(request),
    )


def _check(new: NewBulkSend, recipient: NewRecipient) -> None:
    """Raises InvalidRequest for a mail that cannot be made."""
    variables = orjson.loads(recipient.variables) if recipient.variables else {}
    composer = Composer(new.content, MailIdentity(new.id, new.created_at))
    try:
        composer.compose(Recipient(1, recipient.address, recipient.name, variables))
    except ContentError as error:
        message = f"The mail cannot be made: {error.message}."
        raise InvalidRequest(message, pointer="#/variables", code=error.code) from error
