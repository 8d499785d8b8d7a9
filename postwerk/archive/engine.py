"""One door to the database: SQLite or PostgreSQL, reading or writing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.dialects.sqlite.base import SQLiteCompiler
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from postwerk.errors import ConfigurationError

T = TypeVar("T")

_DRIVERS = {
    "sqlite": "sqlite+aiosqlite",
    "postgresql": "postgresql+asyncpg",
    "postgres": "postgresql+asyncpg",
}
_WAY_OUT = (
    "set POSTWERK_DATABASE_URL to sqlite+aiosqlite:///path/to/file.db "
    "or postgresql+asyncpg://user:password@host/database"
)


@dataclass(frozen=True, slots=True)
class ArchiveConfig:
    """Where the archive is and how durable a commit must be."""

    url: str
    durability: Literal["full", "normal"] = "full"
    """SQLite only. "full" syncs each commit to disk (behind a 202); "normal" is the journal's, where a
    power cut may lose the last commits but no kill -9 does."""
    connections: int = 5
    """Connections held at most, per process."""
    busy_seconds: float = 30.0
    """SQLite only: how long a writer waits for the one write lock."""


def parse_database_url(text: str) -> URL:
    """The URL with the asynchronous driver filled in. Raises ConfigurationError, never showing a password."""
    try:
        url = make_url(text)
    except ArgumentError as error:
        raise ConfigurationError(f"The database URL cannot be read; {_WAY_OUT}.") from error
    base = url.drivername.split("+", 1)[0]
    if base not in _DRIVERS or url.drivername not in (base, _DRIVERS[base]):
        raise ConfigurationError(f"The database URL has the unknown scheme {url.drivername!r}; {_WAY_OUT}.")
    if base == "sqlite" and url.database in (None, "", ":memory:"):
        raise ConfigurationError(f"The archive must be a file, it has to survive this process; {_WAY_OUT}.")
    return url.set(drivername=_DRIVERS[base])


class _HintingCompiler(SQLiteCompiler):
    """Writes what a query says by `with_hint(table, "INDEXED BY some_index", "sqlite")`."""

    def get_from_hint_text(self, table: Any, text: str | None) -> str | None:  # noqa: ARG002
        return text


class Archive:
    """An open archive. Questions are functions of this package that take a connection from here."""

    def __init__(self, config: ArchiveConfig) -> None:
        self.config = config
        self.url = parse_database_url(config.url)
        self.is_sqlite = self.url.drivername.startswith("sqlite")
        self.engine = self._create_engine()
        self._direct: _Direct | None = None
        # SQLite's transactions are one consistent view anyway; PostgreSQL's are when asked to be.
        self._reader = (
            self.engine
            if self.is_sqlite
            else self.engine.execution_options(isolation_level="REPEATABLE READ")
        )

    def _create_engine(self) -> AsyncEngine:
        # Parameters are addresses and contents: no error text may carry them to a log or a history (P7).
        options: dict[str, Any] = {
            "pool_size": self.config.connections,
            "max_overflow": 0,
            "hide_parameters": True,
        }
        if self.is_sqlite:
            Path(str(self.url.database)).expanduser().parent.mkdir(parents=True, exist_ok=True)
        else:
            options |= {
                "pool_pre_ping": True,
                "connect_args": {"timeout": 10, "server_settings": {"jit": "off"}},
            }
        try:
            engine = create_async_engine(self.url, **options)
        except (NoSuchModuleError, ArgumentError) as error:
            raise ConfigurationError(f"The database URL cannot be used; {_WAY_OUT}.") from error
        if self.is_sqlite:
            engine.sync_engine.dialect.statement_compiler = _HintingCompiler
            self._prepare_sqlite(engine.sync_engine)
        return engine

    def _prepare_sqlite(self, engine: Engine) -> None:
        synchronous = "FULL" if self.config.durability == "full" else "NORMAL"
        # Who takes lists in needs the tree of addresses at hand; a worker walks along, row by row.
        cache_kilobytes = 65_536 if self.config.durability == "full" else 4_096
        busy_milliseconds = int(self.config.busy_seconds * 1000)

        @event.listens_for(engine, "connect")
        def _connect(connection: Any, _record: Any) -> None:
            connection.isolation_level = None  # we say BEGIN ourselves, below
            cursor = connection.cursor()
            cursor.execute(f"PRAGMA busy_timeout={busy_milliseconds}")
            cursor.execute("PRAGMA journal_mode=WAL")
            cursor.execute(f"PRAGMA synchronous={synchronous}")
            cursor.execute(f"PRAGMA cache_size=-{cache_kilobytes}")
            cursor.execute("PRAGMA temp_store=MEMORY")
            cursor.close()

        @event.listens_for(engine, "begin")
        def _begin(connection: Any) -> None:
            # A deferred transaction that turns into a writer fails at once when another wrote meanwhile;
            # taking the write lock at BEGIN waits its turn instead.
            writing = connection.get_execution_options().get("writing", False)
            connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that only reads: one consistent view."""
        async with self._reader.connect() as connection, connection.begin():
            yield connection

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that writes; committed at the end, rolled back by an exception. Keep it short."""
        async with self.engine.connect() as connection:
            await connection.execution_options(writing=True)
            async with connection.begin():
                yield connection

    async def at_once(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in a writing transaction of its own. For who commits some hundred times a second.

        SQLite's driver crosses to another thread and back for each statement, and back again for its rows;
        here the whole transaction crosses once (measured: half the CPU of a commit).
        """
        if not self.is_sqlite:
            async with self.writing() as connection:
                return await connection.run_sync(work)
        if self._direct is None:
            self._direct = _Direct(self.url)
            self._prepare_sqlite(self._direct.engine)
        return await self._direct.in_thread(self._direct.run, work)

    async def close(self) -> None:
        """Give back every connection; used again, it opens new ones."""
        await self.engine.dispose()
        if self._direct is not None:
            direct, self._direct = self._direct, None
            await direct.in_thread(direct.engine.dispose)
            direct.thread.shutdown()


class _Direct:
    """The same SQLite file by the plain driver, for one thread."""

    def __init__(self, url: URL) -> None:
        self.engine = create_engine(url.set(drivername="sqlite"), hide_parameters=True, pool_size=1)
        self.thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="archive")

    async def in_thread(self, do: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self.thread, do, *arguments)

    def run(self, work: Callable[[Connection], T]) -> T:
        with self.engine.connect() as connection:
            connection.execution_options(writing=True)
            with connection.begin():
                return work(connection)
