"""A list as it arrives, put into the archive piece by piece: it may be larger than the memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from api.dependencies import Parts
from api.taking.mapped_rows import first_rows
from postwerk.archive import drafts
from postwerk.archive.drafts import DraftList
from postwerk.archive.engine import Archive
from postwerk.archive.ids import new_id
from postwerk.errors import InvalidRequest

PIECE = 1024 * 1024
"""Octets of a piece: a commit each."""
FIRST_ROWS = 6
_LONGEST_NAME = 200


async def keep_list(
    parts: Parts, bulk_id: str, name: str, pieces: AsyncIterator[bytes], charset: str = ""
) -> str | None:
    """The id of what was kept; None when there was nothing in it. Raises Conflict when it is not open."""
    list_id, number, held = new_id("list"), 0, bytearray()
    async with parts.archive.writing() as connection:
        shown = _printable(name.replace("\\", "/").rpartition("/")[2])[:_LONGEST_NAME]
        now = parts.now()
        await drafts.begin_list(connection, list_id, bulk_id, shown, columns={"charset": charset}, now=now)
    try:
        async for piece in pieces:
            held += piece
            while len(held) >= PIECE:
                await _keep_piece(parts.archive, list_id, number, bytes(held[:PIECE]))
                del held[:PIECE]
                number += 1
        if held:
            await _keep_piece(parts.archive, list_id, number, bytes(held))
        elif not number:
            await erase_list(parts.archive, list_id)
            return None
    except BaseException:
        await asyncio.shield(erase_list(parts.archive, list_id))
        raise
    async with parts.archive.writing() as connection:
        await drafts.set_list(connection, list_id, state=drafts.HERE)
    return list_id


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)


async def _keep_piece(archive: Archive, list_id: str, number: int, data: bytes) -> None:
    if number == 0 and data.startswith(b"PK\x03\x04"):
        raise InvalidRequest("This is a workbook or a zip file: save the sheet as CSV, and give that.")
    async with archive.writing() as connection:
        await drafts.add_piece(connection, list_id, number, data)


async def erase_list(archive: Archive, list_id: str) -> None:
    more = True
    while more:
        async with archive.writing() as connection:
            more = await drafts.erase_list(connection, list_id)


async def pieces_of(archive: Archive, one: DraftList) -> AsyncIterator[bytes]:
    """All of it, a piece at a time. Raises NotFound when it is erased meanwhile."""
    for number in range(one.pieces):
        async with archive.reading() as connection:
            data = await drafts.piece(connection, one.id, number)
        yield data


async def rows_at_the_top(archive: Archive, one: DraftList) -> list[list[str]]:
    """Its first rows. Raises InvalidRequest for what is no CSV, or of another encoding."""
    async with archive.reading() as connection:
        data = await drafts.piece(connection, one.id, 0)
    charset = charset_of(one)
    return await asyncio.to_thread(first_rows, data, FIRST_ROWS, is_all=one.pieces == 1, charset=charset)


def charset_of(one: DraftList) -> str | None:
    said: Any = one.columns or {}
    return said.get("charset") or None
