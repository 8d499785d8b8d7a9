"""Alive, ready, and which part is missing; and that the API starts by the settings alone."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2
import pytest

from api.app import create_app
from api.errors import loggable
from api.progress import RateMemory
from postwerk.archive.engine import Archive, ArchiveConfig
from postwerk.archive.migrate import migrate
from postwerk.observe.log import clean_access_lines
from tests.support.api import Door, a_bulk_send, open_door


@pytest.fixture
async def door(archive: Archive) -> AsyncIterator[Door]:
    async with open_door(archive) as opened:
        yield opened


async def test_ready_means_archive_temporal_and_a_worker(door: Door) -> None:
    assert (await door.http.get("/healthz")).status_code == 200
    ready = await door.http.get("/readyz")
    assert (ready.status_code, ready.json()["status"]) == (200, "ready")

    door.temporal.workers = 0
    idle = await door.http.get("/readyz")
    assert (idle.status_code, idle.json()["workers"]) == (503, 0)

    door.temporal.away = True
    away = await door.http.get("/readyz")
    assert away.status_code == 503
    assert (away.json()["archive"], away.json()["temporal"]) == ("ok", "away (RPCError)")


async def test_the_api_starts_by_settings_and_takes_mail_while_temporal_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.app.log.configure_logging", lambda *_: None)  # pytest has the log
    url = f"sqlite+aiosqlite:///{tmp_path}/archive.db"
    monkeypatch.setenv("POSTWERK_DATABASE_URL", url)
    monkeypatch.setenv("TEMPORAL_ADDRESS", "127.0.0.1:1")
    archive = Archive(ArchiveConfig(url=url))
    await migrate(archive)
    await archive.close()
    app = create_app()
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://127.0.0.1") as http,
    ):
        answer = await http.post("/v1/bulk-sends", json=a_bulk_send())
        ready = await http.get("/readyz")

    assert answer.status_code == 202, answer.text
    assert ready.status_code == 503
    assert ready.json()["temporal"].startswith("away")


def test_a_wrong_database_url_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTWERK_DATABASE_URL", "mysql://x:secret@db/postwerk")
    with pytest.raises(SystemExit, match="sqlite") as caught:
        create_app()
    assert "secret" not in str(caught.value)


def test_the_access_log_shows_no_query(caplog: pytest.LogCaptureFixture) -> None:
    clean_access_lines(loggable)
    logger = logging.getLogger("uvicorn.access")
    with caplog.at_level(logging.INFO, "uvicorn.access"):
        logger.info('%s - "%s %s HTTP/%s" %d', "127.0.0.1:1", "GET", "/v1/x?q=ada@example.com", "1.1", 200)
    assert "ada" not in caplog.text
    assert "/v1/x " in caplog.text


def test_the_rate_is_what_was_finished_in_the_last_ten_seconds() -> None:
    memory, start = RateMemory(), datetime(2027, 1, 1, tzinfo=UTC)
    assert memory.progress("b", 0, 1000, start) == (None, None)
    assert memory.progress("b", 10, 990, start + timedelta(seconds=0.1)) == (None, None)
    assert memory.progress("b", 500, 500, start + timedelta(seconds=5)).rate == 100
    later = memory.progress("b", 600, 400, start + timedelta(seconds=15))
    assert (later.rate, later.eta) == (10, start + timedelta(seconds=55))
    assert memory.progress("b", 600, 400, start + timedelta(hours=1)).rate is None
