"""Files that go along with mails, put here once as they are instead of as base64 in each request."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request

from api.dependencies import UseParts
from api.parameters import only_parameters
from api.problem_schemas import problems
from api.taking.body import body_pieces
from api.taking.files import ID_PREFIX
from api.template_schemas import StoredFile
from postwerk.archive.blobs import NewBlob, blob_sizes, store_blobs
from postwerk.errors import InvalidRequest, NotFound
from postwerk.mime.file_names import media_type

router = APIRouter(prefix="/v1/attachments", tags=["attachments"])

_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}


@router.put("", response_model=StoredFile, responses=problems(400, 413, 415, 422, 503), openapi_extra=_BODY)
async def put(request: Request, parts: UseParts) -> StoredFile:
    """Store a file: its bytes are the body. The same bytes have the same id, and are stored once."""
    only_parameters(request)
    given = request.headers.get("content-type")
    if given:
        media_type(given, "", "Content-Type")
    data = bytearray()
    async for piece in body_pieces(request, parts.config.file_limits.file_octets):
        data += piece
    if not data:
        raise InvalidRequest("The file is empty.", code="missing")
    blob = await asyncio.to_thread(NewBlob.of, bytes(data))
    del data
    async with parts.archive.writing() as connection:
        await store_blobs(connection, [blob], parts.now())
    return StoredFile(id=ID_PREFIX + blob.id, size=len(blob.data), content_type=given)


@router.get("/{id}", response_model=StoredFile, responses=problems(404, 422, 503))
async def show(
    request: Request, parts: UseParts, id: Annotated[str, Path(pattern=r"^sha256:[0-9a-f]{64}$")]
) -> StoredFile:
    """Whether a file lies here, and how large it is."""
    only_parameters(request)
    hash = id.removeprefix(ID_PREFIX)
    async with parts.archive.reading() as connection:
        sizes = await blob_sizes(connection, [hash])
    if hash not in sizes:
        raise NotFound("There is no file of this id.")
    return StoredFile(id=id, size=sizes[hash])
