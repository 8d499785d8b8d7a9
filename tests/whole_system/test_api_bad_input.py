"""One clear error for each bad request, and nothing half-stored."""

from __future__ import annotations

import gzip
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest

from api.dependencies import ApiConfig
from postwerk.archive.engine import Archive, ArchiveConfig
from tests.support.api import Door, a_bulk_send, open_door


@pytest.fixture
async def door(archive: Archive) -> AsyncIterator[Door]:
    async with open_door(archive, ApiConfig(max_body_bytes=12_000_000)) as opened:
        yield opened


async def _nothing_stored(door: Door) -> bool:
    async with door.archive.reading() as connection:
        counts = [
            (await connection.exec_driver_sql(f"SELECT count(*) FROM {table}")).scalar_one()
            for table in ("bulk_send", "message", "content", "counter", "batch")
        ]
    return counts == [0, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"send_at": "tomorrow"}, "#/send_at"),
        ({"send_it_at": "2027-01-01T00:00:00Z"}, "#/send_it_at"),
        ({"rate": {"per_second": 50}}, "#/rate"),
        ({"attachements": []}, "#/attachements"),
        ({"retry": {"first": 3}}, "#/retry/first"),
        ({"from_": None}, "#/from"),
        ({"from_": "nobody"}, "#/from"),
        ({"from_": "a@example.com, b@example.com"}, "#/from"),
        ({"from_": {"email": "a@example.com", "name": "x\r\nBcc: y"}}, "#/from"),
        ({"from_": 17}, "#/from"),
        ({"return_path": "x@@y"}, "#/return_path"),
        ({"reply_to": ["a@example.com", "nobody"]}, "#/reply_to/1"),
        ({"reply_to": ["a@example.com"] * 11}, "#/reply_to"),
        ({"subject": None}, "#/subject"),
        ({"subject": "x" * 10_000_000}, "#/subject"),
        ({"subject": "{{ x"}, "#/subject"),
        ({"subject": 17}, "#/subject"),
        ({"subject": "nul \x00"}, "#/subject"),
        ({"text": None}, "#/text"),
        ({"text": None, "html": "{% for x in %}"}, "#/html"),
        ({"variables": []}, "#/variables"),
        ({"variables": {"a": {"b": "\x00"}}}, "#/variables/a/b"),
        ({"variables": {"a": "x" * 70_000}}, "#/variables"),
        ({"headers": {"X-A\r\nBcc: v@example.com\r\nX-B": "1"}}, None),
        ({"headers": {"X-A": "1\r\nBcc: v@example.com"}}, "#/headers/X-A"),
        ({"headers": {"Bcc": "v@example.com"}}, "#/headers/Bcc"),
        ({"headers": {"X-A": 1}}, "#/headers/X-A"),
        ({"metadata": "x"}, "#/metadata"),
        ({"metadata": {"a": "x" * 70_000}}, "#/metadata"),
        ({"name": "a\nb"}, "#/name"),
        ({"name": "x" * 201}, "#/name"),
        ({"recipients": None}, "#/recipients"),
        ({"recipients": []}, "#/recipients"),
        ({"recipients": {"to": "a@example.com"}}, "#/recipients"),
        ({"recipients": "a@example.com"}, "#/recipients"),
        ({"recipients_per_child": 0}, "#/recipients_per_child"),
        ({"recipients_per_child": 1001}, "#/recipients_per_child"),
        ({"recipients_per_child": True}, "#/recipients_per_child"),
        ({"deadline": "8d"}, "#/deadline"),
        ({"deadline": 59}, "#/deadline"),
        ({"deadline": "soon"}, "#/deadline"),
        ({"retry": {"initial": 0}}, "#/retry/initial"),
        ({"retry": {"factor": 0.5}}, "#/retry/factor"),
        ({"retry": {"jitter": 0.6}}, "#/retry/jitter"),
        ({"on_ambiguous": "maybe"}, "#/on_ambiguous"),
        ({"validation": "lax"}, "#/validation"),
        ({"validation": "strict", "open": True}, "#/validation"),
        ({"open": "yes"}, "#/open"),
    ],
)
async def test_a_wrong_field_is_named_and_nothing_is_stored(
    door: Door, changes: dict[str, Any], pointer: str | None
) -> None:
    answer = await door.send(**changes)

    problem = answer.json()
    assert answer.status_code == 422, problem
    assert answer.headers["content-type"] == "application/problem+json"
    assert pointer is None or problem["errors"][0]["pointer"] == pointer
    assert problem["type"].startswith("urn:postwerk:problem:")
    assert len(answer.content) < 5_000
    assert await _nothing_stored(door)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b'{"subject":"\xff"}', 400),
        (b'{"subject":"\\ud800"}', 400),
        (b'{"variables":{"a":NaN}}', 400),
        (b'{"variables":{"a":1e999}}', 400),
        (b'{"variables":' + b"[" * 100_000 + b"]" * 100_000 + b"}", 400),
        (b"[" * 100_000, 422),
        (b'{"recipients":[{]}', 400),
        (b"[]", 422),
        (b"null", 422),
        (b'"text"', 422),
        (b'{"a\\u0000b":1}', 422),
        (b'{"' + b"x" * 100_000 + b'":1}', 422),
    ],
)
async def test_a_body_that_is_no_request_gets_one_clear_error(door: Door, body: bytes, status: int) -> None:
    answer = await door.http.post(
        "/v1/bulk-sends", content=body, headers={"content-type": "application/json"}
    )

    assert answer.status_code == status
    assert len(answer.content) < 5_000


async def test_a_body_above_the_limit_is_a_413_however_it_is_announced(door: Door) -> None:
    async def endless() -> AsyncIterator[bytes]:
        yield b'{"subject":"'
        while True:
            yield b"x" * 100_000

    kind = {"content-type": "application/json"}
    bomb = gzip.compress(b" " * 50_000_000)
    answers = [
        await door.http.post("/v1/bulk-sends", content=b" " * 12_000_001, headers=kind),
        await door.http.post("/v1/bulk-sends", content=endless(), headers=kind),
        await door.http.post("/v1/bulk-sends", content=endless(), headers=kind | {"content-length": "2"}),
        await door.http.post("/v1/bulk-sends", content=bomb, headers=kind | {"content-encoding": "gzip"}),
    ]
    assert [answer.status_code for answer in answers] == [413, 413, 413, 413]


@pytest.mark.parametrize(
    "kind", ["text/plain", "", "application/x-www-form-urlencoded", "multipart/form-data"]
)
async def test_other_kinds_of_bodies_are_a_415(door: Door, kind: str) -> None:
    answer = await door.http.post("/v1/bulk-sends", content=b"x", headers={"content-type": kind})
    assert answer.status_code == 415


@pytest.mark.parametrize("query", ["limit=0", "limit=201", "after=x", "after=%00", "state=lost"])
async def test_wrong_parameters_of_the_list_are_named(door: Door, query: str) -> None:
    answer = await door.http.get(f"/v1/bulk-sends?{query}")
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"].startswith("?" + query.partition("=")[0])


async def test_unknown_paths_and_methods_are_problems_too(door: Door) -> None:
    answers = [await door.http.get("/v2/nothing"), await door.http.delete("/v1/bulk-sends")]

    assert [answer.status_code for answer in answers] == [404, 405]
    assert all(answer.headers["content-type"] == "application/problem+json" for answer in answers)


async def test_every_answer_carries_its_request_id_and_the_security_headers(door: Door) -> None:
    given = await door.http.get("/v1/bulk-sends/x", headers={"x-request-id": "abc-1"})
    own = await door.http.get("/healthz", headers={"x-request-id": "no spaces allowed"})

    assert given.headers["x-request-id"] == given.json()["request_id"] == "abc-1"
    assert own.headers["x-request-id"].startswith("req_")
    assert own.headers["x-content-type-options"] == "nosniff"
    assert "access-control-allow-origin" not in own.headers


async def test_no_log_line_holds_an_address_or_a_text(door: Door, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    door.temporal.away = True
    canary = "canary-4711"

    await door.send(
        subject=canary, text=canary, recipients=[{"to": f"{canary}@example.com", "variables": {"a": canary}}]
    )
    await door.send(recipients=[{"to": f"{canary}@@"}])
    await door.http.get(f"/v1/bulk-sends?after={canary}")

    ours = [record.getMessage() for record in caplog.records if record.name.startswith("postwerk")]
    assert ours
    assert canary not in "\n".join(ours)


async def test_with_the_archive_away_the_answer_is_a_503_with_a_time(tmp_path: Any) -> None:
    for url in (f"sqlite+aiosqlite:///{tmp_path}/empty.db", "postgresql+asyncpg://x:y@127.0.0.1:1/none"):
        archive = Archive(ArchiveConfig(url=url))
        async with open_door(archive) as door:
            answers = [await door.send(), await door.http.get("/v1/bulk-sends")]
        await archive.close()
        assert [answer.status_code for answer in answers] == [503, 503]
        assert answers[0].headers["retry-after"] == "5"
        assert "y@" not in answers[0].text


def test_a_valid_request_is_valid() -> None:
    assert a_bulk_send()["from"] == "Shop <news@shop.example>"


async def test_a_misspelt_dry_run_sends_nothing(door: Door) -> None:
    answer = await door.http.post("/v1/bulk-sends?dryrun=true", json=a_bulk_send())

    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "?dryrun")
    assert await _nothing_stored(door)
