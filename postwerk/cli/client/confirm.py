"""Asking before something that cannot be taken back."""

from __future__ import annotations

import sys

from postwerk.cli.client.errors import Misused
from postwerk.cli.client.terminal import safe


def can_ask() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


def confirmed(question: str) -> bool:
    """Whether the person at the terminal says yes. Raises Misused when there is no terminal."""
    if not can_ask():
        raise Misused("There is no terminal to ask at; say --yes, or look first with --dry-run.")
    print(f"{safe(question)} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")
