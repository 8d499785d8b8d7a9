"""Which scope each call needs: the one table of it, and the guard that holds every call to it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from fastapi import Request

from api.dependencies import UseParts
from api.errors import MissingScope
from api.ownership import check_own
from api.who import Caller, caller_of
from postwerk.archive.engine import Archive
from postwerk.contracts.keys import Scope
from postwerk.errors import Forbidden

SEND, READ, OPERATE, ADMIN = Scope.SEND, Scope.READ, Scope.OPERATE, Scope.ADMIN


@dataclass(frozen=True, slots=True)
class Need:
    """Any of these scopes; none named: any key will do."""

    scopes: tuple[Scope, ...] = ()
    own: bool = False
    """The scope `send` is enough for what the key itself has sent; anything else is not there for it."""
    public: bool = False
    """Not even a key."""


_PUBLIC = ("GET /healthz", "GET /readyz", "GET /u/{}", "HEAD /u/{}", "POST /u/{}")
_ANY_KEY = ("GET /v1/version",)
_SEND = (
    "POST /v1/bulk-sends",
    "POST /v1/messages",
    "POST /v1/render",
    "PUT /v1/attachments",
    "PUT /v1/templates/{}",
    "POST /v1/templates/{}",
    "DELETE /v1/templates/{}",
)
_SEND_OR_READ = (
    "GET /v1/templates",
    "GET /v1/templates/{}",
    "GET /v1/templates/{}/versions",
    "POST /v1/templates/{}/render",
    "GET /v1/attachments/{}",
    "GET /v1/domains/{}/check",
)
_READ = (
    "GET /metrics",
    "GET /v1/queue/messages",
    "GET /v1/queue/count",
    "GET /v1/queue/summary",
    "GET /v1/operations",
    "GET /v1/lanes",
    "GET /v1/lanes/{}",
    "GET /v1/relay",
    "GET /v1/suspensions",
    "GET /v1/suspensions/{}",
    "GET /v1/suppressions",
    "GET /v1/suppressions/{}",
    "GET /v1/audit",
    "GET /v1/schedules",
    "GET /v1/schedules/{}",
    "GET /v1/inbound",
    "GET /v1/inbound/{}",
    "GET /v1/inbound/{}/raw",
)
_READ_OR_OWN = (
    "GET /v1/bulk-sends",
    "GET /v1/bulk-sends/{}",
    "GET /v1/bulk-sends/{}/messages",
    "GET /v1/bulk-sends/{}/events",
    "GET /v1/bulk-sends/{}/events/stream",
    "GET /v1/events",
    "GET /v1/events/stream",
    "GET /v1/messages",
    "GET /v1/messages/{}",
    "GET /v1/messages/{}/content",
    "GET /v1/operations/{}",
)
_ADMIN_OR_OWN = (
    "POST /v1/bulk-sends/{}/recipients",
    "POST /v1/webhooks",
    "GET /v1/webhooks",
    "GET /v1/webhooks/{}",
    "PATCH /v1/webhooks/{}",
    "DELETE /v1/webhooks/{}",
    "POST /v1/webhooks/{}/enable",
    "POST /v1/webhooks/{}/disable",
    "POST /v1/webhooks/{}/rotate-secret",
    "POST /v1/webhooks/{}/test",
    "POST /v1/webhooks/{}/replay",
    "GET /v1/webhooks/{}/deliveries",
)
"""Recipients of somebody else's send would get mail from somebody else's domain; and whoever may read what
happens may not have it sent anywhere."""
_OPERATE_OR_OWN = (
    "PATCH /v1/bulk-sends/{}",
    "POST /v1/bulk-sends/{}/start",
    "POST /v1/bulk-sends/{}/cancel",
    "POST /v1/bulk-sends/{}/pause",
    "POST /v1/bulk-sends/{}/resume",
    "POST /v1/bulk-sends/{}/retry",
    "POST /v1/bulk-sends/{}/hold",
    "POST /v1/bulk-sends/{}/release",
    "POST /v1/bulk-sends/{}/expire",
    "POST /v1/bulk-sends/{}/retry-failed",
    "POST /v1/bulk-sends/{}/test",
    "POST /v1/messages/{}/retry",
    "POST /v1/messages/{}/hold",
    "POST /v1/messages/{}/release",
    "POST /v1/messages/{}/cancel",
    "POST /v1/messages/{}/expire",
)
_OPERATE = (
    "POST /v1/queue/retry",
    "POST /v1/queue/hold",
    "POST /v1/queue/release",
    "POST /v1/queue/cancel",
    "POST /v1/queue/expire",
    "PUT /v1/lanes/{}",
    "PUT /v1/relay",
    "POST /v1/suspensions",
    "DELETE /v1/suspensions/{}",
    "POST /v1/suppressions",
    "POST /v1/schedules",
    "PATCH /v1/schedules/{}",
    "DELETE /v1/schedules/{}",
    "POST /v1/schedules/{}/pause",
    "POST /v1/schedules/{}/resume",
    "POST /v1/schedules/{}/trigger",
)
_ADMIN = (
    "DELETE /v1/suppressions/{}",
    "POST /v1/inbound",
    "POST /v1/api-keys",
    "GET /v1/api-keys",
    "GET /v1/api-keys/{}",
    "PATCH /v1/api-keys/{}",
    "DELETE /v1/api-keys/{}",
    "POST /v1/api-keys/{}/rotate",
)
NEEDS: dict[str, Need] = {
    **dict.fromkeys(_PUBLIC, Need(public=True)),
    **dict.fromkeys(_ANY_KEY, Need()),
    **dict.fromkeys(_SEND, Need((SEND,))),
    **dict.fromkeys(_SEND_OR_READ, Need((READ, SEND))),
    **dict.fromkeys(_READ, Need((READ,))),
    **dict.fromkeys(_READ_OR_OWN, Need((READ,), own=True)),
    **dict.fromkeys(_OPERATE_OR_OWN, Need((OPERATE,), own=True)),
    **dict.fromkeys(_ADMIN_OR_OWN, Need((ADMIN,), own=True)),
    **dict.fromkeys(_OPERATE, Need((OPERATE,))),
    **dict.fromkeys(_ADMIN, Need((ADMIN,))),
}
"""What each call needs, by method and path; `{}` stands for a parameter of any name."""
_FORGOTTEN = Need((ADMIN,))
"""A call that nobody thought about (a test finds it)."""
_PARAMETER = re.compile(r"\{[^}]*\}")
_PUBLIC_PATHS = [
    (method, re.compile(re.escape(path).replace(r"\{\}", "[^/]+")))
    for method, _, path in (call.partition(" ") for call in _PUBLIC)
]


def need_of(method: str, path: str) -> Need | None:
    """What a call needs by its path with named parameters; None: it is not in the table."""
    return NEEDS.get(f"{method} {_PARAMETER.sub('{}', path)}")


def is_public(method: str, path: str) -> bool:
    """Whether a path as it was called needs no key."""
    return any(method == one and pattern.fullmatch(path) for one, pattern in _PUBLIC_PATHS)


async def guard(request: Request, parts: UseParts) -> None:
    """For every route: whether this caller may. Raises MissingScope, NotFound for what is not its own."""
    need = need_of(request.method, request.scope["route"].path) or _FORGOTTEN
    await check(request, parts.archive, need)


async def check(request: Request, archive: Archive, need: Need) -> None:
    """Raises as above."""
    caller = caller_of(request)
    if need.public or not need.scopes or caller.scopes & set(need.scopes):
        return
    if not (need.own and SEND in caller.scopes):
        raise MissingScope(need.scopes[0])
    try:
        await check_own(request, archive, caller.owner)
    except Forbidden:
        raise MissingScope(need.scopes[0]) from None
    request.state.only_own = True


def shown_to(request: Request) -> str | None:
    """The owner whose things alone this call may list; None: everybody's."""
    return caller_of(request).owner if getattr(request.state, "only_own", False) else None


def demand(request: Request, scope: Scope) -> None:
    """For the part of a call that needs more than the call. Raises MissingScope."""
    caller: Caller = caller_of(request)
    if scope not in caller.scopes:
        raise MissingScope(scope)
