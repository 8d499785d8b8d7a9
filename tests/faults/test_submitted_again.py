"""One bulk send submitted by fifty callers under one key, while the API is killed again and again."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import httpx2
import pytest
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from postwerk.archive import reads
from postwerk.archive.engine import Archive, ArchiveConfig
from tests.faults.mailing import a_mailing, a_seed, addresses
from tests.support.databases import POSTGRESQL, SQLITE, fresh_database
from tests.support.system import System

CALLERS = 50
TO = addresses(2000)
BODY = json.dumps(a_mailing(TO)).encode()
HEADERS = {"content-type": "application/json", "idempotency-key": "spring"}
PATIENCE = 120.0


@pytest.fixture(params=[SQLITE, pytest.param(POSTGRESQL, marks=pytest.mark.slow)])
async def system(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[System]:
    if request.param == SQLITE:
        with System(tmp_path) as running:
            yield running
        return
    async with fresh_database(request.getfixturevalue("postgresql_server")) as url:
        with System(tmp_path, database_url=url) as running:
            yield running


@pytest.mark.timeout(400)
async def test_fifty_callers_and_an_api_that_dies_make_one_send(system: System) -> None:
    """Killed with the key claimed, with half of the recipients stored, and with the send just accepted."""
    archive = Archive(ArchiveConfig(system.house.environment["POSTWERK_DATABASE_URL"]))
    chance = a_seed()
    callers = [asyncio.create_task(_submit(system.house.api_url)) for _ in range(CALLERS)]
    try:
        await _kill_when(system, archive, "SELECT 1 FROM idempotency WHERE status IS NULL", chance)
        await _kill_when(system, archive, "SELECT 1 FROM message WHERE seq > 500", chance)
        await _kill_when(system, archive, "SELECT 1 FROM message WHERE seq > 1000", chance)
        await _kill_when(system, archive, "SELECT 1 FROM idempotency WHERE status = 202", chance)
        answers = await asyncio.wait_for(asyncio.gather(*callers), PATIENCE)
        async with archive.reading() as connection:
            accepted = await reads.bulk_sends(connection, limit=10)
    finally:
        for caller in callers:
            caller.cancel()
        await archive.close()

    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.content for answer in answers}) == 1
    told = answers[0].json()
    assert (told["accepted"], told["duplicates"]) == (len(TO), 0)
    assert [send.id for send in accepted] == [told["id"]]
    view = await asyncio.to_thread(system.wait_until_accounted, told["id"], PATIENCE)
    assert view["counts"]["delivered"] == len(TO)
    assert {one["rcpt"]: one["copies"] for one in system.sandbox.recipients()} == dict.fromkeys(TO, 1)


async def _submit(url: str) -> httpx2.Response:
    """As a patient caller does it: again after a lost connection, a 503, or while another call is at it."""
    async with httpx2.AsyncClient(base_url=url, timeout=30) as http:
        while True:
            try:
                answer = await http.post("/v1/bulk-sends", content=BODY, headers=HEADERS)
            except httpx2.TransportError:
                await asyncio.sleep(1)
                continue
            if answer.status_code not in (409, 429, 503):
                return answer
            assert answer.status_code != 409 or answer.json()["code"] == "idempotency_in_progress"
            await asyncio.sleep(float(answer.headers["retry-after"]))


async def _kill_when(system: System, archive: Archive, query: str, chance: random.Random) -> None:
    """`kill -9` of the API as soon as the archive says so, or a little later; then it comes up again."""
    await _until(lambda: _says(archive, query), query)
    await asyncio.sleep(chance.random() * 0.02)
    system.kill("api")
    await asyncio.to_thread(system.start, "api")


async def _says(archive: Archive, query: str) -> bool:
    try:
        async with archive.reading() as connection:
            return (await connection.execute(text(query + " LIMIT 1"))).first() is not None
    except (SQLAlchemyError, OSError):
        return False


async def _until(look: Callable[[], Awaitable[bool]], what: str) -> None:
    async with asyncio.timeout(PATIENCE):
        while not await look():
            await asyncio.sleep(0.005)
