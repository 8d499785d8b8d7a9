"""gzip in both directions: limits count what is unpacked, and nothing is unpacked beyond them."""

from __future__ import annotations

import gzip
import resource
import zlib
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from api.dependencies import ApiConfig
from postwerk.archive.engine import Archive
from tests.support.api import Door, a_bulk_send, open_door

LIMIT = 2_000_000


@pytest.fixture
async def door(archive: Archive) -> AsyncIterator[Door]:
    async with open_door(archive, ApiConfig(max_body_bytes=LIMIT, max_part_bytes=LIMIT)) as opened:
        yield opened


async def posted(door: Door, path: str, body: Any, **headers: str) -> httpx2.Response:
    given = {"content-type": "application/json", "content-encoding": "gzip"}
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    return await door.http.post(path, content=body, headers=given)


async def test_every_json_body_may_be_gzip(door: Door) -> None:
    request = httpx2.Request("POST", "http://x", json=a_bulk_send(open=True)).read()
    taken = await posted(door, "/v1/bulk-sends", gzip.compress(request))
    assert taken.status_code == 202, taken.text
    bulk = f"/v1/bulk-sends/{taken.json()['id']}"
    answers = [
        await posted(door, f"{bulk}/start", b"", content_encoding="identity"),
        await posted(door, f"{bulk}/pause", gzip.compress(b'{"reason":"wrong price"}')),
        await posted(door, "/v1/suppressions", gzip.compress(b'{"address":"bob@example.com"}')),
        await posted(
            door, "/v1/queue/hold", gzip.compress(b'{"filter":{"domain":"x.de"},"reason":"x","dry_run":true}')
        ),
        await posted(door, f"{bulk}/cancel", gzip.compress(b'{"reason":"wrong price"}')),
    ]
    assert [answer.status_code for answer in answers] == [202, 202, 200, 200, 202]


def endless(member: bytes) -> AsyncIterator[bytes]:
    async def pieces() -> AsyncIterator[bytes]:
        while True:
            yield member * 1000

    return pieces()


def bomb(size: int) -> bytes:
    """A gzip file of that many line ends."""
    machine = zlib.compressobj(9, wbits=31)
    lines = b"\n" * 1024 * 1024
    return b"".join([machine.compress(lines) for _ in range(size // len(lines))]) + machine.flush()


@pytest.mark.parametrize("path", ["/v1/bulk-sends", "recipients", "/v1/suppressions"])
async def test_a_bomb_is_a_413_and_costs_no_memory(door: Door, path: str) -> None:
    kind = {"content_type": "application/x-ndjson"} if path == "recipients" else {}
    target = path if path[0] == "/" else f"/v1/bulk-sends/{await door.open()}/recipients"
    small = bomb(1024**3)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    answer = await posted(door, target, small, **kind)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50 * 1024


async def test_gzip_that_unpacks_to_nothing_ends_too(door: Door) -> None:
    empty = gzip.compress(b"")
    nothing = b"\x00\x00\x00\xff\xff"  # a stored block of no octets (RFC 1951 3.2.4)
    files = await posted(door, "/v1/bulk-sends", endless(empty))
    blocks = await posted(door, "/v1/bulk-sends", _headed(nothing))
    assert (files.status_code, blocks.status_code) == (400, 413)


async def _headed(block: bytes) -> AsyncIterator[bytes]:
    yield gzip.compress(b"")[:10]
    while True:
        yield block * 1000


@pytest.mark.parametrize("encoding", ["br", "deflate", "zstd", "gzip, gzip", "gzip;q=1", "compress"])
async def test_another_encoding_is_a_415_that_names_what_is_taken(door: Door, encoding: str) -> None:
    answer = await posted(door, "/v1/bulk-sends", b"x", content_encoding=encoding)
    assert answer.status_code == 415
    assert "gzip" in answer.json()["detail"]
    assert answer.headers["accept-encoding"] == "gzip, identity"


async def test_a_key_belongs_to_the_unpacked_body(door: Door) -> None:
    request = httpx2.Request("POST", "http://x", json=a_bulk_send()).read()
    packed = await posted(door, "/v1/bulk-sends", gzip.compress(request), idempotency_key="a")
    plain = await posted(door, "/v1/bulk-sends", request, idempotency_key="a", content_encoding="identity")
    assert (packed.status_code, plain.status_code, plain.content) == (202, 202, packed.content)


async def test_long_answers_are_packed_for_those_who_take_it(door: Door) -> None:
    for _ in range(3):
        await door.send()
    packed = await door.http.get("/v1/bulk-sends", headers={"accept-encoding": "gzip"})
    plain = await door.http.get("/v1/bulk-sends", headers={"accept-encoding": "identity"})
    short = await door.http.get("/healthz", headers={"accept-encoding": "gzip"})
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.json()["data"][0]["id"] == plain.json()["data"][0]["id"]
    assert "content-encoding" not in plain.headers
    assert "content-encoding" not in short.headers
