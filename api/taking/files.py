"""The files of a request: read from base64, or named by the hash under which they lie here; each checked."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import msgspec

from postwerk.archive.blobs import NewBlob, blob_data, blob_sizes
from postwerk.archive.engine import Archive
from postwerk.contracts.content import Attachment, Content
from postwerk.errors import InvalidRequest, TooLarge
from postwerk.mime.file_names import METHOD, content_id, file_name, looks_executable, media_type

LARGEST_CALENDAR = 1024 * 1024
ID_PREFIX = "sha256:"
_ID = re.compile(r"sha256:[0-9a-f]{64}")
_FOLD = re.compile(r"\r?\n[ \t]")
_METHOD_LINE = re.compile(r"^METHOD(?:;[^:\r\n]*)?:[ \t]*([A-Za-z]+)[ \t]*\r?$", re.M | re.I)
_CID = re.compile(r"""["'(=]\s*cid:([^\s"'<>()]+)""", re.I)


class GivenFile(msgspec.Struct, forbid_unknown_fields=True):
    """A file as a caller writes it."""

    filename: str
    content: bytes | None = None
    """Base64 in JSON; decoded while it is read, without a text of it in between."""
    id: str | None = None
    content_type: str | None = None
    content_id: str | None = None
    inline: bool | None = None


@dataclass(frozen=True, slots=True)
class FileLimits:
    """How large and how many files may be, and how large a message."""

    file_octets: int = 18 * 1024 * 1024
    files: int = 20
    message_octets: int = 25 * 1024 * 1024
    """Encoded, as servers count it."""


@dataclass(frozen=True, slots=True)
class PreparedFiles:
    """Checked: as the content holds them, and those that are still to be stored."""

    attachments: tuple[Attachment, ...] = ()
    blobs: tuple[NewBlob, ...] = ()


_decode = msgspec.json.Decoder(GivenFile).decode


def read_files(given: Any) -> list[GivenFile]:
    """From a list of objects, parsed already or not. Raises InvalidRequest naming the field."""
    if not isinstance(given, list):
        raise InvalidRequest("The attachments must be a list.", pointer="#/attachments", code="invalid_type")
    return [_read(f"#/attachments/{number}", one) for number, one in enumerate(given)]


def _read(pointer: str, one: Any) -> GivenFile:
    if isinstance(one, GivenFile):
        return one
    try:
        return _decode(one) if isinstance(one, msgspec.Raw) else msgspec.convert(one, GivenFile)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        said = str(error)[:200] if isinstance(error, msgspec.ValidationError) else "this is not valid JSON"
        field = re.search(r"at `\$\.(\w+)`", said)
        where = f"{pointer}/{field[1]}" if field else pointer
        raise InvalidRequest(
            f"{said.partition(' - at')[0]}.", pointer=where, code="invalid_attachment"
        ) from None


async def prepare_files(archive: Archive, given: Sequence[GivenFile], limits: FileLimits) -> PreparedFiles:
    """Checks and hashes them. Raises InvalidRequest, or TooLarge, naming the file."""
    if not given:
        return PreparedFiles()
    if len(given) > limits.files:
        raise TooLarge(f"At most {limits.files} files.", pointer="#/attachments", code="too_many")
    sizes = await _known_sizes(archive, given)
    attachments, blobs = [], []
    for number, one in enumerate(given):
        pointer = f"#/attachments/{number}"
        data = one.content
        _check_size(pointer, one, sizes, limits)
        if data is None and _may_be_text(one):
            async with archive.reading() as connection:
                data = await blob_data(connection, _hash_of(one))
        attachments.append(await asyncio.to_thread(_attachment, pointer, one, data, sizes))
        if one.content is not None:
            blobs.append(NewBlob(attachments[-1].blob, one.content))
    _check_together(attachments)
    return PreparedFiles(tuple(attachments), tuple(blobs))


async def _known_sizes(archive: Archive, given: Sequence[GivenFile]) -> dict[str, int]:
    """Octets of those that were put here before. Raises InvalidRequest for one that is not here."""
    for number, one in enumerate(given):
        if (one.content is None) == (one.id is None):
            raise InvalidRequest(
                "Give either `content` in base64, or the `id` of a file that was put here.",
                pointer=f"#/attachments/{number}/content",
                code="missing" if one.content is None else "both_given",
            )
        if one.id is not None and not _ID.fullmatch(one.id):
            raise _unknown(number)
    wanted = {_hash_of(one): number for number, one in enumerate(given) if one.id is not None}
    async with archive.reading() as connection:
        sizes = await blob_sizes(connection, list(wanted))
    for id in wanted.keys() - sizes.keys():
        raise _unknown(wanted[id])
    return sizes


def _unknown(number: int) -> InvalidRequest:
    return InvalidRequest(
        'There is no file of this id; PUT /v1/attachments answers one such as "sha256:...".',
        pointer=f"#/attachments/{number}/id",
        code="unknown_attachment",
    )


def _hash_of(one: GivenFile) -> str:
    return (one.id or "").removeprefix(ID_PREFIX)


def _check_size(pointer: str, one: GivenFile, sizes: dict[str, int], limits: FileLimits) -> None:
    size = len(one.content) if one.content is not None else sizes[_hash_of(one)]
    if size > limits.file_octets:
        where = "content" if one.content is not None else "id"
        raise TooLarge(
            f"The file has {size:,} octets; at most {limits.file_octets:,} are taken.",
            pointer=f"{pointer}/{where}",
            code="too_large",
        )


def _may_be_text(one: GivenFile) -> bool:
    kind = one.content_type or media_type(None, one.filename, "#")[0]
    return kind.lower().startswith(("text/", "application/ics"))


def _attachment(pointer: str, one: GivenFile, data: bytes | None, sizes: dict[str, int]) -> Attachment:
    name = file_name(one.filename, f"{pointer}/filename")
    kind, charset = media_type(one.content_type, name, f"{pointer}/content_type")
    cid = content_id(one.content_id, f"{pointer}/content_id") if one.content_id is not None else ""
    if one.inline and not cid:
        raise InvalidRequest(
            "A file that the html shows needs the content id it is shown by.",
            pointer=f"{pointer}/content_id",
            code="missing",
        )
    inline = bool(cid) if one.inline is None else one.inline
    text = _as_text(data) if kind.startswith("text/") and data is not None else None
    return Attachment(
        name=name,
        media_type=kind,
        blob=NewBlob.of(one.content).id if one.content is not None else _hash_of(one),
        size=len(one.content) if one.content is not None else sizes[_hash_of(one)],
        charset=charset or ("utf-8" if text is not None else ""),
        content_id=cid,
        inline=inline,
        method=_method(pointer, text) if kind == "text/calendar" and text is not None and not inline else "",
    )


def _as_text(data: bytes) -> str | None:
    """None when it is not UTF-8, of which ASCII is a part."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


def _method(pointer: str, calendar: str) -> str:
    """What an invitation asks for (RFC 5546 1.4); empty for a calendar file that asks for nothing."""
    if len(calendar) > LARGEST_CALENDAR:
        return ""
    found = _METHOD_LINE.search(_FOLD.sub("", calendar.partition("BEGIN:VEVENT")[0]))
    method = found[1].upper() if found else ""
    if method and not METHOD.fullmatch(method):
        raise InvalidRequest(
            "The calendar's METHOD is none of RFC 5546.",
            pointer=f"{pointer}/content",
            code="invalid_calendar",
        )
    return method


def _check_together(attachments: Sequence[Attachment]) -> None:
    """Content ids are unique, and one mail invites to one thing. Raises InvalidRequest."""
    cids = Counter(one.content_id for one in attachments if one.content_id)
    for number, one in enumerate(attachments):
        if cids[one.content_id] > 1:
            raise InvalidRequest(
                "Two files have this content id.",
                pointer=f"#/attachments/{number}/content_id",
                code="duplicate_content_id",
            )
    invitations = [number for number, one in enumerate(attachments) if one.method]
    if len(invitations) > 1:
        raise InvalidRequest(
            "One mail holds one invitation (a calendar file with a METHOD).",
            pointer=f"#/attachments/{invitations[1]}",
            code="several_invitations",
        )


def check_references(content: Content) -> None:
    """Each `cid:` in the html names a file, and a file that is shown has an html. Raises InvalidRequest."""
    known = {one.content_id for one in content.attachments if one.content_id}
    for named in _CID.findall(content.html or ""):
        cid = unquote(named)
        if "{" not in cid and cid not in known:
            raise InvalidRequest(
                f"The html shows cid:{cid[:200]}, and no attachment has this content_id.",
                pointer="#/html",
                code="unknown_content_id",
            )
    for number, one in enumerate(content.attachments):
        if one.inline and content.html is None:
            raise InvalidRequest(
                "A file can only be shown inline by an html; there is none.",
                pointer=f"#/attachments/{number}/inline",
                code="no_html",
            )


def file_warnings(content: Content) -> list[dict[str, str]]:
    """What is taken, and may be refused by others."""
    return [
        {
            "pointer": f"#/attachments/{number}/filename",
            "code": "executable_attachment",
            "detail": "Many mail providers refuse a mail with a file of this kind.",
        }
        for number, one in enumerate(content.attachments)
        if looks_executable(one.name)
    ]
