"""What a run has to write down: rows of the log, and how far the receiver has been told."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from sqlalchemy import Connection

from postwerk.archive.engine import Archive
from postwerk.archive.event_cursor import Cursor
from postwerk.archive.webhook_deliveries import Delivery, give_up_now, move_cursor_now, write_deliveries

HELD_SECONDS = 0.25
"""What a receiver of single events took is written down so often: a kill has it sent again."""


class Superseded(Exception):
    """Somebody else has moved the cursor: another run of this webhook, or an operator."""


class Ledger:
    """Of one webhook, for one run. Each `write` is one transaction."""

    def __init__(self, archive: Archive, webhook_id: str, cursor: Cursor) -> None:
        self._archive = archive
        self._webhook_id = webhook_id
        self._stored = cursor
        self._rows: list[Delivery] = []
        self._written_at = time.monotonic()
        self.cursor = cursor
        """Up to here it has everything, or wants nothing of it."""

    @property
    def seconds_since_written(self) -> float:
        return time.monotonic() - self._written_at

    @property
    def is_due(self) -> bool:
        return self.seconds_since_written >= HELD_SECONDS

    @property
    def has_rows(self) -> bool:
        return bool(self._rows)

    def note(self, row: Delivery) -> None:
        self._rows.append(row)

    async def write(self) -> None:
        """Raises Superseded; the rows are written all the same."""
        self._written_at = time.monotonic()
        if not self._rows and self.cursor == self._stored:
            return
        rows, self._rows = self._rows, []
        if not await self._archive.at_once(lambda connection: self._write(connection, rows)):
            raise Superseded
        self._stored = self.cursor

    async def give_up(self, reason: str) -> None:
        """Write, and tell it of nothing any more. Raises Superseded."""
        await self.write()
        await self._archive.at_once(
            lambda connection: give_up_now(connection, self._webhook_id, reason, datetime.now(UTC))
        )

    def _write(self, connection: Connection, rows: list[Delivery]) -> bool:
        write_deliveries(connection, rows)
        if self.cursor == self._stored:
            return True
        return move_cursor_now(connection, self._webhook_id, self._stored, self.cursor)
