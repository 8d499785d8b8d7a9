"""A form with files (multipart/form-data), read part by part while it arrives: a piece is held at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass

from fastapi import Request
from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header

from api.errors import MalformedBody
from api.taking.body import body_pieces
from postwerk.errors import TooLarge

MULTIPART = "multipart/form-data"
MOST_PARTS = 2000
_UNREADABLE = "The form cannot be read."


@dataclass(frozen=True, slots=True)
class Part:
    """A field, or a file; its content is read before the next part is asked for."""

    name: str
    filename: str | None
    """None: it is no file. Empty: a place for a file, and none was chosen."""
    content_type: str
    form: MultipartForm

    async def pieces(self) -> AsyncIterator[bytes]:
        async for piece in self.form._content():
            yield piece

    async def read(self, limit: int, pointer: str = "#") -> bytes:
        """All of it. Raises TooLarge."""
        content = bytearray()
        async for piece in self.pieces():
            content += piece
            if len(content) > limit:
                raise TooLarge(f"At most {limit:,} bytes are taken.", pointer=pointer, code="too_large")
        return bytes(content)

    async def text(self, limit: int) -> str:
        """As it was typed. Raises TooLarge, MalformedBody."""
        try:
            return (await self.read(limit)).decode().replace("\r\n", "\n")
        except UnicodeDecodeError as error:
            raise MalformedBody(_UNREADABLE) from error


class MultipartForm:
    """The parts of a request's body, in their order."""

    def __init__(self, request: Request, limit: int) -> None:
        """Raises MalformedBody when the request names no boundary."""
        _, options = parse_options_header(request.headers.get("content-type", ""))
        boundary = options.get(b"boundary", b"")
        if not 0 < len(boundary) <= 200:
            raise MalformedBody(_UNREADABLE)
        self._arriving = body_pieces(request, limit)
        self._events: deque[tuple[str, bytes]] = deque()
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": lambda: self._events.append(("begin", b"")),
                "on_part_data": lambda data, start, end: self._events.append(("data", data[start:end])),
                "on_part_end": lambda: self._events.append(("end", b"")),
                "on_header_field": lambda data, start, end: self._events.append(("field", data[start:end])),
                "on_header_value": lambda data, start, end: self._events.append(("value", data[start:end])),
                "on_header_end": lambda: self._events.append(("header", b"")),
                "on_headers_finished": lambda: self._events.append(("headers", b"")),
                "on_end": lambda: self._events.append(("over", b"")),
            },
        )
        self._is_over = False
        self._parts = 0

    async def next_part(self) -> Part | None:
        """The next one, what was left of the last one skipped; None: that was all. Raises MalformedBody."""
        while not self._is_over:
            if (await self._event())[0] == "begin":
                return await self._part()
        return None

    async def skip_rest(self) -> None:
        while await self.next_part() is not None:
            pass

    async def _part(self) -> Part:
        self._parts += 1
        if self._parts > MOST_PARTS:
            raise MalformedBody("The form has too many fields.")
        headers, field, value = dict[bytes, bytes](), b"", b""
        while (event := await self._event())[0] != "headers":
            kind, data = event
            if kind == "field":
                field += data
            elif kind == "value":
                value += data
            elif kind == "header":
                headers[field.strip().lower()], field, value = value.strip(), b"", b""
            else:
                raise MalformedBody(_UNREADABLE)
        return self._named(headers)

    def _named(self, headers: dict[bytes, bytes]) -> Part:
        kind, options = parse_options_header(headers.get(b"content-disposition", b""))
        if kind != b"form-data" or b"name" not in options:
            raise MalformedBody(_UNREADABLE)
        filename = options.get(b"filename")
        return Part(
            _text(options[b"name"]),
            None if filename is None else _text(filename),
            headers.get(b"content-type", b"").decode("latin-1"),
            self,
        )

    async def _content(self) -> AsyncIterator[bytes]:
        while (event := await self._event())[0] != "end":
            if event[0] != "data":
                raise MalformedBody(_UNREADABLE)
            yield event[1]

    async def _event(self) -> tuple[str, bytes]:
        """Raises MalformedBody when the form ends before its end."""
        while not self._events:
            piece = await anext(self._arriving, None)
            if piece is None:
                raise MalformedBody("The form has not arrived as a whole.")
            try:
                self._parser.write(piece)
            except MultipartParseError as error:
                raise MalformedBody(_UNREADABLE) from error
        event = self._events.popleft()
        self._is_over |= event[0] == "over"
        return event


def _text(octets: bytes) -> str:
    return octets.decode("utf-8", "replace")
