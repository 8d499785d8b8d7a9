"""Which scope each address of the page needs: the same rule as for the API's calls (api/access.py)."""

from __future__ import annotations

import re
from typing import NamedTuple

from api.access import Need
from api.who import Caller
from postwerk.contracts.keys import Scope
from postwerk.contracts.queue import Verb

SEND, READ, OPERATE, ADMIN = Scope.SEND, Scope.READ, Scope.OPERATE, Scope.ADMIN

_PUBLIC = ("GET /login", "POST /login", "POST /logout", "GET /static/{}")
_READ = ("GET /", "GET /live")
_READ_OR_OWN = ("GET /sends/{}", "GET /live/sends/{}")
_SEND: tuple[str, ...] = ("GET /sends/new", "POST /sends/new")
_ADMIN_OR_OWN = (
    "GET /sends/{}/draft/content",
    "POST /sends/{}/draft/content",
    "GET /sends/{}/draft/recipients",
    "POST /sends/{}/draft/recipients",
    "GET /sends/{}/draft/columns",
    "POST /sends/{}/draft/columns",
    "GET /sends/{}/draft/refused",
    "POST /sends/{}/draft/drop",
)
"""As the API's /recipients: in somebody else's draft one would write in somebody else's name."""
_OPERATE = ("POST /lanes/suspend", "POST /lanes/resume")
_OPERATE_OR_OWN = (
    "POST /sends/{}/pause",
    "POST /sends/{}/resume",
    "GET /sends/{}/cancel",
    "POST /sends/{}/cancel",
    "GET /sends/{}/rate",
    "POST /sends/{}/rate",
    "GET /sends/{}/retry-failed",
    "POST /sends/{}/retry-failed",
    "GET /sends/{}/draft",
    "GET /sends/{}/draft/preview",
    "GET /sends/{}/draft/sample",
    "POST /sends/{}/draft/test",
    "GET /sends/{}/draft/start",
    "POST /sends/{}/draft/start",
)
# The queue and its messages.
_QUEUE_READ = (
    "GET /queue",
    "GET /live/queue",
    "GET /operations",
    "GET /audit",
    "GET /suppressions",
    "GET /events",
    "GET /live/events",
)
_QUEUE_READ_OR_OWN = (
    "GET /messages/{}",
    "GET /live/messages/{}",
    "GET /messages/{}/html",
    "GET /messages/{}/raw",
    "GET /operations/{}",
    "GET /live/operations/{}",
)
_QUEUE_OPERATE = ("POST /queue/confirm", "POST /queue/do", "POST /suppressions")
_QUEUE_OPERATE_OR_OWN = tuple(f"POST /messages/{{}}/{verb}" for verb in Verb if verb is not Verb.RETRY_FAILED)
_QUEUE_ADMIN = ("POST /suppressions/remove",)
NEEDS: dict[str, Need] = {
    **dict.fromkeys(_PUBLIC, Need(public=True)),
    **dict.fromkeys(_READ, Need((READ,))),
    **dict.fromkeys(_READ_OR_OWN, Need((READ,), own=True)),
    **dict.fromkeys(_SEND, Need((SEND,))),
    **dict.fromkeys(_OPERATE, Need((OPERATE,))),
    **dict.fromkeys(_OPERATE_OR_OWN, Need((OPERATE,), own=True)),
    **dict.fromkeys(_ADMIN_OR_OWN, Need((ADMIN,), own=True)),
    **dict.fromkeys(_QUEUE_READ, Need((READ,))),
    **dict.fromkeys(_QUEUE_READ_OR_OWN, Need((READ,), own=True)),
    **dict.fromkeys(_QUEUE_OPERATE, Need((OPERATE,))),
    **dict.fromkeys(_QUEUE_OPERATE_OR_OWN, Need((OPERATE,), own=True)),
    **dict.fromkeys(_QUEUE_ADMIN, Need((ADMIN,))),
}
"""By method and path; `{}` stands for a parameter of any name."""
FORGOTTEN = Need((ADMIN,))
"""An address that nobody thought about (a test finds it)."""
_PARAMETER = re.compile(r"\{[^}]*\}")


def need_of(method: str, path: str) -> Need | None:
    """What an address needs by its path with named parameters; None: it is not in the table."""
    return NEEDS.get(f"{method} {_PARAMETER.sub('{}', path)}")


class Place(NamedTuple):
    """A place that the page's head leads to."""

    path: str
    words: str


_PLACES = (
    Place("/", "Overview"),
    Place("/queue", "Queue"),
    Place("/sends/new", "New send"),
    Place("/events", "Events"),
    Place("/operations", "Operations"),
    Place("/suppressions", "Suppressions"),
    Place("/audit", "Audit"),
)


def places_for(caller: Caller | None) -> list[Place]:
    """Those that this caller may see."""
    scopes = caller.scopes if caller else frozenset()
    needs = ((place, NEEDS.get(f"GET {place.path}")) for place in _PLACES)
    return [place for place, need in needs if need is not None and scopes & set(need.scopes)]
