"""The calls about mails: what the pages show, as JSON and as bytes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from postwerk.sandbox.conversations import Facts, Try
from postwerk.sandbox.inbox_reader import InboxReader
from postwerk.sandbox.mail import read_mail
from postwerk.sandbox.mail_headers import read_headers
from postwerk.sandbox.paging import Cursor
from postwerk.sandbox.reader import Reader
from postwerk.sandbox.reference import Reference
from postwerk.sandbox.sandbox import Sandbox
from postwerk.sandbox.search import SearchError, read_search
from postwerk.sandbox.web import asgi
from postwerk.sandbox.web.asgi import Answer, Request
from postwerk.sandbox.web.inbox import raw_of
from postwerk.sandbox.web.numbers import read_number

_MOST_AT_ONCE = 1000
_NO_MESSAGE = "there is no such message"


class Api:
    """Mails, read and deleted."""

    def __init__(self, sandbox: Sandbox, reader: Reader, inbox: InboxReader) -> None:
        self._sandbox = sandbox
        self._reader = reader
        self._inbox = inbox

    async def messages(self, request: Request) -> Answer:
        """With `query` what the inbox shows, newest first; without it the mails as they came."""
        limit = read_number(request.query.get("limit", "100"))
        if limit is None or not 1 <= limit <= _MOST_AT_ONCE:
            return asgi.problem(400, f"limit: must be a number from 1 to {_MOST_AT_ONCE}")
        if "query" in request.query:
            return await self._found(request.query["query"], request.query.get("before"), limit)
        after = read_number(request.query.get("after", "0"))
        if after is None:
            return asgi.problem(400, "after: must be the `next` of a list")
        found = await self._reader.messages_after(after, limit + 1, request.query.get("to"))
        following = found[limit - 1].id if len(found) > limit else None
        return asgi.json({"messages": [asdict(stored) for stored in found[:limit]], "next": following})

    async def _found(self, query: str, written: str | None, limit: int) -> Answer:
        before = Cursor() if written is None else Cursor.parse(written)
        if before is None:
            return asgi.problem(400, "before: must be the `next` of a list")
        try:
            terms = read_search(query)
        except SearchError as error:
            return asgi.problem(400, error.message)
        page = await self._inbox.page(terms, before, limit)
        return asgi.json(
            {
                "messages": [entry.told() for entry in page.entries],
                "next": str(page.following) if page.following else None,
                "complete": page.complete,
                "count": await self._inbox.count(terms),
            }
        )

    async def message(self, request: Request) -> Answer:
        reference = Reference.parse(request.caught)
        entry = await self._inbox.entry(reference) if reference else None
        if entry is None:
            return asgi.problem(404, _NO_MESSAGE)
        raw = await self._inbox.raw(entry.body_id) if entry.body_id else None
        mail = asdict(await asyncio.to_thread(read_mail, raw)) if raw is not None else {}
        facts, tries = await self._inbox.facts(entry), await self._inbox.tries(entry.rcpt_to)
        return asgi.json(entry.told() | mail | _around(facts, tries))

    async def raw(self, request: Request) -> Answer:
        raw = await raw_of(self._inbox, request.caught)
        if raw is None:
            return asgi.problem(404, _NO_MESSAGE)
        name = f'attachment; filename="{request.caught}.eml"'
        return Answer(200, "message/rfc822", raw, {"content-disposition": name})

    async def text(self, request: Request) -> Answer:
        raw = await raw_of(self._inbox, request.caught)
        mail = await asyncio.to_thread(read_mail, raw) if raw is not None else None
        if mail is None or mail.text is None:
            return asgi.problem(404, "there is no such message, or no text in it")
        return Answer(200, "text/plain; charset=utf-8", mail.text.encode("utf-8", "replace"))

    async def headers(self, request: Request) -> Answer:
        raw = await raw_of(self._inbox, request.caught)
        if raw is None:
            return asgi.problem(404, _NO_MESSAGE)
        fields = await asyncio.to_thread(read_headers, raw)
        return asgi.json([{"name": name, "value": value, "raw": came} for name, value, came in fields])

    async def clear(self, request: Request) -> Answer:
        """Everything; with `query` what matches. A parameter that is none of ours deletes nothing."""
        if request.query.keys() - {"query"}:
            return asgi.problem(400, "query: is the only parameter that deletes by; see docs/sandbox.md")
        try:
            terms = read_search(request.query.get("query", ""))
        except SearchError as error:
            return asgi.problem(400, error.message)
        if "query" not in request.query:
            await self._sandbox.clear()
        elif terms:
            await self._sandbox.ledger.delete(await self._inbox.references(terms))
        else:
            return asgi.problem(400, "query: is empty; leave it out to delete everything")
        return asgi.done()

    async def delete(self, request: Request) -> Answer:
        reference = Reference.parse(request.caught)
        if reference is None or not await self._sandbox.ledger.delete([reference]):
            return asgi.problem(404, _NO_MESSAGE)
        return asgi.done()


def _around(facts: Facts, tries: Sequence[Try]) -> dict[str, Any]:
    return {
        "client": facts.client,
        "greeting": facts.said,
        "login": facts.login,
        "tls": None,
        "others": [{"id": number, "rcpt_to": to} for number, to in facts.others],
        "tries": [
            {
                "ref": str(one.reference),
                "at": one.at,
                "attempt": one.attempt,
                "stage": one.stage,
                "code": one.code,
                "text": one.text,
            }
            for one in tries
        ],
    }
