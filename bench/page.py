"""What the page costs: how soon it answers on a large queue, and what tabs take from a running send."""

from __future__ import annotations

import asyncio
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2

from api.page.overview import Look, take_overview
from api.page.rendering import read_all
from api.page.routes_overview import parts_of
from api.page.viewer import Anybody
from bench import send
from bench.house import RunningHouse
from bench.programs import workplace
from bench.queue import SeededQueue, seeded_queues
from bench.sink import SmtpSink
from postwerk.contracts.keys import Scope

TABS = 5
LOOKS = 9
REFRESHES = 20
SHAPE = "deferred"
Figures = dict[str, Any]


def measure(recipients: int, messages: int, rounds: int) -> Figures:
    """Milliseconds on a queue of so many messages, and the rate of a send with and without tabs."""
    return {**asyncio.run(_on_large_queues(messages)), **_beside_a_send(recipients, rounds)}


# On a large queue, in this process and without a socket


async def _on_large_queues(messages: int) -> Figures:
    figures: Figures = {}
    async for queue in seeded_queues(messages, [SHAPE]):
        figures[f"overview, {queue.database}"] = found = await _look(queue)
        print(f"Page, {queue.database}, {messages:,} messages: {found}", flush=True)
    return figures


async def _look(queue: SeededQueue) -> Figures:
    read_all()  # as an API does when it starts
    took = []
    for _ in range(LOOKS):
        took.append(await _answered(queue))
        await asyncio.sleep(0.5)
    return {
        "first_ms": round(took[0], 1),
        "median_ms": round(statistics.median(took), 1),
        "slowest_ms": round(max(took), 1),
        "refresh_cpu_ms": round(await _refresh_cpu(queue), 1),
    }


async def _answered(queue: SeededQueue) -> float:
    began = time.perf_counter()
    answer = await queue.http.get("http://127.0.0.1/")
    took = (time.perf_counter() - began) * 1000
    assert answer.status_code == 200, answer.text[:500]
    assert "In the queue" in answer.text
    return took


async def _refresh_cpu(queue: SeededQueue) -> float:
    """Milliseconds of CPU that one rendering for all tabs takes, what is counted in the background too."""
    anybody, took = Anybody(frozenset(Scope)), []
    for _ in range(REFRESHES):
        began = time.process_time()
        parts_of(await take_overview(queue.parts, Look()), "http://127.0.0.1", anybody)
        took.append((time.process_time() - began) * 1000)
        await asyncio.sleep(1.1)  # nothing is remembered for longer than it is while tabs are open
    return statistics.median(took)


# Beside a send, with everything in its own process


def _beside_a_send(recipients: int, rounds: int) -> Figures:
    alone, watched = [], []
    with (
        workplace() as folder,
        SmtpSink(folder) as sink,
        RunningHouse(folder, sink.port, worker_processes=1) as house,
    ):
        send.carry(house, sink, recipients, "Page, warming up")
        for _ in range(rounds):
            alone.append(_rate(house, sink, recipients, "Page, nobody looks"))
            with _tabs(house):
                watched.append(_rate(house, sink, recipients, f"Page, {TABS} tabs look"))
    both = (statistics.median(alone), statistics.median(watched))
    return {
        "unwatched_per_s": round(both[0]),
        f"with_{TABS}_tabs_per_s": round(both[1]),
        "ratio": round(both[1] / both[0], 3),
    }


def _rate(house: RunningHouse, sink: SmtpSink, recipients: int, title: str) -> float:
    return recipients / send.carry(house, sink, recipients, title).seconds


@contextmanager
def _tabs(house: RunningHouse) -> Iterator[None]:
    """So many readers of the live stream; each must have been told something by the end."""
    stop = threading.Event()
    told = [0] * TABS
    readers = [threading.Thread(target=_read, args=(house.plan.api_url, stop, told, n)) for n in range(TABS)]
    for reader in readers:
        reader.start()
    try:
        yield
    finally:
        stop.set()
        for reader in readers:
            reader.join()
    assert all(told), f"a tab was told nothing: {told}"


def _read(api_url: str, stop: threading.Event, told: list[int], number: int) -> None:
    with (
        httpx2.Client(base_url=api_url, timeout=30) as http,
        http.stream("GET", "/live") as answer,
    ):
        assert answer.status_code == 200
        for line in answer.iter_lines():
            told[number] += line.startswith("data:")
            if stop.is_set():
                return
