"""The HTTP door: an inbox for people, an API for tests."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict
from importlib.resources import files

import orjson

from postwerk.sandbox import asgi, attempts, pages
from postwerk.sandbox.asgi import Answer, App, Request, Route
from postwerk.sandbox.entries import ACCEPTED, NO_REPLY
from postwerk.sandbox.mail import read_mail
from postwerk.sandbox.reader import Reader
from postwerk.sandbox.rules_api import RulesApi
from postwerk.sandbox.sandbox import Sandbox

_MOST_AT_ONCE = 1000
_ON_A_PAGE = 50
_SINCE = "since is a number of seconds since 1970"
_SECONDS = re.compile(r"\d{1,12}(\.\d{1,9})?", re.ASCII)
_STYLE = files("postwerk.sandbox").joinpath("style.css").read_bytes()


def web_app(sandbox: Sandbox, reader: Reader) -> App:
    """All pages and calls over one sandbox."""
    inbox, api, rules = Inbox(sandbox, reader), Api(sandbox, reader), RulesApi(sandbox.domains)

    def route(method: str, path: str, answer: Callable[[Request], Awaitable[Answer]]) -> Route:
        async def answer_when_written(request: Request) -> Answer:
            # Who was refused a moment ago and asks here must find it: a refusal is not waited for, a 250 is.
            await sandbox.ledger.flush()
            return await answer(request)

        return Route(method, re.compile(path), answer_when_written)

    return App(
        [
            route("GET", r"/", inbox.list),
            route("GET", r"/messages/(\d{1,18})", inbox.show),
            route("POST", r"/clear", inbox.clear),
            route("GET", r"/style\.css", inbox.style),
            route("GET", r"/api/messages", api.messages),
            route("DELETE", r"/api/messages", api.clear),
            route("GET", r"/api/messages/(\d{1,18})", api.message),
            route("GET", r"/api/messages/(\d{1,18})/raw", api.raw),
            route("GET", r"/api/counts", api.counts),
            route("GET", r"/api/recipients", api.recipients),
            route("GET", r"/api/recipients/([^/]+)", api.recipient),
            route("GET", r"/api/attempts", api.attempts),
            route("GET", r"/api/connections", api.connections),
            route("GET", r"/api/domains", rules.list),
            route("DELETE", r"/api/domains", rules.clear),
            route("GET", r"/api/domains/presets", rules.presets),
            route("PUT", r"/api/domains/([^/]+)", rules.set),
            route("DELETE", r"/api/domains/([^/]+)", rules.remove),
            route("GET", r"/healthz", api.health),
        ]
    )


class Inbox:
    """The pages."""

    def __init__(self, sandbox: Sandbox, reader: Reader) -> None:
        self._sandbox = sandbox
        self._reader = reader

    async def list(self, request: Request) -> Answer:
        words, live = request.query.get("q", ""), "live" in request.query
        before = _number(request.query.get("before"))
        found = await self._reader.newest_messages(before, _ON_A_PAGE + 1, words)
        page = pages.Listing(found[:_ON_A_PAGE], len(found) > _ON_A_PAGE, words, live, before is None)
        return asgi.html(pages.inbox(page, self._sandbox.ledger.tally, self._sandbox.open_connections))

    async def show(self, request: Request) -> Answer:
        stored = await self._reader.message(int(request.caught))
        raw = await self._reader.raw(int(request.caught))
        if stored is None or raw is None:
            return asgi.problem(404, "there is no such message")
        mail = await asyncio.to_thread(read_mail, raw)
        return asgi.html(pages.message(stored, mail, raw, request.query.get("view", "")))

    async def clear(self, _request: Request) -> Answer:
        await self._sandbox.clear()
        return Answer(303, "text/plain", b"", {"location": "/"})

    async def style(self, _request: Request) -> Answer:
        return Answer(200, "text/css", _STYLE)


class Api:
    """The calls tests and tools make."""

    def __init__(self, sandbox: Sandbox, reader: Reader) -> None:
        self._sandbox = sandbox
        self._reader = reader

    async def messages(self, request: Request) -> Answer:
        limit = _number(request.query.get("limit", "100"))
        after = _number(request.query.get("after", "0"))
        if limit is None or after is None or not 1 <= limit <= _MOST_AT_ONCE:
            return asgi.problem(
                400, f"limit is a number from 1 to {_MOST_AT_ONCE}, after is the `next` of a list"
            )
        found = await self._reader.messages_after(after, limit + 1, request.query.get("to"))
        following = found[limit - 1].id if len(found) > limit else None
        return asgi.json({"messages": [asdict(stored) for stored in found[:limit]], "next": following})

    async def message(self, request: Request) -> Answer:
        stored = await self._reader.message(int(request.caught))
        raw = await self._reader.raw(int(request.caught))
        if stored is None or raw is None:
            return asgi.problem(404, "there is no such message")
        mail = await asyncio.to_thread(read_mail, raw)
        return asgi.json(asdict(stored) | asdict(mail))

    async def raw(self, request: Request) -> Answer:
        raw = await self._reader.raw(int(request.caught))
        if raw is None:
            return asgi.problem(404, "there is no such message")
        name = f'attachment; filename="{request.caught}.eml"'
        return Answer(200, "message/rfc822", raw, {"content-disposition": name})

    async def counts(self, _request: Request) -> Answer:
        copies = await self._reader.copies()
        tally = self._sandbox.ledger.tally
        return asgi.json(
            {
                "accepted": tally.verdicts[ACCEPTED],
                "no_reply": tally.verdicts[NO_REPLY],
                "refused": {str(code): number for code, number in sorted(tally.refused.items())},
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

    async def clear(self, _request: Request) -> Answer:
        await self._sandbox.clear()
        return asgi.done()

    async def attempts(self, request: Request) -> Answer:
        since, period = _moment(request.query.get("since", "0")), request.query.get("per")
        stages = [request.query["stage"]] if "stage" in request.query else attempts.IN_TRANSACTION
        if since is None or (period is not None and period not in attempts.PERIODS):
            return asgi.problem(400, f"{_SINCE}, per is second or minute")
        found = await self._reader.attempts(since, request.query.get("domain"), stages)
        return asgi.json(attempts.counted(found, attempts.PERIODS[period]) if period else found)

    async def connections(self, request: Request) -> Answer:
        since = _moment(request.query.get("since", "0"))
        if since is None:
            return asgi.problem(400, _SINCE)
        return asgi.json(self._sandbox.connections.told(since))

    async def health(self, _request: Request) -> Answer:
        return asgi.json({"status": "ok"})


def _moment(written: str) -> float | None:
    return float(written) if _SECONDS.fullmatch(written) else None


def _number(written: str | None) -> int | None:
    return (
        int(written) if written and written.isascii() and written.isdecimal() and len(written) <= 18 else None
    )
