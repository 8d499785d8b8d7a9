"""Fixtures of the page's tests: on SQLite alone, as the SQL behind it is tried on both below it."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from postwerk.archive.engine import Archive, ArchiveConfig
from tests.support.api import Door, open_door
from tests.support.databases import Migrated


@pytest.fixture
async def page_archive(migrated: Migrated, tmp_path: Path) -> AsyncIterator[Archive]:
    """An empty, migrated archive."""
    shutil.copy(await migrated.file(), tmp_path / "archive.db")
    archive = Archive(ArchiveConfig(url=f"sqlite+aiosqlite:///{tmp_path}/archive.db"))
    yield archive
    await archive.close()


@pytest.fixture
async def page_door(page_archive: Archive) -> AsyncIterator[Door]:
    """The API and its page around it."""
    async with open_door(page_archive) as door:
        yield door
        await door.parts.close()
