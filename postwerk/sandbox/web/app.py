"""The HTTP door: which path is answered by whom."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from importlib.resources import files

from postwerk.sandbox.inbox_reader import InboxReader
from postwerk.sandbox.reader import Reader
from postwerk.sandbox.reference import PATTERN
from postwerk.sandbox.sandbox import Sandbox
from postwerk.sandbox.web.api import Api
from postwerk.sandbox.web.asgi import Answer, App, Request, Route
from postwerk.sandbox.web.counts_api import CountsApi
from postwerk.sandbox.web.events import Events
from postwerk.sandbox.web.guard import Guard
from postwerk.sandbox.web.inbox import Inbox
from postwerk.sandbox.web.rules_api import RulesApi

_KINDS = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}
_ENTRY = rf"({PATTERN})"
_MAIL = r"(\d{1,18})"


def web_app(sandbox: Sandbox, reader: Reader, inbox_reader: InboxReader) -> App:
    """All pages and calls over one sandbox."""
    guard = Guard(sandbox.config.http_names)
    inbox, api = Inbox(sandbox, inbox_reader, guard), Api(sandbox, reader, inbox_reader)
    counts, rules, events = CountsApi(sandbox, reader), RulesApi(sandbox.domains), Events(sandbox)

    def route(method: str, path: str, answer: Callable[[Request], Awaitable[Answer]]) -> Route:
        async def answer_when_written(request: Request) -> Answer:
            # Who was refused a moment ago and asks here must find it: a refusal is not waited for, a 250 is.
            await sandbox.ledger.flush()
            return await answer(request)

        return Route(method, re.compile(path, re.ASCII), answer_when_written)

    return App(
        [
            route("GET", r"/", inbox.list),
            route("POST", r"/clear", inbox.clear),
            route("GET", rf"/messages/{_ENTRY}", inbox.show),
            route("POST", rf"/messages/{_ENTRY}/delete", inbox.delete),
            route("GET", rf"/messages/{_MAIL}/html", inbox.html),
            route("GET", rf"/messages/{_MAIL}/parts/(\d{{1,4}})", inbox.part),
            route("GET", r"/api/messages", api.messages),
            route("DELETE", r"/api/messages", api.clear),
            route("GET", rf"/api/messages/{_ENTRY}", api.message),
            route("DELETE", rf"/api/messages/{_ENTRY}", api.delete),
            route("GET", rf"/api/messages/{_MAIL}/raw", api.raw),
            route("GET", rf"/api/messages/{_MAIL}/text", api.text),
            route("GET", rf"/api/messages/{_MAIL}/html", inbox.html),
            route("GET", rf"/api/messages/{_MAIL}/headers", api.headers),
            route("GET", rf"/api/messages/{_MAIL}/parts/(\d{{1,4}})", inbox.part),
            route("GET", r"/api/events", events.stream),
            route("GET", r"/api/counts", counts.counts),
            route("GET", r"/api/recipients", counts.recipients),
            route("GET", r"/api/recipients/([^/]+)", counts.recipient),
            route("GET", r"/api/attempts", counts.attempts),
            route("GET", r"/api/connections", counts.connections),
            route("GET", r"/api/domains", rules.list),
            route("DELETE", r"/api/domains", rules.clear),
            route("GET", r"/api/domains/presets", rules.presets),
            route("PUT", r"/api/domains/([^/]+)", rules.set),
            route("DELETE", r"/api/domains/([^/]+)", rules.remove),
            route("GET", r"/healthz", counts.health),
            *_static_routes(),
        ],
        guard,
    )


def _static_routes() -> list[Route]:
    """Our own script, style and picture; read once, when the door is built."""
    folder = files("postwerk.sandbox.web").joinpath("static")
    ours = ((file, _KINDS.get(file.name.rpartition(".")[2])) for file in folder.iterdir())
    return [_static_route(file.name, kind, file.read_bytes()) for file, kind in ours if kind]


def _static_route(name: str, kind: str, content: bytes) -> Route:
    async def answer(_request: Request) -> Answer:
        return Answer(200, kind, content)

    return Route("GET", re.compile(re.escape(f"/static/{name}")), answer)
