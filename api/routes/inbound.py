"""Mail that came back: hand one over, list them, look at one."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from api.dependencies import Parts, UseParts
from api.errors import UnsupportedType
from api.ids import id_cursor, inbound_id_of
from api.inbound_schemas import FoundView, InboundList, InboundTaken, InboundView
from api.parameters import clean_text, only_parameters
from api.problem_schemas import problems
from api.taking.body import media_type, whole_body
from api.views import base_url
from postwerk.archive import inbound
from postwerk.archive.inbound import Inbound, NewInbound
from postwerk.contracts.inbound import InboundKind, InboundState
from postwerk.errors import InvalidRequest
from postwerk.inbound.envelope import envelope_of

router = APIRouter(prefix="/v1/inbound", tags=["inbound"])

_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"message/rfc822": {"schema": {"type": "string", "format": "binary"}}},
    }
}
_Address = Annotated[str | None, Query(max_length=320)]


@router.post(
    "",
    status_code=202,
    response_model=InboundTaken,
    responses=problems(400, 413, 415, 422, 503),
    openapi_extra=_BODY,
)
async def take(
    request: Request,
    parts: UseParts,
    rcpt: _Address = None,
    mail_from: Annotated[str | None, Query(max_length=320, alias="from")] = None,
) -> InboundTaken:
    """Hand over a mail that came back, as its exact bytes. It is stored before this answers, and read soon.

    `rcpt` is the address it came to, whose local part holds the token; `from` its envelope sender, empty for
    the null sender. What is left out is read in the mail: Delivered-To, X-Original-To, Envelope-To;
    Return-Path. The same mail to the same address is stored once.
    """
    only_parameters(request, "rcpt", "from")
    if media_type(request)[0] != "message/rfc822":
        raise UnsupportedType("Send the mail as message/rfc822.")
    raw = await whole_body(request, parts.config.inbound_max_bytes)
    if not raw.strip():
        raise InvalidRequest("There is no mail.", pointer="#", code="missing")
    sender = "" if mail_from == "" else clean_text(mail_from, "?from")
    envelope = envelope_of(raw, rcpt_to=clean_text(rcpt, "?rcpt"), mail_from=sender)
    new = NewInbound("api", envelope.mail_from, envelope.rcpt_to, raw)
    async with parts.archive.writing() as connection:
        inbound_id, is_new = await inbound.store_inbound(connection, new, parts.now())
    parts.inbound.wake()
    return InboundTaken(id=inbound_id, duplicate=not is_new, links=_links(request, parts, inbound_id))


@router.get("", response_model=InboundList, responses=problems(422, 503))
async def list_all(
    request: Request,
    parts: UseParts,
    state: InboundState | None = None,
    kind: InboundKind | None = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    after: Annotated[str | None, Query(max_length=100)] = None,
) -> InboundList:
    """Mails that came back, newest first."""
    only_parameters(request, "state", "kind", "limit", "after")
    last_seen = id_cursor(after, "inb")
    async with parts.archive.reading() as connection:
        found = await inbound.inbound_mails(
            connection, state=state, kind=kind, limit=limit + 1, after=last_seen
        )
    page, has_more = found[:limit], len(found) > limit
    return InboundList(
        has_more=has_more,
        next=page[-1].id if has_more else None,
        data=[_view(request, parts, one) for one in page],
    )


@router.get("/{inbound_id}", response_model=InboundView, responses=problems(404, 422, 503))
async def show(request: Request, parts: UseParts, inbound_id: str) -> InboundView:
    """One mail: what was read in it, and what followed."""
    only_parameters(request)
    async with parts.archive.reading() as connection:
        found = await inbound.inbound_mail(connection, inbound_id_of(inbound_id))
    return _view(request, parts, found)


@router.get(
    "/{inbound_id}/raw",
    response_class=Response,
    responses={
        200: {"content": {"message/rfc822": {}}, "description": "The mail as it came, byte for byte"},
        **problems(404, 422, 503),
    },
)
async def raw(request: Request, parts: UseParts, inbound_id: str) -> Response:
    """The mail as it came."""
    only_parameters(request)
    async with parts.archive.reading() as connection:
        mail = await inbound.inbound_raw(connection, inbound_id_of(inbound_id))
    return Response(mail, media_type="message/rfc822")


def _view(request: Request, parts: Parts, mail: Inbound) -> InboundView:
    return InboundView(
        id=mail.id,
        received_at=mail.received_at,
        via=mail.via,
        mail_from=mail.mail_from,
        rcpt_to=mail.rcpt_to,
        size=mail.size,
        state=mail.state,
        kind=InboundKind(mail.kind) if mail.kind else None,
        message=f"{mail.bulk_id}.{mail.seq}" if mail.seq else None,
        detail=mail.detail,
        tries=mail.tries,
        found=FoundView.model_validate(mail.found) if mail.found else None,
        processed_at=mail.processed_at,
        links=_links(request, parts, mail.id),
    )


def _links(request: Request, parts: Parts, inbound_id: str) -> dict[str, str]:
    own = f"{base_url(request, parts)}/v1/inbound/{inbound_id}"
    return {"self": own, "raw": f"{own}/raw"}
