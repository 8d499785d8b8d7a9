"""A server that takes its time to greet: who is stopped meanwhile is not tried when it is ready at last."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from postwerk.archive import bulks
from postwerk.archive.audit import Actor
from postwerk.archive.engine import Archive
from postwerk.archive.operation_runs import carry_out_page
from postwerk.archive.operations import new_operation, next_page, store_operation
from postwerk.contracts.queue import QueueFilter, Verb
from postwerk.contracts.states import BulkState
from tests.support.scripted_server import ScriptedServer
from tests.support.seeding import a_stored_bulk_send
from tests.support.worker import local_server, started, working

SLOW = 4.0
"""Seconds until it greets the second time."""
Stop = Callable[[Archive, str], Awaitable[object]]


async def pause(archive: Archive, bulk_id: str) -> None:
    async with archive.writing() as connection:
        await bulks.move_bulk(connection, bulk_id, BulkState.PAUSED, now=datetime.now(UTC))


async def hold_the_next_message(archive: Archive, bulk_id: str) -> None:
    wanted = QueueFilter(ids=(f"{bulk_id}.2",))
    op = new_operation(Verb.HOLD, wanted, reason="wait", actor=Actor("ada", "test"), now=datetime.now(UTC))
    async with archive.writing() as connection:
        await store_operation(connection, op)
        page = await next_page(connection, op)
        await carry_out_page(connection, op, page, now=datetime.now(UTC), shard=1)


@pytest.mark.parametrize("stop", [pause, hold_the_next_message])
async def test_who_is_stopped_while_the_server_keeps_its_greeting_is_not_tried(
    archive: Archive, tmp_path: Path, stop: Stop
) -> None:
    """Each message has a connection of its own here, and the batch has one at a time."""
    server = ScriptedServer(tmp_path, {}, {"banner": {"wait": SLOW, "say": "220 here at last"}})
    one_by_one = {"messages_per_connection": 1, "connections_per_lane": 1}
    try:
        async with (
            local_server() as environment,
            working(environment.client, archive, server.relay_url, **one_by_one) as queue,
        ):
            to = ["a@one.example", "b@one.example"]
            order = await a_stored_bulk_send(archive, to, recipients_per_child=2)
            root = await started(environment.client, order, queue)
            await seen(lambda: len(server.entries("open")) == 2)
            await stop(archive, order.bulk_id)
            await seen(lambda: server.verbs.count("EHLO") == 2)
            await asyncio.sleep(1)  # nothing is to follow
            assert server.verbs.count("MAIL") == 1
            await root.terminate()
    finally:
        server.stop()


async def seen(look: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not look():
            await asyncio.sleep(0.05)
