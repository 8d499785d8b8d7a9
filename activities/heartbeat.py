"""Telling the server that this activity's worker lives; a dead one is noticed within 30 seconds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from temporalio import activity

HEARTBEAT_SECONDS = 8.0
"""A third of the 30 s heartbeat timeout; each one costs the server a write."""


@asynccontextmanager
async def heartbeating() -> AsyncIterator[None]:
    beating = asyncio.create_task(_beat())
    try:
        yield
    finally:
        beating.cancel()


async def _beat() -> None:
    while not activity.info().is_local:  # that one is watched by its workflow's task
        activity.heartbeat()
        await asyncio.sleep(HEARTBEAT_SECONDS)
