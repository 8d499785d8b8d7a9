"""Failed messages started again, and what is wanted of the send before its next run has begun."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from api.reconciler import Reconciler
from postwerk.archive import rounds
from postwerk.archive.engine import Archive
from tests.support.api import Door, open_door


@pytest.fixture
async def door(archive: Archive) -> AsyncIterator[Door]:
    async with open_door(archive) as opened:
        yield opened


async def test_a_send_started_again_and_paused_before_it_begins_is_neither_failed_nor_forgotten(
    door: Door,
) -> None:
    taken = (await door.send()).json()
    door.temporal.all_ended = True
    for call in ("cancel", "retry-failed", "pause"):
        body = {"states": ["cancelled"]} if call == "retry-failed" else {"reason": "why not"}
        answer = await door.http.post(f"/v1/bulk-sends/{taken['id']}/{call}", json=body)
        assert answer.status_code == 202, answer.text
    assert answer.json()["state"] == "paused"

    async with door.archive.reading() as connection:
        run = await rounds.next_run(connection, taken["id"], door.parts.now())
    assert run is not None
    assert run.order.first_batch == 2
    reconciler = Reconciler(door.archive, door.parts.client, "postwerk")
    for _ in range(3):
        await reconciler.look(door.parts.now())
    assert (await door.http.get(f"/v1/bulk-sends/{taken['id']}")).json()["state"] == "paused"
