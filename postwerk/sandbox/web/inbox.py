"""The pages: the list, one entry of it, its HTML for the frame, its parts as files, and what deletes."""

from __future__ import annotations

import asyncio
import re
import time
from urllib.parse import quote, urlencode

from postwerk.sandbox.inbox_reader import InboxReader
from postwerk.sandbox.mail import Part, read_html, read_mail, read_part
from postwerk.sandbox.paging import Cursor, Page
from postwerk.sandbox.reference import Reference
from postwerk.sandbox.sandbox import Sandbox
from postwerk.sandbox.search import SearchError, read_search
from postwerk.sandbox.web import asgi
from postwerk.sandbox.web.asgi import Answer, Request
from postwerk.sandbox.web.guard import Guard
from postwerk.sandbox.web.list_page import Listing, list_page
from postwerk.sandbox.web.message_page import message_page, missing_page
from postwerk.sandbox.web.message_views import Shown

_ON_A_PAGE = 50
_NOT_PLAIN = re.compile(r"[^A-Za-z0-9 ._()+-]")
_NO_MESSAGE = "there is no such message"
_STALE = "this page is from before the sandbox was started again; load it anew"

# The mail's own styles and the pictures that came in it; no script, no form, nothing from the web. It stays a
# stranger to this site even where somebody opens it by itself.
_FRAME = {
    "content-security-policy": "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'self'",
    "x-frame-options": "SAMEORIGIN",
}
_NO_HTML = "<!doctype html><p>This mail has no HTML.</p>"


class Inbox:
    """What people look at."""

    def __init__(self, sandbox: Sandbox, reader: InboxReader, guard: Guard) -> None:
        self._sandbox = sandbox
        self._reader = reader
        self._guard = guard

    async def list(self, request: Request) -> Answer:
        words = request.query.get("q", "")
        before = Cursor.parse(request.query.get("before", "")) or Cursor()
        try:
            listing = await self._listing(words, before)
        except SearchError as error:
            listing = Listing(Page([], None), words, 0, True, (), error.message)
        ledger, connections = self._sandbox.ledger, self._sandbox.open_connections
        return asgi.html(list_page(listing, ledger.tally, connections, self._guard.token, time.time()))

    async def _listing(self, words: str, before: Cursor) -> Listing:
        terms = read_search(words)
        page = await self._reader.page(terms, before, _ON_A_PAGE)
        count = await self._reader.count(terms) if terms else None
        attached = await self._reader.with_attachments(page.entries)
        return Listing(page, words, count, before == Cursor(), attached)

    async def show(self, request: Request) -> Answer:
        reference, words = Reference.parse(request.caught), request.query.get("q", "")
        entry = await self._reader.entry(reference) if reference else None
        if entry is None:
            return asgi.html(missing_page(words), 404)
        try:
            terms = read_search(words)
        except SearchError:
            terms, words = [], ""
        raw = await self._reader.raw(entry.body_id) if entry.body_id else None
        newer, older = await self._reader.neighbours(entry, terms)
        shown = Shown(
            entry=entry,
            mail=None if raw is None else await asyncio.to_thread(read_mail, raw),
            raw=raw or b"",
            facts=await self._reader.facts(entry),
            tries=await self._reader.tries(entry.rcpt_to),
            newer=newer,
            older=older,
            words=words,
            token=self._guard.token,
        )
        return asgi.html(await asyncio.to_thread(message_page, shown, request.query.get("view", "")))

    async def html(self, request: Request) -> Answer:
        raw = await raw_of(self._reader, request.caught)
        if raw is None:
            return asgi.problem(404, _NO_MESSAGE)
        html = await asyncio.to_thread(read_html, raw)
        return Answer(200, "text/html; charset=utf-8", (html or _NO_HTML).encode("utf-8", "replace"), _FRAME)

    async def part(self, request: Request) -> Answer:
        number, part = request.parts
        raw = await raw_of(self._reader, number)
        found = await asyncio.to_thread(read_part, raw, int(part)) if raw is not None else None
        return _file(found) if found else asgi.problem(404, "there is no such part")

    async def clear(self, request: Request) -> Answer:
        """Everything, or what matches the search."""
        form = request.form
        if not self._guard.is_own_form(form):
            return asgi.problem(403, _STALE)
        try:
            terms = read_search(form.get("q", ""))
        except SearchError as error:
            return asgi.problem(400, error.message)
        if terms:
            await self._sandbox.ledger.delete(await self._reader.references(terms))
        else:
            await self._sandbox.clear()
        return _to_list(form.get("q", "") if terms else "")

    async def delete(self, request: Request) -> Answer:
        form, reference = request.form, Reference.parse(request.caught)
        if not self._guard.is_own_form(form):
            return asgi.problem(403, _STALE)
        if reference is not None:
            await self._sandbox.ledger.delete([reference])
        return _to_list(form.get("q", ""))


async def raw_of(reader: InboxReader, number: str) -> bytes | None:
    """The exact bytes of the mail with this number."""
    entry = await reader.entry(Reference("message", int(number)))
    return await reader.raw(entry.body_id) if entry else None


def _file(part: Part) -> Answer:
    """To be kept, never to be shown as a page of ours, whatever it says it is."""
    plain, encoded = _NOT_PLAIN.sub("_", part.name), quote(part.name, safe="")
    headers = {
        "content-disposition": f"attachment; filename=\"{plain}\"; filename*=UTF-8''{encoded}",
        "content-security-policy": "sandbox; default-src 'none'",
    }
    return Answer(200, part.kind, part.content, headers)


def _to_list(words: str) -> Answer:
    query = f"?{urlencode({'q': words})}" if words else ""
    return Answer(303, "text/plain", b"", {"location": f"/{query}"})
