"""Who is behind a call: whose key it came with, what that may do, and how it signs the audit trail."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header, Request

from postwerk.archive.api_keys import ApiKey
from postwerk.archive.audit import Actor
from postwerk.contracts.keys import Scope
from postwerk.errors import InvalidRequest

LONGEST_NAME = 100
_MAY_SPEAK_FOR_OTHERS = {Scope.OPERATE, Scope.ADMIN}


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever calls: by a key, or without one from this machine as long as that is allowed."""

    owner: str = ""
    """Under which its sends stand; empty without a key. A key and its successor have the same."""
    scopes: frozenset[Scope] = frozenset(Scope)
    """What it may do, with what its scopes bring along."""
    domains: tuple[str, ...] | None = None
    """From domains that it may use; None: any."""
    quota: str = ""
    """As "10000/d"; empty: any number."""
    name: str = ""
    """The key's; empty without one."""

    @classmethod
    def with_key(cls, key: ApiKey) -> Caller:
        return cls(key.owner, key.rights, key.domains, key.quota, key.name)

    def signed(self, person: str) -> str:
        """How what it does is signed; `person` is whom it names, if anybody.

        A key that may only send or read signs with its own name, whatever it says.
        """
        if not self.name:
            return person or "api"
        if person and self.scopes & _MAY_SPEAK_FOR_OTHERS:
            return f"{self.name} ({person})"
        return self.name


def caller_of(request: Request) -> Caller:
    """As the gate found it; a call that came past the gate has no rights at all."""
    caller = request.scope.get("state", {}).get("caller")
    return caller if isinstance(caller, Caller) else Caller(scopes=frozenset())


def owner_of(request: Request) -> str:
    """Under whom what this call makes is stored; empty without an API key."""
    return caller_of(request).owner


def _actor(request: Request, postwerk_user: Annotated[str | None, Header()] = None) -> Actor:
    """Raises InvalidRequest for a name that cannot be shown."""
    name = _as_utf8((postwerk_user or "").strip())
    if len(name) > LONGEST_NAME or not name.isprintable():
        raise InvalidRequest(
            f"Name the person behind the call in at most {LONGEST_NAME} printable characters.",
            pointer="Postwerk-User",
            code="invalid_text",
        )
    return Actor(by=caller_of(request).signed(name))


def _as_utf8(header: str) -> str:
    """Header fields are bytes that the server reads as Latin-1; who writes Zoë means UTF-8."""
    try:
        return header.encode("latin-1").decode()
    except UnicodeError:
        return header


By = Annotated[Actor, Depends(_actor)]
WhoCalls = Annotated[Caller, Depends(caller_of)]
