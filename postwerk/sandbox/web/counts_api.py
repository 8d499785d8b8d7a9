"""The calls about what happened: counts, recipients, attempts, connections. Tests judge by them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import asdict

import orjson

from postwerk.sandbox import attempts
from postwerk.sandbox.reader import Reader
from postwerk.sandbox.sandbox import Sandbox
from postwerk.sandbox.web import asgi
from postwerk.sandbox.web.asgi import Answer, Request
from postwerk.sandbox.web.numbers import read_moment

_SINCE = "since is a number of seconds since 1970"


class CountsApi:
    """What the sandbox has seen."""

    def __init__(self, sandbox: Sandbox, reader: Reader) -> None:
        self._sandbox = sandbox
        self._reader = reader

    async def counts(self, _request: Request) -> Answer:
        copies = await self._reader.copies()
        return asgi.json(
            {
                **self._sandbox.ledger.tally.told(),
                "open_connections": self._sandbox.open_connections,
                "connections": self._sandbox.connections.total,
                **copies,
            }
        )

    async def recipients(self, _request: Request) -> Answer:
        return Answer(200, "application/x-ndjson", self._recipient_lines())

    async def _recipient_lines(self) -> AsyncIterator[bytes]:
        async for group in self._reader.recipients():
            yield b"".join(orjson.dumps(asdict(one), option=orjson.OPT_APPEND_NEWLINE) for one in group)

    async def recipient(self, request: Request) -> Answer:
        found = await self._reader.recipient(request.caught)
        return asgi.json(asdict(found)) if found else asgi.problem(404, "this address was never tried")

    async def attempts(self, request: Request) -> Answer:
        since, period = read_moment(request.query.get("since", "0")), request.query.get("per")
        stages = [request.query["stage"]] if "stage" in request.query else attempts.IN_TRANSACTION
        if since is None or (period is not None and period not in attempts.PERIODS):
            return asgi.problem(400, f"{_SINCE}, per is second or minute")
        found = await self._reader.attempts(since, request.query.get("domain"), stages)
        return asgi.json(attempts.counted(found, attempts.PERIODS[period]) if period else found)

    async def connections(self, request: Request) -> Answer:
        since = read_moment(request.query.get("since", "0"))
        if since is None:
            return asgi.problem(400, _SINCE)
        return asgi.json(self._sandbox.connections.told(since))

    async def health(self, _request: Request) -> Answer:
        return asgi.json({"status": "ok"})
