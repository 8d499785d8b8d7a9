"""A call that comes again with its Idempotency-Key: one answer, one deed, whatever happened in between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx2
import pytest

from api.claim import Claim
from api.taking import parts as part_storing
from api.taking import storing
from postwerk.archive import idempotency, reads
from postwerk.archive.engine import Archive
from postwerk.archive.idempotency import Name
from postwerk.rules.idempotency import LEASE
from tests.support.api import Door, a_bulk_send, open_door

NDJSON = "application/x-ndjson"


@pytest.fixture
async def door(archive: Archive) -> AsyncIterator[Door]:
    async with open_door(archive) as opened:
        yield opened


async def post(door: Door, key: str, path: str = "/v1/bulk-sends", **changes: Any) -> httpx2.Response:
    return await door.http.post(path, json=a_bulk_send(**changes), headers={"Idempotency-Key": key})


async def sends(door: Door) -> list[str]:
    async with door.archive.reading() as connection:
        return [send.id for send in await reads.bulk_sends(connection)]


async def die(door: Door, key: str, *, silent_for: timedelta = LEASE * 2) -> None:
    """As if whoever is at it had died so long ago."""
    async with door.archive.writing() as connection:
        known = await idempotency.remembered(connection, Name("", key))
        assert known is not None
        assert known.status is None
        await idempotency.hold(connection, Name("", key), known.holder, door.parts.now() - silent_for)


async def test_the_same_call_again_gets_the_same_answer(door: Door) -> None:
    first = await post(door, "a")
    again = await post(door, "a")

    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert again.headers["location"] == first.headers["location"] == first.json()["links"]["self"]
    assert again.headers["content-type"] == "application/json"
    assert (again.headers["idempotency-replayed"], first.headers.get("idempotency-replayed")) == (
        "true",
        None,
    )
    assert len(await sends(door)) == 1


async def test_a_key_belongs_to_one_call(door: Door) -> None:
    await post(door, "a")
    others = [
        await post(door, "a", subject="another"),
        await post(door, "a", "/v1/bulk-sends?dry_run=false"),
        await door.http.post(
            f"/v1/bulk-sends/{(await sends(door))[0]}/start", headers={"Idempotency-Key": "a"}
        ),
    ]
    assert [other.status_code for other in others] == [422, 422, 422]
    assert {other.json()["code"] for other in others} == {"idempotency_key_reused"}
    assert others[0].json()["errors"][0]["pointer"] == "Idempotency-Key"
    assert (await post(door, "b")).status_code == 202


@pytest.mark.parametrize("key", ["", " ", "a b", "x" * 256, "schlüssel", "a\tb"])
async def test_what_is_no_key_is_a_400(door: Door, key: str) -> None:
    answer = await door.http.post(
        "/v1/bulk-sends", json=a_bulk_send(), headers=[(b"Idempotency-Key", key.encode("latin-1"))]
    )
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_idempotency_key")
    assert await sends(door) == []


async def test_two_keys_in_one_call_are_a_400(door: Door) -> None:
    headers = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
    assert (await door.http.post("/v1/bulk-sends", json=a_bulk_send(), headers=headers)).status_code == 400


async def test_any_visible_ascii_is_a_key(door: Door) -> None:
    key = "".join(chr(code) for code in range(0x21, 0x7F)) + "x" * 161
    assert [(await post(door, key)).status_code for _ in range(2)] == [202, 202]
    assert len(await sends(door)) == 1


async def test_a_refusal_is_remembered_and_a_dry_run_is_not(door: Door) -> None:
    refused = await post(door, "a", recipients=[{"to": "nobody"}])
    again = await post(door, "a", recipients=[{"to": "nobody"}])
    assert (refused.status_code, again.status_code) == (422, 422)
    assert again.headers["idempotency-replayed"] == "true"
    assert again.json()["errors"] == refused.json()["errors"]

    assert (await post(door, "b", "/v1/bulk-sends?dry_run=true")).status_code == 200
    assert (await post(door, "b")).status_code == 202


async def test_what_failed_on_our_side_is_tried_again(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    async def full_disk(*_: object, **__: object) -> None:
        raise OSError("no space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(storing, "store_bulk_send", full_disk)
        assert (await post(door, "a")).status_code == 503
    answer = await post(door, "a", subject="even another call")
    assert (answer.status_code, answer.headers.get("idempotency-replayed")) == (202, None)


async def test_with_temporal_away_the_answer_is_remembered_too(door: Door) -> None:
    door.temporal.away = True
    first = await post(door, "a")
    again = await post(door, "a")
    assert (first.status_code, again.headers["idempotency-replayed"]) == (202, "true")


async def test_fifty_calls_at_once_make_one(door: Door) -> None:
    async def patiently() -> httpx2.Response:
        while (answer := await post(door, "a")).status_code == 409:
            assert (answer.json()["code"], answer.headers["retry-after"]) == ("idempotency_in_progress", "1")
            await asyncio.sleep(0.01)
        return answer

    answers = await asyncio.gather(*(patiently() for _ in range(50)))
    assert {answer.status_code for answer in answers} == {202}
    assert {answer.content for answer in answers} == {answers[0].content}
    assert [answer.json()["id"] for answer in answers[:1]] == await sends(door)


async def test_who_is_silent_for_seconds_is_followed_by_another(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first is stopped, not dead: awake again it must not have its send accepted as well."""
    stopped, go_on = asyncio.Event(), asyncio.Event()
    chunks = storing._add_chunks
    many = [{"to": f"user{n}@example.com"} for n in range(1200)]

    async def stop_between_chunks(*given: Any) -> None:
        await chunks(*given)
        if not stopped.is_set():
            stopped.set()
            await go_on.wait()

    monkeypatch.setattr(storing, "_add_chunks", stop_between_chunks)

    first = asyncio.create_task(post(door, "a", recipients=many))
    await stopped.wait()
    assert (await post(door, "a", recipients=many)).status_code == 409
    await die(door, "a")
    second = await post(door, "a", recipients=many)
    go_on.set()
    late = await first

    assert second.status_code == 202
    assert (late.status_code, late.json()["code"]) == (409, "idempotency_in_progress")
    assert await sends(door) == [second.json()["id"]]
    assert (await post(door, "a", recipients=many)).content == second.content
    assert second.json()["accepted"] == 1200


async def test_a_send_half_stored_by_one_that_died_is_made_again_as_a_whole(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = [{"to": f"user{n}@example.com"} for n in range(1700)]
    await _die_in_the_third_chunk(door, monkeypatch, lambda: post(door, "a", recipients=many))

    answer = await post(door, "a", recipients=many)

    assert (answer.status_code, answer.json()["accepted"], answer.json()["duplicates"]) == (202, 1700, 0)
    async with door.archive.reading() as connection:
        found = await reads.accounting(connection, answer.json()["id"])
        half = await reads.bulk_sends_broken_off(connection, door.parts.now())
    assert found["adds_up"]
    assert half == []


async def _die_in_the_third_chunk(door: Door, monkeypatch: pytest.MonkeyPatch, call: Any) -> None:
    """As a `kill -9` leaves it: nothing is taken back."""
    with monkeypatch.context() as dying:
        for module in (storing, part_storing):
            dying.setattr(module, "add_recipients", _third_kills(module.add_recipients))
        dying.setattr(storing, "erase_half_stored", _nothing)
        dying.setattr(Claim, "give_back", _nothing)
        with pytest.raises(_Killed):
            await call()
    await die(door, "a")


class _Killed(BaseException):
    pass


async def _nothing(*_: Any) -> None:
    return None


def _third_kills(add: Any) -> Any:
    calls = 0

    async def counted(*given: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise _Killed
        return await add(*given)

    return counted


def lines(first: int, count: int, bad: int = 0) -> bytes:
    rows = [b'{"to":"user%d@example.com"}\n' % n for n in range(first, first + count)]
    return b"".join(rows) + b'{"to":"nobody"}\n' * bad


async def counters(door: Door, bulk_id: str) -> tuple[int, int, int]:
    async with door.archive.reading() as connection:
        send = await reads.bulk_send(connection, bulk_id)
        assert (await reads.accounting(connection, bulk_id))["adds_up"]
    return send.accepted, send.duplicates, send.rejected


async def test_a_part_again_adds_nobody_and_counts_nobody(door: Door) -> None:
    bulk_id = await door.open()
    body = lines(0, 700, bad=2) + lines(0, 5)
    first = await door.upload(bulk_id, body, NDJSON, **{"idempotency-key": "a"})
    again = await door.upload(bulk_id, body, NDJSON, **{"idempotency-key": "a"})
    other = await door.upload(bulk_id, lines(0, 3), NDJSON, **{"idempotency-key": "a"})

    assert (first.status_code, first.json()["accepted"], first.json()["duplicates"]) == (200, 700, 5)
    assert (again.content, again.headers["idempotency-replayed"]) == (first.content, "true")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert await counters(door, bulk_id) == (700, 5, 2)


async def test_a_part_goes_on_where_one_that_died_stopped(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    bulk_id = await door.open()
    body = lines(0, 300, bad=3) + lines(0, 300) + lines(300, 1500)

    async def call() -> httpx2.Response:
        return await door.upload(bulk_id, body, NDJSON, **{"idempotency-key": "a"})

    await _die_in_the_third_chunk(door, monkeypatch, call)
    assert (await counters(door, bulk_id))[:2] == (700, 300)

    other = await door.upload(bulk_id, lines(5000, 1500), NDJSON, **{"idempotency-key": "a"})
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    shorter = await door.upload(bulk_id, lines(0, 300), NDJSON, **{"idempotency-key": "a"})
    assert (shorter.status_code, shorter.json()["code"]) == (422, "idempotency_key_reused")
    assert (await counters(door, bulk_id))[:2] == (700, 300)

    answer = await call()
    assert answer.status_code == 200
    told = answer.json()
    assert (told["accepted"], told["duplicates"], told["rejected"], told["total_accepted"]) == (
        1800,
        300,
        3,
        1800,
    )
    assert [error["row"] for error in told["errors"]] == [301, 302, 303]
    assert await counters(door, bulk_id) == (1800, 300, 3)
    assert (await call()).content == answer.content


async def test_a_part_that_broke_off_in_the_middle_of_its_rows_is_remembered(door: Door) -> None:
    bulk_id = await door.open()
    body = b'to,first\nada@example.com,Ada\n"bob@example.com,Bob\n' + b"x" * 200_000
    answers = [await door.upload(bulk_id, body, "text/csv", **{"idempotency-key": "a"}) for _ in range(2)]
    assert answers[0].status_code == answers[1].status_code == 422, answers[0].text
    assert answers[1].headers["idempotency-replayed"] == "true"
    assert answers[1].json()["accepted"] == 1
    assert await counters(door, bulk_id) == (1, 0, 0)


async def test_a_list_that_is_closed_takes_no_part_but_tells_of_one_it_took(door: Door) -> None:
    bulk_id = await door.open()
    await door.upload(bulk_id, lines(0, 3), NDJSON, **{"idempotency-key": "a"})
    started = [
        await door.http.post(f"/v1/bulk-sends/{bulk_id}/start", headers={"Idempotency-Key": "s"})
        for _ in range(2)
    ]
    assert (await door.upload(bulk_id, lines(3, 3), NDJSON, **{"idempotency-key": "b"})).status_code == 409
    again = await door.upload(bulk_id, lines(0, 3), NDJSON, **{"idempotency-key": "a"})
    assert (again.status_code, again.headers["idempotency-replayed"]) == (200, "true")
    assert started[0].content == started[1].content
    assert started[1].headers["idempotency-replayed"] == "true"


async def test_failed_messages_are_started_again_once(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    bulk_id = (await door.send()).json()["id"]
    path = f"/v1/bulk-sends/{bulk_id}/retry-failed"
    original = Claim.remember

    async def killed(*_: Any, **__: Any) -> None:
        raise _Killed

    with monkeypatch.context() as dying:
        dying.setattr(Claim, "remember", killed)
        dying.setattr(Claim, "give_back", _nothing)
        with pytest.raises(_Killed):
            await door.http.post(path, headers={"Idempotency-Key": "a"})
    assert Claim.remember is original
    await die(door, "a")

    answers = [await door.http.post(path, headers={"Idempotency-Key": "a"}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [202, 202], answers[0].text
    assert answers[0].content == answers[1].content
    listed = (await door.http.get("/v1/operations")).json()["data"]
    assert [op["id"] for op in listed] == [answers[0].json()["id"]]
