"""A request's body as bytes, limited while it streams, gzip undone."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Iterator

from fastapi import Request

from api.errors import MalformedBody, UnsupportedType
from postwerk.errors import TooLarge

PIECE = 256 * 1024
"""A gzip body grows in pieces of this size, so that a bomb is stopped at the limit and not after it."""
MOST_FILES = 10_000
"""In one body: each costs some microseconds, however little is in it."""


async def body_pieces(request: Request, limit: int) -> AsyncIterator[bytes]:
    """The body as it arrives. Raises TooLarge at the limit, whatever Content-Length said."""
    _check_announced(request, limit)
    unpack = _unpacker(request.headers.getlist("content-encoding"))
    arrived = taken = 0
    async for chunk in request.stream():
        arrived += len(chunk)
        if arrived > limit:  # also gzip that unpacks to nothing at all ends here
            raise _too_large(limit)
        for piece in unpack.feed(chunk):
            taken += len(piece)
            if taken > limit:
                raise _too_large(limit)
            yield piece
            await asyncio.sleep(0)  # one octet of gzip makes a thousand: the others get their turn in between
    unpack.finish()


async def whole_body(request: Request, limit: int) -> bytes:
    return b"".join([piece async for piece in body_pieces(request, limit)])


def media_type(request: Request) -> tuple[str, str | None]:
    """The media type and its charset parameter, if one is declared."""
    kind, *parameters = request.headers.get("content-type", "").split(";")
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset":
            return kind.strip().lower(), value.strip().strip('"').lower()
    return kind.strip().lower(), None


def _check_announced(request: Request, limit: int) -> None:
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced[:20]) > limit:
        raise _too_large(limit)


def _too_large(limit: int) -> TooLarge:
    return TooLarge(
        f"The body is larger than {limit:,} bytes; send long lists in parts to an open bulk send.",
        code="too_large",
    )


class _Plain:
    def feed(self, data: bytes) -> Iterator[bytes]:
        if data:
            yield data

    def finish(self) -> None:
        return None


class _Gzip:
    def __init__(self) -> None:
        self._machine = zlib.decompressobj(wbits=31)
        self._files = 1

    def feed(self, data: bytes) -> Iterator[bytes]:
        while data:
            try:
                piece = self._machine.decompress(data, PIECE)
            except zlib.error as error:
                raise MalformedBody("The body is not valid gzip.") from error
            if piece:
                yield piece
            data = self._machine.unconsumed_tail or self._machine.unused_data
            if self._machine.eof and data:  # gzip files may be put one behind the other (RFC 1952 2.2)
                self._next_file()

    def _next_file(self) -> None:
        self._files += 1
        if self._files > MOST_FILES:
            raise MalformedBody(f"The body is more than {MOST_FILES} gzip files one behind the other.")
        self._machine = zlib.decompressobj(wbits=31)

    def finish(self) -> None:
        if not self._machine.eof:
            raise MalformedBody("The gzip body ends in the middle.")


def _unpacker(given: list[str]) -> _Plain | _Gzip:
    """By the Content-Encoding headers. Raises UnsupportedType naming what is taken."""
    codings = [one for header in given for one in header.lower().replace(" ", "").split(",") if one]
    if codings in ([], ["identity"]):
        return _Plain()
    if codings in (["gzip"], ["x-gzip"]):
        return _Gzip()
    raise UnsupportedType(
        "Send the body as it is or with Content-Encoding: gzip.", accept_encoding="gzip, identity"
    )
