"""What a key may send, and how much: From domains, quotas, calls a minute."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from api.app import create_app
from api.dependencies import ApiConfig
from postwerk.archive.engine import Archive
from postwerk.archive.reads import accounting
from tests.support.api import a_bulk_send, open_door
from tests.support.keys import (
    a_key,
    a_key_never_made,
    caller,
    problem_of,
)

MANY = [{"to": f"user{n}@example.com"} for n in range(1200)]


@pytest.mark.parametrize("parameters", ["", "?dry_run=true"])
@pytest.mark.parametrize(
    ("changes", "pointer"),
    [({"from_": "a@other.example"}, "#/from"), ({"return_path": "b@sub.shop.example"}, "#/return_path")],
)
async def test_a_foreign_domain_is_refused_and_nothing_stored(
    archive: Archive, changes: dict[str, Any], pointer: str, parameters: str
) -> None:
    shop = await a_key(archive, "send", domains=("shop.example",))
    async with open_door(archive) as door, caller(door, shop.text) as http:
        answer = await http.post(f"/v1/bulk-sends{parameters}", json=a_bulk_send(**changes))
        listed = (await http.get("/v1/bulk-sends")).json()["data"]
        await door.parts.close()
    found = problem_of(answer, 403, "from_domain_not_allowed")
    assert [one["pointer"] for one in found["errors"]] == [pointer]
    assert listed == []


async def test_over_the_quota_nothing_is_stored_large_lists_neither(archive: Archive) -> None:
    shop = await a_key(archive, "send", quota="1200/d")
    async with open_door(archive) as door, caller(door, shop.text) as http:
        one = await http.post("/v1/bulk-sends", json=a_bulk_send())
        many = await http.post("/v1/bulk-sends", json=a_bulk_send(recipients=MANY))
        fewer = await http.post("/v1/bulk-sends", json=a_bulk_send(recipients=MANY[:1199]))
        last = await http.post("/v1/bulk-sends", json=a_bulk_send())
        listed = (await http.get("/v1/bulk-sends")).json()["data"]
        await door.parts.close()
    assert (one.status_code, fewer.status_code) == (202, 202)
    found = problem_of(many, 429, "quota_exceeded")
    assert "1,199 are left of 1200/d" in found["detail"]
    assert 3600 < int(many.headers["retry-after"]) <= 25 * 3600
    problem_of(last, 429, "quota_exceeded")
    assert {one["id"] for one in listed} == {one.json()["id"], fewer.json()["id"]}


async def test_a_list_in_parts_counts_when_it_is_started_all_or_nothing(archive: Archive) -> None:
    shop = await a_key(archive, "send", quota="2/h")
    lines = b"".join(b'{"to":"u%d@example.com"}\n' % n for n in range(3))
    async with open_door(archive) as door, caller(door, shop.text) as http:
        made = await http.post("/v1/bulk-sends", json=a_bulk_send(open=True, recipients=None))
        path = f"/v1/bulk-sends/{made.json()['id']}"
        kind = {"content-type": "application/x-ndjson"}
        assert (await http.post(f"{path}/recipients", content=lines, headers=kind)).status_code == 200
        started = await http.post(f"{path}/start")
        state = (await http.get(path)).json()
        small = await http.post("/v1/bulk-sends", json=a_bulk_send())
        await door.parts.close()
    assert "more than the whole quota" in (problem_of(started, 429, "quota_exceeded"))["detail"]
    assert (state["state"], state["accepted"]) == ("open", 3)
    assert small.status_code == 202
    assert door.temporal.started.keys() == {f"bulk-{small.json()['id']}"}


async def test_calls_at_the_same_time_share_one_quota(archive: Archive) -> None:
    shop = await a_key(archive, "send", quota="10/d")
    async with open_door(archive) as door, caller(door, shop.text) as http:
        answers = await asyncio.gather(
            *(http.post("/v1/bulk-sends", json=a_bulk_send(recipients=MANY[:3])) for _ in range(8))
        )
        await door.parts.close()
    assert sorted(answer.status_code for answer in answers) == [202] * 3 + [429] * 5
    async with archive.reading() as connection:
        for answer in answers[:1]:
            if answer.status_code == 202:
                assert (await accounting(connection, answer.json()["id"]))["accepted"] == 3


async def test_every_answer_says_how_many_calls_are_left(archive: Archive) -> None:
    async with open_door(archive, ApiConfig(calls_per_minute=3)) as door:
        shop, other = await a_key(archive, "read"), await a_key(archive, "read")
        async with caller(door, shop.text) as http:
            answers = [await http.get("/v1/version") for _ in range(4)]
            healthy = [await http.get("/healthz") for _ in range(4)]
        async with caller(door, other.text) as http:
            others = await http.get("/v1/version")
        async with caller(door, a_key_never_made()) as http:  # guesses are counted by the peer
            guesses = [await http.get("/v1/version") for _ in range(4)]
        await door.parts.close()
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert {answer.headers["ratelimit-policy"] for answer in answers} == {'"default";q=3;w=60'}
    left = [answer.headers["ratelimit"].rpartition(";t=") for answer in answers[:2]]
    assert [said for said, _, _ in left] == ['"default";r=2', '"default";r=1']
    assert 1 <= int(left[0][2]) <= 20 < int(left[1][2]) <= 40
    problem_of(answers[3], 429, "too_many_requests")
    assert 1 <= int(answers[3].headers["retry-after"]) <= 20
    assert "x-request-id" in answers[3].headers
    assert {answer.status_code for answer in healthy} == {200}
    assert others.status_code == 200
    assert [answer.status_code for answer in guesses] == [401, 401, 401, 429]


@pytest.mark.parametrize("path", ["/v1/bulk-sends", "/v1/messages"])
async def test_every_way_to_send_counts_and_is_held_to_the_domains(archive: Archive, path: str) -> None:
    shop = await a_key(archive, "send", quota="1/d", domains=("shop.example",))
    mail = {"from": "a@shop.example", "subject": "Hello", "text": "Dear all,"}
    to: dict[str, Any] = {"to": "ada@example.com"}
    wanted = mail | (to if path == "/v1/messages" else {"recipients": [to]})
    async with open_door(archive) as door, caller(door, shop.text) as http:
        if path not in create_app(door.parts).openapi()["paths"]:
            pytest.skip("there is no such call")
        foreign = await http.post(path, json=wanted | {"from": "a@other.example"})
        first, second = [await http.post(path, json=wanted) for _ in range(2)]
        listed = (await http.get("/v1/bulk-sends")).json()["data"]
        await door.parts.close()
    problem_of(foreign, 403, "from_domain_not_allowed")
    assert first.status_code == 202, first.text
    problem_of(second, 429, "quota_exceeded")
    assert len(listed) <= 1


async def test_only_so_many_large_bodies_come_at_once(archive: Archive) -> None:
    async with open_door(archive, ApiConfig(uploads_at_once=2)) as door:
        shop, other = await a_key(archive, "send"), await a_key(archive, "send")
        enough, begun = asyncio.Event(), asyncio.Semaphore(0)

        async def slowly() -> AsyncIterator[bytes]:
            yield b'{"to":"ada@example.com"}\n'
            begun.release()
            await enough.wait()

        async with caller(door, shop.text) as http, caller(door, other.text) as others:
            made = await http.post("/v1/bulk-sends", json=a_bulk_send(open=True, recipients=None))
            path = f"/v1/bulk-sends/{made.json()['id']}/recipients"
            kind = {"content-type": "application/x-ndjson"}
            first = [asyncio.create_task(http.post(path, content=slowly(), headers=kind)) for _ in range(2)]
            for _ in first:
                await begun.acquire()
            problem_of(await http.post(path, content=slowly(), headers=kind), 429, "too_many_uploads")
            small = await http.post(path, content=b'{"to":"b@example.com"}', headers=kind)
            foreign = await others.post(path, content=slowly(), headers=kind)
            enough.set()
            done = await asyncio.gather(*first)
            again = await http.post(path, content=slowly(), headers=kind)
        await door.parts.close()
    assert [answer.status_code for answer in (*done, small, foreign, again)] == [200, 200, 200, 404, 200]
