"""For whom a part is rendered: somebody who looks, or all who look at the same."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Protocol

from postwerk.contracts.keys import Scope

ANYBODY = f"token-{secrets.token_hex(16)}"
"""Stands in live parts where each tab's own token goes."""


class Viewer(Protocol):
    """What a template asks of whom it is rendered for."""

    @property
    def token(self) -> str: ...

    def may(self, scope: str) -> bool: ...


@dataclass(frozen=True, slots=True)
class Anybody:
    """All who have these rights."""

    scopes: frozenset[Scope]
    token: str = ANYBODY

    def may(self, scope: str) -> bool:
        return Scope(scope) in self.scopes


def for_one(html: str, token: str) -> str:
    """A part as this tab gets it."""
    return html.replace(ANYBODY, token)
