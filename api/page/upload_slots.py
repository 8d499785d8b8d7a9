"""So many large bodies at once for everybody who comes to the page, as the API's gate allows them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from api.call_limits import is_large
from api.page.visit import Visit
from api.who import owner_of
from postwerk.errors import QuotaExceeded

_SECONDS = 5


@contextmanager
def upload_slot(visit: Visit) -> Iterator[None]:
    """While this is open. Raises QuotaExceeded."""
    if not is_large(visit.request.headers):
        yield
        return
    client, uploads = visit.request.client, visit.parts.uploads
    who = owner_of(visit.request) or f"peer {client.host if client else ''}"
    if not uploads.enter(who):
        words = "You are sending too many large files at once; wait until one is through."
        raise QuotaExceeded(words, retry_after=_SECONDS)
    try:
        yield
    finally:
        uploads.leave(who)
