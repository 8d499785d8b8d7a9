"""Bringing the archive's schema up to date, and refusing to work on one that is not."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlmodel import SQLModel

from postwerk.archive import draft_tables, outbox_tables, sender_tables, tables
from postwerk.archive.engine import Archive
from postwerk.errors import ConfigurationError

_ = (tables, sender_tables, outbox_tables, draft_tables)  # imported so that their tables are in the metadata
_MIGRATIONS = Path(__file__).parent / "migrations"


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.set_main_option("path_separator", "os")
    return config


async def migrate(archive: Archive) -> str:
    """Run the missing migrations; answers the revision reached. Safe to run again and from two places."""
    async with _clear_errors(archive), archive.writing() as connection:
        await connection.run_sync(_upgrade, archive.is_sqlite)
    return latest_revision()


def _upgrade(connection: Connection, is_sqlite: bool) -> None:
    if not is_sqlite:
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(70067)")  # one migration at a time
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def latest_revision() -> str:
    head = ScriptDirectory.from_config(_config()).get_current_head()
    if head is None:
        raise ConfigurationError("This installation carries no migrations; install Postwerk again.")
    return head


async def check_schema(archive: Archive) -> None:
    """Raise ConfigurationError unless the schema is the one this code was written for."""
    async with _clear_errors(archive), archive.reading() as connection:
        found = await connection.run_sync(lambda c: MigrationContext.configure(c).get_current_revision())
    wanted = latest_revision()
    if found != wanted:
        raise ConfigurationError(
            f"The archive's schema is at {found or 'nothing'}, this version needs {wanted}; "
            "run: python -m postwerk migrate"
        )


async def differences(archive: Archive) -> list[object]:
    """What the tables say that the migrated database does not (for tests: must be empty)."""
    async with archive.reading() as connection:
        return await connection.run_sync(
            lambda c: list(compare_metadata(MigrationContext.configure(c), SQLModel.metadata))
        )


class _clear_errors:
    """Turn what a database driver raises on the first contact into one line for people."""

    def __init__(self, archive: Archive) -> None:
        self._where = archive.url.render_as_string(hide_password=True)

    async def __aenter__(self) -> None:
        return None

    async def __aexit__(self, kind: type | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, (DBAPIError, OperationalError)):
            problem = str(error.orig).splitlines()[0]
            raise ConfigurationError(
                f"The archive {self._where} cannot be used: {problem}; check POSTWERK_DATABASE_URL."
            ) from error
        if isinstance(error, OSError):
            raise ConfigurationError(
                f"The archive {self._where} cannot be reached: {error}; check POSTWERK_DATABASE_URL."
            ) from error
