"""Lists in streamed parts: what is taken, what is refused, and what stays when a part breaks off."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator

import pytest

from api.dependencies import ApiConfig
from api.taking.storing import CHUNK
from postwerk.archive import reads
from postwerk.archive.engine import Archive
from tests.support.api import Door, open_door

CSV, NDJSON = "text/csv", "application/x-ndjson"


@pytest.fixture
async def door(archive: Archive) -> AsyncIterator[Door]:
    async with open_door(archive, ApiConfig(max_part_bytes=200_000)) as opened:
        yield opened


async def _accepted(door: Door, bulk_id: str) -> int:
    async with door.archive.reading() as connection:
        found = await reads.accounting(connection, bulk_id)
    assert found["adds_up"], found
    return int(found["accepted"])


def _lines(first: int, count: int) -> bytes:
    return b"".join(b'{"to":"user%d@example.com"}\n' % n for n in range(first, first + count))


async def test_parts_of_both_kinds_add_up_and_repeat_harmlessly(door: Door) -> None:
    bulk_id = await door.open()

    first = await door.upload(bulk_id, _lines(0, 2100), NDJSON)
    second = await door.upload(bulk_id, "email;name;city\nuser0@example.com;x;y\nada@gmx.de;Ada;Köln\n", CSV)
    again = await door.upload(bulk_id, _lines(0, 2100), NDJSON)

    assert (first.json()["accepted"], first.json()["total_accepted"]) == (2100, 2100)
    assert (second.json()["accepted"], second.json()["duplicates"]) == (1, 1)
    assert (again.json()["accepted"], again.json()["duplicates"]) == (0, 2100)
    assert await _accepted(door, bulk_id) == 2101


async def test_columns_become_variables(door: Door) -> None:
    bulk_id = await door.open()
    await door.upload(bulk_id, "\ufeffTo,Name,first_name\nada@example.com,Ada L,Ada\n", CSV)

    found = (await door.http.get(f"/v1/messages/{bulk_id}.1")).json()

    assert (found["to"], found["name"]) == ("ada@example.com", "Ada L")
    assert found["variables"] == {"first_name": "Ada"}


async def test_wrong_rows_are_listed_and_counted(door: Door) -> None:
    bulk_id = await door.open()

    answer = await door.upload(bulk_id, b"to\nada@example.com\n" + b"nobody\n" * 1500, CSV)

    taken = answer.json()
    assert (taken["accepted"], taken["rejected"], taken["errors_truncated"]) == (1, 1500, True)
    assert len(taken["errors"]) == 1000
    assert taken["errors"][0] == {**taken["errors"][0], "row": 3, "to": "nobody", "code": "invalid_address"}
    assert (await door.http.get(f"/v1/bulk-sends/{bulk_id}")).json()["rejected"] == 1500


async def test_what_came_before_a_fault_stays_and_is_told(door: Door) -> None:
    bulk_id = await door.open()
    rows = b"".join(b"user%d@example.com,x\n" % n for n in range(1200))

    answer = await door.upload(bulk_id, b"to,a\n" + rows + b'bob@example.com,"never closed\n', CSV)

    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (422, "invalid_csv")
    assert (problem["accepted"], problem["stopped_at_row"]) == (1200, 1202)
    assert await _accepted(door, bulk_id) == 1200


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
@pytest.mark.parametrize("announced", [True, False])
async def test_a_part_above_the_limit_is_a_413(door: Door, encoding: str, announced: bool) -> None:
    bulk_id = await door.open()
    data = _lines(0, 20_000)
    body = gzip.compress(data) if encoding == "gzip" else data

    async def unannounced() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 10_000):
            yield body[start : start + 10_000]

    answer = await door.upload(
        bulk_id, body if announced else unannounced(), NDJSON, **{"content-encoding": encoding}
    )

    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert await _accepted(door, bulk_id) < 20_000


async def test_a_gzip_part_is_taken_and_a_broken_one_is_not(door: Door) -> None:
    bulk_id = await door.open()
    body = gzip.compress(_lines(0, 10)) + gzip.compress(_lines(10, 10))

    whole = await door.upload(bulk_id, body, NDJSON, **{"content-encoding": "gzip"})
    broken = await door.upload(bulk_id, body[:-9], NDJSON, **{"content-encoding": "gzip"})
    nonsense = await door.upload(bulk_id, b"not gzip", NDJSON, **{"content-encoding": "gzip"})
    other = await door.upload(bulk_id, b"", NDJSON, **{"content-encoding": "br"})

    assert whole.json()["accepted"] == 20
    assert [broken.status_code, nonsense.status_code, other.status_code] == [400, 400, 415]


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("application/json", 415),
        ("", 415),
        ("text/csv; charset=nonsense", 422),
        ("application/x-ndjson; charset=latin-1", 422),
        ('text/csv; header=present; charset="UTF-8"', 200),
    ],
)
async def test_only_known_kinds_of_lists_are_taken(door: Door, kind: str, status: int) -> None:
    bulk_id = await door.open()

    answer = await door.upload(bulk_id, "to\nada@example.com\n", kind)

    assert answer.status_code == status


async def test_a_send_that_is_not_open_takes_no_parts(door: Door) -> None:
    bulk_id = (await door.send()).json()["id"]

    answer = await door.upload(bulk_id, "to\nbob@example.com\n", CSV)

    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")


async def test_a_caller_who_goes_away_leaves_whole_chunks(door: Door) -> None:
    bulk_id = await door.open()
    sent = [_lines(0, 1300), None]

    async def receive() -> dict[str, object]:
        data = sent.pop(0)
        if data is None:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": data, "more_body": True}

    async def send(message: object) -> None:
        return None

    scope = {
        "type": "http",
        "method": "POST",
        "path": f"/v1/bulk-sends/{bulk_id}/recipients",
        "query_string": b"",
        "headers": [(b"content-type", NDJSON.encode())],
        "app": None,
        "server": ("127.0.0.1", 80),
        "client": ("127.0.0.1", 50_000),
    }
    transport = door.http._transport
    await transport.app(scope, receive, send)  # type: ignore[attr-defined]

    assert await _accepted(door, bulk_id) == 1300 // CHUNK * CHUNK
