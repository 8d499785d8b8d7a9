"""What a draft would send: some of its mails as they would go out, and what looks odd about it."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Sequence
from dataclasses import dataclass

from api.dependencies import Parts
from api.schemas import Sample, UndefinedVariable, WarningView
from api.taking.dry_run import Survey, findings
from api.taking.samples import a_sample
from postwerk.archive import reads
from postwerk.archive.blobs import blob_data
from postwerk.archive.engine import Archive
from postwerk.archive.intake import NewBulkSend
from postwerk.archive.reads import BulkSend, Message, MessageFilter
from postwerk.archive.suppressing import begin_search, search_page
from postwerk.contracts.content import Content, MailIdentity, Recipient
from postwerk.mime.composer import Composer
from postwerk.mime.templates import Templates

SAMPLES = 3
LOOKED_AT = 10_000
"""Recipients at most that are looked at for what they lack."""
_AT_ONCE = 1000
_PATIENCE = 2.0
"""Seconds of looking."""
_MOST_IMAGES = 10 * 1024 * 1024
"""Octets of images within one sample."""


@dataclass(frozen=True, slots=True)
class Odd:
    """What there is to know before it is sent."""

    warnings: Sequence[WarningView]
    undefined: Sequence[UndefinedVariable]
    suppressed: int | None
    """Recipients on the suppression list; None: too many to count now."""
    looked_at: int


async def samples(
    parts: Parts, draft: BulkSend, content: Content, wanted: MessageFilter, after: int
) -> list[tuple[int, str, Sample]]:
    """Seq, name and mail of the next recipients behind `after`."""
    async with parts.archive.reading() as connection:
        found = await reads.messages(connection, draft.id, wanted, limit=SAMPLES, after=after)
    composer = await _composer(parts, draft, content)
    return [
        (one.seq, one.name, await asyncio.to_thread(a_sample, composer, one.seq, _recipient(one)))
        for one in found
    ]


async def html_of(parts: Parts, draft: BulkSend, content: Content, seq: int) -> str:
    """The html of one mail, its own images within it; empty when it has none. Raises NotFound."""
    async with parts.archive.reading() as connection:
        found = await reads.message(connection, draft.id, seq)
    composer = await _composer(parts, draft, content)
    sample = await asyncio.to_thread(a_sample, composer, seq, _recipient(found))
    return await _with_images(parts.archive, content, sample.html or "")


async def oddities(parts: Parts, draft: BulkSend, content: Content) -> Odd:
    """Looks at the first recipients; who is suppressed is looked for among all of them."""
    survey = Survey(Templates(content).names(), 0)
    looked_at = await _survey(parts.archive, draft, survey)
    survey.tally.accepted, survey.tally.rejected = draft.accepted, draft.rejected
    found = await findings(parts, _as_new(draft, content), survey, draft.accepted)
    return Odd(
        found.warnings, found.undefined_variables, await _suppressed(parts.archive, draft.id), looked_at
    )


async def _survey(archive: Archive, draft: BulkSend, survey: Survey) -> int:
    """What the first recipients lack; answers how many were looked at."""
    after, looked_at = 0, 0
    while looked_at < LOOKED_AT and survey.names:
        async with archive.reading() as connection:
            some = await reads.messages(connection, draft.id, MessageFilter(), limit=_AT_ONCE, after=after)
        for one in some:
            survey.look_at(one.seq, _recipient(one))
        looked_at += len(some)
        if len(some) < _AT_ONCE:
            break
        after = some[-1].seq
    return looked_at if survey.names else draft.accepted


async def _suppressed(archive: Archive, bulk_id: str) -> int | None:
    until, found = time.monotonic() + _PATIENCE, 0
    async with archive.reading() as connection:
        search = await begin_search(connection, bulk_id)
    while search is not None:
        if time.monotonic() > until:
            return None
        async with archive.reading() as connection:
            some, search = await search_page(connection, search)
        found += len(some)
    return found


async def _composer(parts: Parts, draft: BulkSend, content: Content) -> Composer:
    begins = draft.options.send_at or parts.now()
    identity = MailIdentity(draft.id, begins)
    return await asyncio.to_thread(Composer, content.without_files(), identity, await parts.imprint())


async def _with_images(archive: Archive, content: Content, html: str) -> str:
    """A frame that may load nothing shows what `cid:` names all the same."""
    left = _MOST_IMAGES
    for one in content.attachments:
        name = f"cid:{one.content_id}"
        if one.content_id and name in html and one.media_type.startswith("image/") and one.size <= left:
            async with archive.reading() as connection:
                data = await blob_data(connection, one.blob)
            if data is not None:
                left -= one.size
                html = html.replace(name, f"data:{one.media_type};base64,{base64.b64encode(data).decode()}")
    return html


def _recipient(one: Message) -> Recipient:
    return Recipient(one.seq, one.address, one.name, one.variables)


def _as_new(draft: BulkSend, content: Content) -> NewBulkSend:
    return NewBulkSend(
        draft.id, draft.name, content, draft.options, draft.metadata, draft.created_at, kind=draft.kind
    )
