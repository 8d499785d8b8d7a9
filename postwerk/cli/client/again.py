"""Calls that may be made again: with an Idempotency-Key whatever is made, is made once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TypeVar
from uuid import uuid4

from postwerk.cli.client.errors import CommandFailed, Misused, NoAnswer, Refused, Unreachable
from postwerk.cli.client.terminal import safe, say

T = TypeVar("T")

WAITS_SECONDS = (0.5, 1.0, 2.0, 4.0, 8.0)
LONGEST_KEY = 200
"""Characters: what belongs to its parts is added to it."""
_AWAY = 503
_IN_PROGRESS = "idempotency_in_progress"


def key_of(given: str | None) -> str:
    """The key of this invocation: the one that was given, or a fresh one. Raises Misused."""
    if given is None:
        return f"cli-{uuid4()}"
    if not 0 < len(given) <= LONGEST_KEY or not all("!" <= letter <= "~" for letter in given):
        raise Misused(f"--idempotency-key: 1 to {LONGEST_KEY} visible ASCII characters.")
    return given


def until_answered(call: Callable[[], T]) -> T:
    """Make the call again while nobody knows whether it was heard; where nobody listens it fails at once."""
    was_asked = False
    for wait in _waits():
        try:
            return call()
        except Unreachable as error:
            was_asked |= isinstance(error, NoAnswer)
            _wait_or_raise(error, wait if was_asked else None)
        except Refused as error:
            passing = error.status == _AWAY or error.code == _IN_PROGRESS
            _wait_or_raise(error, wait if passing else None)
    raise AssertionError("the last wait raises")


def _waits() -> Iterator[float | None]:
    yield from WAITS_SECONDS
    yield None


def _wait_or_raise(error: CommandFailed, wait: float | None) -> None:
    if wait is None:
        raise error
    say(f"{safe(error)} Again in {wait:g} s.")
    time.sleep(wait)
