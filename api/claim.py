"""The turn of one call to make what it asks for: kept while it is at it, confirmed in what it writes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

from fastapi import Response
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from api.dependencies import Parts
from api.errors import InProgress
from postwerk.archive import idempotency
from postwerk.archive.idempotency import Name
from postwerk.archive.ids import new_id
from postwerk.observe import log
from postwerk.rules.idempotency import RENEWED, kept_until


class Claim:
    """The right of one call to make what it asks for; without a key it is never in doubt."""

    def __init__(
        self,
        parts: Parts,
        resource: str,
        name: Name | None = None,
        *,
        before: str = "",
        progress: str | None = None,
    ) -> None:
        self.resource = resource
        """Id of what is to be made."""
        self.before = before
        """The id under which a call that died was making it; empty when this is the first."""
        self.progress = progress
        """How far that call had come, as it was told to `confirm`."""
        self.holder = new_id("call")
        self.is_answered = False
        self._parts = parts
        self._name = name
        self._has_progress = progress is not None

    async def confirm(self, connection: AsyncConnection, progress: str | None = None) -> None:
        """Say in a transaction that makes something how far it has come. Raises InProgress: taken over."""
        if self._name is None:
            return
        if not await idempotency.hold(connection, self._name, self.holder, self._parts.now(), progress):
            raise InProgress
        self._has_progress |= progress is not None

    async def remember(
        self,
        connection: AsyncConnection,
        response: Response,
        *moments: datetime | None,
        fingerprint: str | None = None,
    ) -> None:
        """Say in the transaction that makes it final what is answered. Raises InProgress: taken over.

        `moments`: when its mail is to be sent; the answer is kept until a day after.
        """
        if self._name is None:
            return
        done = await idempotency.complete(
            connection,
            self._name,
            self.holder,
            status=response.status_code,
            answer=bytes(response.body).decode(),
            headers={name: value for name, value in response.headers.items() if name != "content-length"},
            keep_until=kept_until(self._parts.now(), moments),
            fingerprint=fingerprint,
        )
        if not done:
            raise InProgress
        self.is_answered = True

    async def give_back(self) -> None:
        """The key is free again; for the same call alone if a part of it is done."""
        if self._name is None:
            return
        async with self._parts.archive.writing() as connection:
            await idempotency.give_back(connection, self._name, self.holder, keep_progress=self._has_progress)

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """While this is open, others see that somebody is at it."""
        over = asyncio.Event()
        renewing = asyncio.create_task(self._renew(over))
        try:
            yield
        finally:
            over.set()
            await renewing

    async def _renew(self, over: asyncio.Event) -> None:
        while True:
            try:
                await asyncio.wait_for(over.wait(), RENEWED.total_seconds())
            except TimeoutError:
                await self._say_so()
            else:
                return

    async def _say_so(self) -> None:
        assert self._name is not None
        try:
            async with self._parts.archive.writing() as connection:
                await idempotency.hold(connection, self._name, self.holder, self._parts.now())
        except (SQLAlchemyError, OSError) as error:
            log.lease_not_renewed(error)
