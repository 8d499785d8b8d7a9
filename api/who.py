"""Who is behind a call, for the audit trail: the header Postwerk-User says it."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Header, Request

from postwerk.archive.audit import Actor
from postwerk.errors import InvalidRequest

LONGEST_NAME = 100


def _actor(postwerk_user: Annotated[str | None, Header()] = None) -> Actor:
    """Raises InvalidRequest for a name that cannot be shown."""
    name = _as_utf8((postwerk_user or "").strip())
    if len(name) > LONGEST_NAME or not name.isprintable():
        raise InvalidRequest(
            f"Name the person behind the call in at most {LONGEST_NAME} printable characters.",
            pointer="Postwerk-User",
            code="invalid_text",
        )
    return Actor(by=name or "api")


def _as_utf8(header: str) -> str:
    """Header fields are bytes that the server reads as Latin-1; who writes Zoë means UTF-8."""
    try:
        return header.encode("latin-1").decode()
    except UnicodeError:
        return header


By = Annotated[Actor, Depends(_actor)]


def owner_of(request: Request) -> str:
    """Id of the API key that the call came with; empty without one."""
    return str(request.scope.get("state", {}).get("owner", ""))
