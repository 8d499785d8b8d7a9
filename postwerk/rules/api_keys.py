"""What a key may be called, may hold, and may send from."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from postwerk.contracts.content import Content
from postwerk.contracts.keys import RIGHTS, Scope
from postwerk.errors import Forbidden, InvalidRequest
from postwerk.rules.addresses import parse_address
from postwerk.rules.durations import bounded_duration
from postwerk.rules.quotas import Quota

MOST_DOMAINS = 100
SHORTEST_LIFE, LONGEST_LIFE = timedelta(minutes=1), timedelta(days=3650)
LONGEST_GRACE = timedelta(days=90)
_NAME = re.compile(r"\w[\w .@:/+-]{0,59}")
_TAKEN = re.compile(r"(api|reply|evidence|session|anonymous|key_.*|pw_.*)", re.IGNORECASE)
"""How Postwerk itself signs, and how keys are named otherwise."""


def rights_of(scopes: Iterable[Scope]) -> frozenset[Scope]:
    """The scopes with those they bring along."""
    return frozenset[Scope]().union(*(RIGHTS[scope] for scope in scopes))


def read_name(text: str) -> str:
    """The key's name, which signs what is done with it. Raises InvalidRequest."""
    name = text.strip()
    if not _NAME.fullmatch(name) or _TAKEN.fullmatch(name):
        raise InvalidRequest(
            "A name has at most 60 letters, digits, spaces and . _ @ : / + -, and is none of ours "
            "(api, key_..., pw_...).",
            pointer="#/name",
            code="invalid_name",
        )
    return name


def read_scopes(given: Sequence[str]) -> tuple[Scope, ...]:
    """In the order of their weight, each once. Raises InvalidRequest."""
    known = {scope.value: scope for scope in Scope}
    for number, one in enumerate(given):
        if one not in known:
            raise InvalidRequest(
                f"There is no such scope; known are {', '.join(known)}.",
                pointer=f"#/scopes/{number}",
                code="unknown_scope",
            )
    if not given:
        raise InvalidRequest("Name at least one scope.", pointer="#/scopes", code="missing")
    return tuple(scope for scope in Scope if scope.value in given)


def read_domains(given: Sequence[str] | None) -> tuple[str, ...] | None:
    """A-labels in lower case; ".shop.example" stands for what is below it. None: any.

    Raises InvalidRequest.
    """
    if given is None:
        return None
    if not 1 <= len(given) <= MOST_DOMAINS:
        raise InvalidRequest(
            f"Name 1 to {MOST_DOMAINS} domains, or leave this out: any.",
            pointer="#/domains",
            code="out_of_range",
        )
    return tuple(dict.fromkeys(_domain(one, number) for number, one in enumerate(given)))


def _domain(text: str, number: int) -> str:
    bare = text.strip()
    parent = "." if bare.startswith(".") else ""
    try:
        return parent + parse_address(f"postmaster@{bare.removeprefix('.')}").rpartition("@")[2]
    except InvalidRequest as error:
        raise InvalidRequest(
            "This is no mail domain; write shop.example, or .shop.example for all below it.",
            pointer=f"#/domains/{number}",
            code="invalid_domain",
        ) from error


def read_quota(text: str | None) -> str:
    """As it is stored; empty: any number. Raises InvalidRequest."""
    return str(Quota.parse(text, pointer="#/quota")) if text else ""


def read_end(given: Any, now: datetime) -> datetime | None:
    """When a key ends: after a length of time such as "90d", or at a moment (RFC 3339). None: never.

    Raises InvalidRequest.
    """
    if given is None:
        return None
    moment = _moment(given)
    if moment is None:
        return now + bounded_duration(given, SHORTEST_LIFE, LONGEST_LIFE, pointer="#/expires")
    if not now < moment <= now + LONGEST_LIFE:
        raise InvalidRequest(
            "This must lie in the future, within ten years.", pointer="#/expires", code="out_of_range"
        )
    return moment


def _moment(given: Any) -> datetime | None:
    try:
        moment = datetime.fromisoformat(given)
    except (TypeError, ValueError):
        return None
    return moment if moment.tzinfo is not None else None


def read_grace(given: Any) -> timedelta:
    """How long the old key goes on beside the one that replaces it. Raises InvalidRequest."""
    return bounded_duration(given, timedelta(0), LONGEST_GRACE, pointer="#/grace")


def may_send_from(domains: Collection[str] | None, address: str) -> bool:
    """Whether a key with these domains may use the address.

    >>> may_send_from(("shop.example", ".shop.example"), "news@mail.shop.example")
    True
    """
    if domains is None:
        return True
    domain = address.rpartition("@")[2].lower()
    return any(domain.endswith(one) if one.startswith(".") else domain == one for one in domains)


def check_from(domains: Collection[str] | None, content: Content) -> None:
    """Raises Forbidden when the content's sender or return path is of a domain that the key may not use."""
    for pointer, address in (("#/from", content.sender.email), ("#/return_path", content.return_path)):
        if address and not may_send_from(domains, address):
            raise Forbidden(
                "This API key may not send from this domain.",
                pointer=pointer,
                code="from_domain_not_allowed",
            )
