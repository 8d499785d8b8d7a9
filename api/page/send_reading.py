"""The form of a send as it arrives: its fields, and its files, each stored as soon as it is here."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from api.dependencies import Parts
from api.page.forms import Form
from api.page.multipart import MultipartForm, Part
from api.page.send_fields import Wrong
from api.page.words import size
from api.taking.files import ID_PREFIX, GivenFile
from postwerk.archive.blobs import NewBlob, store_blobs
from postwerk.errors import TooLarge

MOST_TEXT = 4 * 1024 * 1024
"""Octets of all fields that are no files."""
_LONGEST_NAME = 1000


@dataclass(slots=True)
class Typed:
    """What came, good or not: the form is shown with it again when something is wrong."""

    form: Form
    files: list[GivenFile]
    wrong: Wrong = field(default_factory=dict)


async def read_send_form(parts: Parts, given: MultipartForm) -> Typed:
    """Everything that was typed and chosen. Raises MalformedBody."""
    pairs: list[tuple[str, str]] = []
    arrived: list[GivenFile] = []
    wrong: Wrong = {}
    left = MOST_TEXT
    while (part := await given.next_part()) is not None:
        if part.filename is None:
            try:
                text = await part.text(left)
            except TooLarge:
                wrong[part.name] = f"All that is typed together may have {size(MOST_TEXT)}."
                continue
            left -= len(text.encode())
            pairs.append((part.name, text))
        elif part.filename and part.name == "files":
            await _keep_file(parts, part, arrived, wrong)
    form = Form(pairs)
    return Typed(form, [*_kept(form), *arrived], wrong)


async def _keep_file(parts: Parts, part: Part, arrived: list[GivenFile], wrong: Wrong) -> None:
    """As PUT /v1/attachments does. The rest of one that is too large is skipped."""
    limit, name = parts.config.file_limits.file_octets, part.filename or ""
    if len(arrived) >= parts.config.file_limits.files:
        wrong["files"] = f"At most {parts.config.file_limits.files} files."
        return
    try:
        data = await part.read(limit)
    except TooLarge:
        wrong["files"] = f"{name[:200]} is larger than {size(limit)}."
        return
    if not data:
        wrong["files"] = f"{name[:200]} is empty."
        return
    blob = await asyncio.to_thread(NewBlob.of, data)
    async with parts.archive.writing() as connection:
        await store_blobs(connection, [blob], parts.now())
    arrived.append(GivenFile(filename=name[:_LONGEST_NAME], id=ID_PREFIX + blob.id))


def _kept(form: Form) -> list[GivenFile]:
    """Files that were here before, each with what was said of it; without those that were ticked off."""
    dropped = set(form.all("file_drop"))
    names, kinds, shown = form.all("file_name"), form.all("file_type"), form.all("file_cid")
    return [
        GivenFile(
            filename=names[at] if at < len(names) else "",
            id=id,
            content_type=(kinds[at] if at < len(kinds) else "") or None,
            content_id=(shown[at].strip() if at < len(shown) else "") or None,
        )
        for at, id in enumerate(form.all("file_id"))
        if str(at) not in dropped
    ]
