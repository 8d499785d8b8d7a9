"""The recipients of a draft: lists that are uploaded or pasted, told what they mean, and taken in."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Annotated

from fastapi import APIRouter, Query, Response
from fastapi.responses import StreamingResponse

from api.errors import BrokenOff, InProgress
from api.ids import is_list_id
from api.page.answers import go_on, page
from api.page.drafts import UseDraft
from api.page.forms import UseFilesForm, UseForm
from api.page.list_columns import Mapping, guess, told
from api.page.list_refused import csv_lines, refused_rows
from api.page.list_taking import SHOWN, columns_of, progress_of, take_list, with_columns
from api.page.list_uploading import charset_of, erase_list, keep_list, rows_at_the_top
from api.page.multipart import MultipartForm
from api.page.send_reading import MOST_TEXT
from api.page.upload_slots import upload_slot
from api.page.visit import UseVisit, Visit
from postwerk.archive import drafts, reads
from postwerk.archive.drafts import DraftList
from postwerk.archive.reads import BulkSend
from postwerk.errors import Conflict, InvalidRequest, NotFound
from postwerk.mime.templates import Templates

router = APIRouter()
_LOOK_AGAIN = 2
"""Seconds, while a list is taken in."""
_LONGEST_CHARSET = 40
WhichList = Annotated[str, Query(alias="list", max_length=100)]
Charset = Annotated[str | None, Query(max_length=_LONGEST_CHARSET)]


@router.get("/sends/{bulk_id}/draft/recipients")
async def show(visit: UseVisit, draft: UseDraft) -> Response:
    """What was taken so far, and the form for more."""
    return await _recipients(visit, draft)


@router.post("/sends/{bulk_id}/draft/recipients")
async def upload(visit: UseVisit, draft: UseDraft, form: UseFilesForm) -> Response:
    """Keep a list; then its columns are asked about."""
    with upload_slot(visit):
        try:
            list_id = await _kept(visit, draft, form)
        except InvalidRequest as error:
            await form.skip_rest()  # a browser reads the answer only when it has sent everything
            return await _recipients(visit, draft, wrong=error.message)
    return go_on(visit, f"/sends/{draft.id}/draft/columns?list={list_id}")


async def _kept(visit: Visit, draft: BulkSend, form: MultipartForm) -> str:
    """The id of the list. Raises InvalidRequest."""
    charset = ""
    while (part := await form.next_part()) is not None:
        found = None
        if part.name == "charset":
            charset = (await part.text(_LONGEST_CHARSET)).strip()
        elif part.name == "list" and part.filename:
            found = await keep_list(visit.parts, draft.id, part.filename, part.pieces(), charset)
        elif part.name == "pasted":
            text = (await part.text(MOST_TEXT)).strip()
            found = await keep_list(visit.parts, draft.id, "pasted rows", _one(text.encode()), "utf-8")
        if found is not None:
            return found
    raise InvalidRequest("Choose a file with something in it, or paste some rows.")


async def _one(data: bytes) -> AsyncIterator[bytes]:
    yield data


@router.get("/sends/{bulk_id}/draft/columns")
async def ask(visit: UseVisit, draft: UseDraft, list_id: WhichList, charset: Charset = None) -> Response:
    """The first rows of a list, and what its columns seem to mean; `charset`: read it so instead."""
    one = await _list(visit, draft, list_id)
    if charset is not None and columns_of(one) is None:
        async with visit.parts.archive.writing() as connection:
            await drafts.tell_columns(connection, one, {"charset": charset.strip()})
        one = await _list(visit, draft, list_id)
    wanted = await _wanted(visit, draft)
    try:
        mapping = await _guessed(visit, one, wanted)
    except InvalidRequest as error:
        return _columns(visit, draft, one, None, wanted, unreadable=error.message)
    return _columns(visit, draft, one, mapping, wanted)


@router.post("/sends/{bulk_id}/draft/columns")
async def take(visit: UseVisit, draft: UseDraft, form: UseForm, list_id: WhichList) -> Response:
    """Take its rows in, with its columns as they were told here, or before."""
    one = await _list(visit, draft, list_id)
    if columns_of(one) is None:
        wanted = await _wanted(visit, draft)
        mapping = told(await _guessed(visit, one, wanted), form)
        if not mapping.is_good:
            return _columns(visit, draft, one, mapping, wanted)
        async with visit.parts.archive.writing() as connection:
            await drafts.tell_columns(connection, one, with_columns(one, mapping.as_told()))
        one = await _list(visit, draft, list_id)  # of two tabs the first one counts
    if one.state == drafts.HERE:
        with suppress(BrokenOff, InProgress):  # the next page says how far it is, and if somebody is at it
            await take_list(visit.request, visit.parts, one)
    return go_on(visit, f"/sends/{draft.id}/draft/recipients")


@router.get("/sends/{bulk_id}/draft/refused")
async def refused(visit: UseVisit, draft: UseDraft, list_id: WhichList) -> Response:
    """Every row of a list that was refused, as CSV."""
    one = await _list(visit, draft, list_id)
    headers = {"Content-Disposition": 'attachment; filename="refused.csv"'}
    lines = csv_lines(refused_rows(visit.parts.archive, one))
    return StreamingResponse(lines, media_type="text/csv; charset=utf-8", headers=headers)


@router.post("/sends/{bulk_id}/draft/drop")
async def drop(visit: UseVisit, draft: UseDraft, form: UseForm) -> Response:
    """Forget a list of which nothing was taken."""
    one = await _list(visit, draft, form.get("list"))
    if columns_of(one) is not None:
        raise Conflict("Rows of this list are recipients already; discard the draft to be rid of them.")
    await erase_list(visit.parts.archive, one.id)
    return go_on(visit, f"/sends/{draft.id}/draft/recipients", "The list is forgotten.")


async def _list(visit: Visit, draft: BulkSend, list_id: str) -> DraftList:
    """Raises NotFound."""
    if not is_list_id(list_id):
        raise NotFound("There is no such list here.")
    async with visit.parts.archive.reading() as connection:
        return await drafts.draft_list(connection, draft.id, list_id)


async def _recipients(visit: Visit, draft: BulkSend, wrong: str = "") -> Response:
    parts = visit.parts
    async with parts.archive.reading() as connection:
        lists = await drafts.draft_lists(connection, draft.id)
        draft = await reads.bulk_send(connection, draft.id)  # a list may have been taken since
    rows = [(one, columns_of(one) is not None, await progress_of(parts, one)) for one in lists]
    answer = page(
        visit,
        "draft_recipients.html",
        status=422 if wrong else 200,
        draft=draft,
        lists=rows,
        wrong=wrong,
        is_busy=any(progress is not None and progress.is_running for _, _, progress in rows),
        most=parts.config.max_part_bytes,
        shown=SHOWN,
    )
    if any(progress is not None and progress.is_running for _, _, progress in rows):
        answer.headers["Refresh"] = str(_LOOK_AGAIN)
    return answer


async def _guessed(visit: Visit, one: DraftList, wanted: Sequence[str]) -> Mapping:
    return guess(await rows_at_the_top(visit.parts.archive, one), wanted)


async def _wanted(visit: Visit, draft: BulkSend) -> list[str]:
    """What the mail reads."""
    async with visit.parts.archive.reading() as connection:
        content = await reads.content_of(connection, draft.id)
    return sorted({name.partition(".")[0] for name in Templates(content).names()})


def _columns(
    visit: Visit,
    draft: BulkSend,
    one: DraftList,
    mapping: Mapping | None,
    wanted: Sequence[str],
    unreadable: str = "",
) -> Response:
    return page(
        visit,
        "draft_columns.html",
        status=422 if unreadable or (mapping is not None and not mapping.is_good) else 200,
        draft=draft,
        list=one,
        mapping=mapping,
        unreadable=unreadable,
        charset=charset_of(one) or "",
        is_told=columns_of(one) is not None,
        wanted=wanted,
        missing=[] if mapping is None else mapping.missing(wanted),
    )
