"""A form with files, however its octets arrive; and what is none is refused."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from fastapi import Request

from api.errors import MalformedBody
from api.page.multipart import MOST_PARTS, MultipartForm
from postwerk.errors import TooLarge

BODY = (
    b'--b\r\nContent-Disposition: form-data; name="token"\r\n\r\nsecret\r\n'
    b'--b\r\nContent-Disposition: form-data; name="list"; filename="a;b.csv"\r\n'
    b"Content-Type: text/csv\r\n\r\nto\r\n--bob@example.com\r\n-\r\n--\r\n"
    b'--b\r\nContent-Disposition: form-data; name="empty"; filename=""\r\n\r\n\r\n'
    b"--b--\r\n"
)


def a_form(
    body: bytes, at_once: int = 1 << 20, kind: str = "multipart/form-data; boundary=b"
) -> MultipartForm:
    pieces = [body[at : at + at_once] for at in range(0, len(body), at_once)]

    async def receive() -> dict[str, Any]:
        more = len(pieces) > 1
        return {"type": "http.request", "body": pieces.pop(0) if pieces else b"", "more_body": more}

    scope = {"type": "http", "method": "POST", "headers": [(b"content-type", kind.encode())]}
    typed: Callable[[], Awaitable[Any]] = receive
    return MultipartForm(Request(scope, typed), 1 << 20)


@pytest.mark.parametrize("at_once", [1, 2, 3, 7, 50, 1 << 20])
async def test_parts_are_the_same_however_they_arrive(at_once: int) -> None:
    form, found = a_form(BODY, at_once), []
    while (part := await form.next_part()) is not None:
        found.append((part.name, part.filename, part.content_type, await part.read(1000)))
    assert found == [
        ("token", None, "", b"secret"),
        ("list", "a;b.csv", "text/csv", b"to\r\n--bob@example.com\r\n-\r\n--"),
        ("empty", "", "", b""),
    ]


async def test_a_part_that_nobody_reads_is_skipped() -> None:
    form = a_form(BODY, 5)
    await form.next_part()
    second = await form.next_part()
    assert second is not None
    async for _piece in second.pieces():
        break
    third = await form.next_part()
    assert third is not None
    assert third.name == "empty"
    await form.skip_rest()
    assert await form.next_part() is None


async def test_a_part_is_read_up_to_its_limit() -> None:
    form = a_form(BODY)
    part = await form.next_part()
    assert part is not None
    with pytest.raises(TooLarge):
        await part.read(5)


@pytest.mark.parametrize("length", range(0, len(BODY) - 6, 5))
async def test_a_form_that_is_cut_off_is_no_form(length: int) -> None:
    form = a_form(BODY[:length], 4)
    with pytest.raises(MalformedBody):
        await form.skip_rest()


@pytest.mark.parametrize(
    "body",
    [
        BODY.replace(b"form-data", b"attachment"),
        BODY.replace(b' name="token"', b""),
        BODY.replace(b"Content-Disposition", b"Content Disposition"),
        BODY.replace(b"Content-Type", b"X" * 9000),
        b"--b\r\n" + b"A: b\r\n" * 50 + BODY[5:],
        BODY[: BODY.index(b"--b\r\n", 5)] * (MOST_PARTS + 1) + b"--b--\r\n",
        b"nothing of it",
    ],
)
async def test_what_no_browser_sends_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedBody):
        await a_form(body, 4096).skip_rest()


@pytest.mark.parametrize(
    "kind", ["multipart/form-data", "multipart/form-data; boundary=", "x; boundary=" + "b" * 201]
)
async def test_without_a_boundary_there_is_no_form(kind: str) -> None:
    with pytest.raises(MalformedBody):
        a_form(BODY, kind=kind)
