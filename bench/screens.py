"""How long the page's screens take on a queue of a million messages, on both databases.

Milliseconds: the first answer of a process that has just started, and the median of those after it. The page
answers in this process, without a socket; nobody sends meanwhile. Beside them what this process worked for
it: on SQLite that is all there is to do, and it is the same while the machine is busy with something else.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from typing import Any, NamedTuple

from bench.queue import SeededQueue, answered, seeded_queues

ROUNDS = 7
SCREENS = {
    "queue": "/queue",
    "state=deferred": "/queue?state=deferred",
    "state=held": "/queue?state=held",
    "provider=gmail.com": "/queue?provider=gmail.com",
    "provider, 1 in 1,000": "/queue?provider=firma3.example",
    "domain, 1 in 250,000": "/queue?domain=klein1600.example",
    "recipient": "/queue?recipient=user999@gmail.com",
    "code=4xx": "/queue?code=4xx",
    "code=550, 1 in 20,000": "/queue?code=550",
    "reason, 1 in 50,000": "/queue?reason=mailbox_full",
    "part of an address": "/queue?q=user99",
    "part of an address, none": "/queue?q=nobody-at-all",
    "older than an hour": "/queue?older_than=1h",
    "delivered of a send": "/queue?state=delivered&bulk={bulk}",
    "bounced of a send": "/queue?state=bounced&bulk={bulk}",
    "a page in the middle": "/queue?after={bulk}.50000",
    "message": "/messages/{bulk}.1",
    "operations": "/operations",
    "audit": "/audit",
    "suppressions": "/suppressions",
    "events": "/events",
}
Figures = dict[str, Any]


def measure(messages: int) -> Figures:
    """By database and shape: first answers, medians, and the slowest."""
    return {"messages": messages, **asyncio.run(_measure(messages))}


async def _measure(messages: int) -> Figures:
    figures: Figures = {}
    async for queue in seeded_queues(messages):
        found = await _look(queue)
        figures[f"{queue.database}, {queue.shape}"] = found
        slowest = max(found, key=lambda name: found[name]["first"])
        print(f"Page, {queue.database}, {queue.shape}: slowest {slowest}, {found[slowest]}", flush=True)
    return figures


async def _look(queue: SeededQueue) -> Figures:
    """Before the first survey, which a process begins with, and after it."""
    figures: Figures = {}
    for name, path in SCREENS.items():
        address = f"http://127.0.0.1{path.format(bulk=queue.bulk_ids[0])}"
        first = await _answer(queue, address)
        rest = [await _answer(queue, address) for _ in range(ROUNDS)]
        figures[name] = {
            "first": round(first.took, 1),
            "median": round(statistics.median(one.took for one in rest), 1),
            "slowest": round(max(one.took for one in rest), 1),
            "first_cpu": round(first.cpu, 1),
            "median_cpu": round(statistics.median(one.cpu for one in rest), 1),
        }
    return figures


class Answer(NamedTuple):
    """Milliseconds until it was there, and those that this process worked meanwhile."""

    took: float
    cpu: float


async def _answer(queue: SeededQueue, address: str) -> Answer:
    began = time.process_time()
    took = await answered(queue.http, address)
    return Answer(took, (time.process_time() - began) * 1000)
