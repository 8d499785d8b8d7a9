"""The API as a process of its own: killed in the middle of an upload, it loses and doubles nothing."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from postwerk.archive import reads
from postwerk.archive.engine import Archive
from tests.support.api import a_bulk_send


@contextmanager
def api_process(archive: Archive, folder: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """An API on a free port, without Temporal; killed at the end."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = os.environ | {
        "POSTWERK_DATABASE_URL": archive.config.url,
        "TEMPORAL_ADDRESS": "127.0.0.1:1",
    }
    command = [sys.executable, "-m", "uvicorn", "--factory", "api.app:create_app", "--port", str(port)]
    with (folder / "api.log").open("ab") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        yield f"http://127.0.0.1:{port}", process
    finally:
        process.kill()
        process.wait()


async def _up(http: httpx2.AsyncClient) -> None:
    for _ in range(300):
        try:
            await http.get("/healthz")
        except httpx2.TransportError:
            await asyncio.sleep(0.05)
        else:
            return
    raise AssertionError("the API does not come up")


def _lines(first: int, count: int) -> bytes:
    return b"".join(b'{"to":"user%d@example.com"}\n' % n for n in range(first, first + count))


async def test_an_upload_survives_the_death_of_the_api(archive: Archive, tmp_path: Path) -> None:
    kind = {"content-type": "application/x-ndjson"}
    with api_process(archive, tmp_path) as (base, process):
        async with httpx2.AsyncClient(base_url=base) as http:
            await _up(http)
            made = await http.post("/v1/bulk-sends", json=a_bulk_send(open=True, recipients=None))
            part = f"/v1/bulk-sends/{made.json()['id']}/recipients"

            async def until_killed() -> AsyncIterator[bytes]:
                for start in range(0, 10_000, 500):
                    yield _lines(start, 500)
                    if start == 5000:
                        while (await _accepted(archive, made.json()["id"])) < 3000:
                            await asyncio.sleep(0.01)
                        process.kill()

            with pytest.raises(httpx2.TransportError):
                await http.post(part, content=until_killed(), headers=kind)
    assert 3000 <= await _accepted(archive, made.json()["id"]) <= 6000

    with api_process(archive, tmp_path) as (base, _):
        async with httpx2.AsyncClient(base_url=base, timeout=30) as http:
            await _up(http)
            again = await http.post(part, content=_lines(0, 10_000), headers=kind)
            started = await http.post(f"/v1/bulk-sends/{made.json()['id']}/start")
    assert again.json()["total_accepted"] == 10_000
    assert (started.status_code, started.json()["state"]) == (202, "queued")
    assert await _accepted(archive, made.json()["id"]) == 10_000
    assert "user1@" not in (tmp_path / "api.log").read_text()


async def _accepted(archive: Archive, bulk_id: str) -> int:
    async with archive.reading() as connection:
        found = await reads.accounting(connection, bulk_id)
    assert found["adds_up"], found
    return int(found["accepted"])


async def test_a_part_with_a_key_goes_on_where_the_api_died_and_counts_nobody_twice(
    archive: Archive, tmp_path: Path
) -> None:
    headers = {"content-type": "application/x-ndjson", "idempotency-key": "part-1"}
    body = _lines(0, 10_000) + b'{"to":"nobody"}\n' + _lines(0, 100)
    with api_process(archive, tmp_path) as (base, process):
        async with httpx2.AsyncClient(base_url=base) as http:
            await _up(http)
            made = await http.post("/v1/bulk-sends", json=a_bulk_send(open=True, recipients=None))
            bulk_id = made.json()["id"]
            sending = asyncio.create_task(
                http.post(f"/v1/bulk-sends/{bulk_id}/recipients", content=body, headers=headers)
            )
            while (await _accepted(archive, bulk_id)) < 3000:
                await asyncio.sleep(0.005)
            process.kill()
            with pytest.raises(httpx2.TransportError):
                await sending
    assert await _accepted(archive, bulk_id) < 10_000

    with api_process(archive, tmp_path) as (base, _):
        async with httpx2.AsyncClient(base_url=base, timeout=30) as http:
            await _up(http)
            path = f"/v1/bulk-sends/{bulk_id}/recipients"
            while (again := await http.post(path, content=body, headers=headers)).status_code == 409:
                assert again.json()["code"] == "idempotency_in_progress"
                await asyncio.sleep(0.2)
            replayed = await http.post(path, content=body, headers=headers)
            view = (await http.get(f"/v1/bulk-sends/{bulk_id}")).json()
    told = again.json()
    assert (told["accepted"], told["duplicates"], told["rejected"]) == (10_000, 100, 1)
    assert (view["accepted"], view["duplicates"], view["rejected"]) == (10_000, 100, 1)
    assert (replayed.content, replayed.headers["idempotency-replayed"]) == (again.content, "true")
