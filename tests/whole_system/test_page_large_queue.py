"""A queue of a million messages: no screen reads much of it. Work is counted, not timed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, text

from api.page import queue_list
from bench.queue_seeds import SHAPES, seed
from bench.screens import SCREENS
from postwerk.archive.engine import Archive
from tests.support.api import Door, open_door
from tests.support.databases import open_archive
from tests.support.page import a_browser_here

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

MESSAGES = 1_000_000
MOST_STEPS = 300_000
"""Of SQLite's virtual machine: to look once at each of a million rows takes ten times as many."""
MOST_STATEMENTS = 30
EVERY = 1000


@dataclass
class Work:
    """What SQLite was asked, and how many steps it took."""

    steps: int = 0
    asked: list[tuple[str, Any]] = field(default_factory=list)

    def step(self) -> int:
        self.steps += EVERY
        return 0

    def note(self, _connection: Any, _cursor: Any, statement: str, parameters: Any, *_more: Any) -> None:
        self.asked.append((statement, parameters))

    def begin(self) -> None:
        self.steps, self.asked = 0, []


@pytest.fixture(params=["deferred", "queued"])
async def door(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Door]:
    """A process that has just started, and whose survey is not there yet. Rare messages: one look each."""
    monkeypatch.setattr(queue_list, "PATIENCE_SECONDS", 0.0)
    async with open_archive(f"sqlite+aiosqlite:///{tmp_path}/archive.db") as archive:
        await seed(archive, SHAPES[request.param], MESSAGES)
        async with open_door(archive) as opened:
            monkeypatch.setattr(opened.parts.survey, "start", lambda: None)
            yield opened
            await opened.parts.close()


def watched(archive: Archive) -> Work:
    work, engine = Work(), archive.engine.sync_engine
    event.listen(engine, "before_cursor_execute", work.note)

    @event.listens_for(engine, "checkout")
    def _count(connection: Any, *_more: Any) -> None:
        connection.run_async(lambda sqlite: sqlite.set_progress_handler(work.step, EVERY))

    return work


async def test_no_screen_reads_much_of_it(door: Door) -> None:
    async with door.archive.reading() as connection:
        bulk_id = (await connection.execute(text("SELECT id FROM bulk_send"))).scalar_one()
        whole = watched(door.archive)
    browser = a_browser_here(door)
    await browser.get("/queue?state=held")
    whole.begin()
    async with door.archive.reading() as connection:
        await connection.execute(text("SELECT count(name) FROM message"))
    assert whole.steps > 9 * MOST_STEPS

    for name, path in SCREENS.items():
        whole.begin()
        screen = await browser.get(path.format(bulk=bulk_id))
        assert screen.status == 200, name
        assert 0 < len(whole.asked) <= MOST_STATEMENTS, (name, len(whole.asked))
        assert whole.steps <= MOST_STEPS, (name, whole.steps)
        await _check_plans(door.archive, list(whole.asked), name)


async def _check_plans(archive: Archive, asked: list[tuple[str, Any]], name: str) -> None:
    """None of the statements walks all messages of all sends."""
    async with archive.reading() as connection:
        for statement, parameters in asked:
            plan = await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            lines = [str(row[-1]) for row in plan]
            walks = [line for line in lines if line.startswith("SCAN message") and "USING INDEX" not in line]
            assert not walks, (name, statement, lines)


async def test_what_nobody_has_counted_is_said_to_be_more(door: Door) -> None:
    browser = a_browser_here(door)
    assert (await browser.get("/queue")).said("#queue-total") == "1,000,000"
    assert (await browser.get("/queue?provider=gmail.com")).said("#queue-total") == "more than 50"
    rare = await browser.get("/queue?q=user999999@")
    assert (
        rare.said("#queue-rows")
        == "None among the messages looked through so far; there are more to look through."
    )
    assert rare.link("Look further").startswith("/queue?q=user999999%40&after=bulk_")
    one = await browser.get("/queue?recipient=user999@gmail.com")
    assert one.said("#queue-total") == str(len(one.tree.css("table.queue tbody tr")))
