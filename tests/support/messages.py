"""Transactional messages against everything real in this process: API, Temporal, a worker, a sandbox."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx2
from temporalio.client import Client

from api.app import create_app
from api.dependencies import ApiConfig, Parts
from postwerk.archive.engine import Archive
from tests.support.sandbox import SandboxProcess
from tests.support.worker import local_server, working

QUICK = {"initial": 1, "maximum": 2, "jitter": 0}
_PATIENCE = 30.0


class PostOffice:
    """The API's client, and what stands behind it."""

    def __init__(self, http: httpx2.AsyncClient, parts: Parts, client: Client, queue: str) -> None:
        self.http = http
        self.parts = parts
        self.client = client
        self.queue = queue

    async def send(self, to: str, **changes: Any) -> dict[str, Any]:
        """POST a valid message; must be taken."""
        answer = await self.http.post("/v1/messages", json=a_message(to, **changes))
        assert answer.status_code == 202, answer.text
        return dict(answer.json())

    async def show(self, message_id: str) -> dict[str, Any]:
        return dict((await self.http.get(f"/v1/messages/{message_id}")).raise_for_status().json())

    async def send_of(self, bulk_id: str) -> dict[str, Any]:
        return dict((await self.http.get(f"/v1/bulk-sends/{bulk_id}")).raise_for_status().json())

    async def order(self, path: str, **body: Any) -> dict[str, Any]:
        answer = await self.http.post(path, json={"reason": "a test", **body})
        assert answer.status_code in (200, 202), answer.text
        return dict(answer.json())

    async def until(self, message_id: str, *states: str) -> dict[str, Any]:
        """The message once it is in one of these states."""
        return await self._until(lambda: self.show(message_id), lambda found: found["state"] in states)

    async def until_send(self, bulk_id: str, *states: str) -> dict[str, Any]:
        return await self._until(lambda: self.send_of(bulk_id), lambda found: found["state"] in states)

    async def _until(self, look: Callable[[], Any], fits: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        stop = time.monotonic() + _PATIENCE
        while not fits(found := await look()):
            assert time.monotonic() < stop, found
            await asyncio.sleep(0.05)
        return dict(found)


def a_message(to: str, **changes: Any) -> dict[str, Any]:
    request: dict[str, Any] = {
        "from": "Shop <orders@shop.example>",
        "to": to,
        "subject": "Your order {{ number }}",
        "text": "It is on its way: {{ number }}.",
        "variables": {"number": 4711},
        "retry": QUICK,
    }
    return request | changes


@asynccontextmanager
async def open_post_office(archive: Archive, sandbox: SandboxProcess) -> AsyncIterator[PostOffice]:
    async with (
        local_server() as environment,
        working(environment.client, archive, sandbox.relay_url) as queue,
    ):
        parts = Parts(archive, environment.client, ApiConfig(task_queue=queue))
        transport = httpx2.ASGITransport(create_app(parts))
        async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
            try:
                yield PostOffice(http, parts, environment.client, queue)
            finally:
                await parts.close()
