"""The outbox from its end: newest first, page by page, of one send, message or type."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from postwerk.archive import latest_events as latest
from postwerk.archive.engine import Archive
from postwerk.archive.latest_events import latest_events
from postwerk.archive.suppressions import NewSuppression, add_suppressions
from tests.support.queues import set_message
from tests.support.seeding import a_stored_bulk_send


async def test_pages_go_back_to_the_beginning(archive: Archive) -> None:
    for number in range(5):
        await _suppress(archive, f"a{number}@gmx.de")
    found, before = [], latest.END
    async with archive.reading() as connection:
        while before is not None:
            page = await latest_events(connection, limit=2, before=before)
            found += [event.data["address"] for event in page.events]
            before = page.reached
    assert found == [f"a{number}@gmx.de" for number in reversed(range(5))]


async def test_few_are_looked_through_at_a_time(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latest, "LOOK", 3)
    bulk_id = (await a_stored_bulk_send(archive, ["a@gmx.de", "b@gmx.de"])).bulk_id
    for state in ("deferred", "delivered"):
        for seq in (1, 2):
            await set_message(archive, bulk_id, seq, state=state, last_reason=state)
    for number in range(4):
        await _suppress(archive, f"a{number}@gmx.de")
    async with archive.reading() as connection:
        none = await latest_events(connection, limit=9, types=["message.delivered"])
        assert none.events == []
        assert none.reached is not None
        further = await latest_events(connection, limit=9, types=["message.delivered"], before=none.reached)
        assert [event.data["to"] for event in further.events] == ["b@gmx.de", "a@gmx.de"]
        # Of a send its own are looked through.
        own = await latest_events(connection, limit=9, bulk_id=bulk_id, seq=1)
        assert [event.type.value for event in own.events] == ["message.delivered"]
        assert own.reached is not None


async def _suppress(archive: Archive, address: str) -> None:
    async with archive.writing() as connection:
        entry = NewSuppression(address, "manual")
        await add_suppressions(connection, [entry], source="api", now=datetime.now(UTC))
