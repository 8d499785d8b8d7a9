"""What an API key may do."""

from __future__ import annotations

from enum import StrEnum


class Scope(StrEnum):
    """A right that a key holds. None of them comes without its key: what a key has not is refused."""

    SEND = "send"
    """Make bulk sends, messages and templates; see and steer its own sends, not those of others."""
    READ = "read"
    """See everything but keys."""
    OPERATE = "operate"
    """See everything but keys; steer queue, lanes, suspensions, schedules and everybody's sends."""
    ADMIN = "admin"
    """Everything: keys, imports and deletions of the suppression list, and what the others may."""


RIGHTS: dict[Scope, frozenset[Scope]] = {
    Scope.SEND: frozenset({Scope.SEND}),
    Scope.READ: frozenset({Scope.READ}),
    Scope.OPERATE: frozenset({Scope.OPERATE, Scope.READ}),
    Scope.ADMIN: frozenset(Scope),
}
"""A scope with those it brings along: nobody steers what he cannot see."""
