"""Writing a send: what it says and how it is carried. It is stored as an open bulk send, a draft."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from api.claim import Claim
from api.ids import bulk_id_of, is_bulk_id
from api.making import make_bulk_send
from api.page import tokens
from api.page.answers import go_on, page
from api.page.drafts import UseDraft, check_draft
from api.page.forms import Form, UseFilesForm
from api.page.send_check import checked
from api.page.send_fields import first_of, open_sections
from api.page.send_form import document_of
from api.page.send_prefill import empty_form, files_of, form_of_send
from api.page.send_reading import Typed, read_send_form
from api.page.upload_slots import upload_slot
from api.page.visit import UseVisit, Visit
from api.request_schemas import BulkSendRequest
from api.taking.files import ID_PREFIX
from api.who import caller_of
from postwerk.archive import drafts, reads
from postwerk.archive.blobs import blob_sizes
from postwerk.archive.ids import new_bulk_id
from postwerk.archive.intake import NewBulkSend
from postwerk.archive.reads import BulkSend
from postwerk.archive.templates import templates
from postwerk.contracts.content import Content
from postwerk.contracts.keys import Scope
from postwerk.contracts.states import BulkState, SendKind
from postwerk.errors import Forbidden, NotFound
from postwerk.rules.sending_window import time_zones

router = APIRouter()
_MOST_TEMPLATES = 500
_MOST_DRAFTS = 8
_STALE = "This form is out of date: load the page again, and send it once more."


@router.get("/sends/new")
async def write(visit: UseVisit, like: Annotated[str, Query(max_length=100)] = "") -> Response:
    """An empty form; `like`: with what another send says."""
    empty = Typed(empty_form(visit.parts.config.public_url), [])
    return await _form(visit, await _like(visit, bulk_id_of(like)) if like else empty)


@router.post("/sends/new")
async def store(visit: UseVisit, form: UseFilesForm) -> Response:
    """Store it as a draft. Its id stands in the form, so that one form makes one draft."""
    with upload_slot(visit):
        typed = await read_send_form(visit.parts, form)
    bulk_id = _id_in(visit, typed.form)
    found = await _checked(visit, typed, bulk_id)
    if found is None:
        return await _form(visit, typed)
    if (draft := await _draft_there(visit, bulk_id)) is not None:
        await _rewrite(visit, draft, typed.form, found[1])
    else:
        await _make(visit, found[0], bulk_id)
    return go_on(visit, f"/sends/{bulk_id}/draft/recipients")


@router.get("/sends/{bulk_id}/draft")
async def where(visit: UseVisit, draft: UseDraft) -> Response:
    """To the step that comes next."""
    step = "preview" if draft.accepted else "recipients"
    return go_on(visit, f"/sends/{draft.id}/draft/{step}")


@router.get("/sends/{bulk_id}/draft/content")
async def write_anew(visit: UseVisit, draft: UseDraft) -> Response:
    """The form with what the draft says."""
    async with visit.parts.archive.reading() as connection:
        content = await reads.content_of(connection, draft.id)
    return await _form(visit, _typed(draft, content), draft)


@router.post("/sends/{bulk_id}/draft/content")
async def store_anew(visit: UseVisit, draft: UseDraft, form: UseFilesForm) -> Response:
    """Say it anew; its recipients stay."""
    with upload_slot(visit):
        typed = await read_send_form(visit.parts, form)
    found = await _checked(visit, typed, draft.id)
    if found is None:
        return await _form(visit, typed, draft)
    await _rewrite(visit, draft, typed.form, found[1])
    return go_on(visit, f"/sends/{draft.id}/draft", "The draft is stored.")


async def _checked(visit: Visit, typed: Typed, bulk_id: str) -> tuple[BulkSendRequest, NewBulkSend] | None:
    """None: something is wrong with it, and told in `typed`."""
    document, unreadable = document_of(typed.form, typed.files)
    typed.wrong |= unreadable
    return await checked(visit.parts, caller_of(visit.request), document, typed.wrong, bulk_id)


async def _make(visit: Visit, wanted: BulkSendRequest, bulk_id: str) -> None:
    try:
        await make_bulk_send(visit.request, visit.parts, wanted, [], Claim(visit.parts, bulk_id))
    except IntegrityError:
        return  # the same form came twice at the same moment, and the other one was first


async def _rewrite(visit: Visit, draft: BulkSend, form: Form, new: NewBulkSend) -> None:
    """What the form does not ask for stays as it is. Raises Conflict."""
    old = draft.options
    kept: dict[str, Any] = {"max_consecutive_config_errors": old.max_consecutive_config_errors}
    kept |= {} if form.get("retry") else {"retry": old.retry}
    kept |= {} if form.get("template") else {"template": old.template}
    said = replace(new, options=new.options.model_copy(update=kept))
    async with visit.parts.archive.writing() as connection:
        await drafts.rewrite_draft(connection, said)


def _id_in(visit: Visit, form: Form) -> str:
    """Which draft this form makes. Raises Forbidden for an id that we did not give out to this browser."""
    found = tokens.unsealed(visit.cookie, form.get("draft"))
    if not isinstance(found, str) or not is_bulk_id(found):
        raise Forbidden(_STALE, code="stale_form")
    return found


async def _draft_there(visit: Visit, bulk_id: str) -> BulkSend | None:
    """The draft that this form has made already: by a second click, or before one went back to it."""
    try:
        async with visit.parts.archive.reading() as connection:
            send = await reads.bulk_send(connection, bulk_id)
    except NotFound:
        return None
    return check_draft(send)


async def _drafts(visit: Visit, connection: AsyncConnection) -> list[BulkSend]:
    """The newest that this caller may go on with."""
    caller = caller_of(visit.request)
    owner = None if Scope.ADMIN in caller.scopes else caller.owner
    return await reads.bulk_sends(
        connection, states=[BulkState.OPEN], kinds=[SendKind.BULK], owner=owner, limit=_MOST_DRAFTS
    )


async def _like(visit: Visit, bulk_id: str) -> Typed:
    """Raises NotFound for a send that this caller may not see."""
    caller = caller_of(visit.request)
    async with visit.parts.archive.reading() as connection:
        send = await reads.bulk_send(connection, bulk_id)
        is_own = bool(caller.owner) and await reads.are_all_of(connection, caller.owner, [bulk_id])
        content = await reads.content_of(connection, bulk_id)
    if Scope.READ not in caller.scopes and not is_own:
        raise NotFound("There is no bulk send with this id.")
    begins_now = send.options.model_copy(update={"send_at": None, "expires_at": None})
    return _typed(replace(send, options=begins_now), content)


def _typed(send: BulkSend, content: Content) -> Typed:
    return Typed(form_of_send(send, content), files_of(content))


async def _form(visit: Visit, typed: Typed, draft: BulkSend | None = None) -> Response:
    """With everything that was typed, and what is wrong at each field."""
    parts, given = visit.parts, typed.form.get("draft")
    ids = [(one.id or "").removeprefix(ID_PREFIX) for one in typed.files]
    async with parts.archive.reading() as connection:
        known = await templates(connection, limit=_MOST_TEMPLATES)
        others = [] if draft else await _drafts(visit, connection)
        sizes = await blob_sizes(connection, ids)
    return page(
        visit,
        "send_content.html",
        status=422 if typed.wrong else 200,
        draft=draft,
        drafts=others,
        sealed_id=given or tokens.sealed(visit.cookie, new_bulk_id()),
        form=typed.form,
        files=[(one, sizes.get(id)) for one, id in zip(typed.files, ids, strict=True)],
        wrong=typed.wrong,
        first=first_of(typed.wrong),
        sections=open_sections(typed.form, typed.wrong),
        templates=[one.id for one in known],
        zones=time_zones(),
        relays=parts.config.relay_names,
        public_url=parts.config.public_url,
        limits=parts.config.file_limits,
    )
