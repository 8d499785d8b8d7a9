"""Why a command ends without having done it, each with its exit code.

CommandFailed               1  what was asked for ended badly
├── Misused                 2  the command line does not make sense
├── Unreachable             3  no API answers
│   ├── NoAnswer            3  it was asked, and the connection broke before it answered
│   └── OtherVersion        3  its answers are not those this command knows
└── Refused                 4  the API said no
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from postwerk.errors import PostwerkError

INTERRUPTED = 130
"""As shells count it: ended by Ctrl-C."""


class CommandFailed(PostwerkError):
    """What was asked for ended badly."""

    exit_code = 1


class Misused(CommandFailed):
    """The command line does not make sense; --help shows what does."""

    exit_code = 2


class Unreachable(CommandFailed):
    """No API answers; start one, or name it with --api or POSTWERK_API_URL."""

    exit_code = 3


class NoAnswer(Unreachable):
    """The connection broke before the API answered: whether it did what was asked is not known."""


class OtherVersion(Unreachable):
    """The API is of another version than this command."""


class Refused(CommandFailed):
    """The API said no; `status` is its HTTP status, `problem` its problem document (RFC 9457)."""

    exit_code = 4

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        super().__init__(_one_line(status, problem))
        self.status = status
        self.problem = problem

    @property
    def code(self) -> str:
        return str(self.problem.get("code", ""))


_MOST_NAMED = 3


def _one_line(status: int, problem: Mapping[str, Any]) -> str:
    """ "Some fields cannot be taken. (#/rate: write 100/s)"; nothing is said twice."""
    detail = str(problem.get("detail") or problem.get("title") or f"The API answered {status}.")
    named = [entry for entry in problem.get("errors") or () if isinstance(entry, Mapping)]
    told = [_place(entry, detail) for entry in named[:_MOST_NAMED]]
    if len(named) > _MOST_NAMED:
        told.append(f"and {len(named) - _MOST_NAMED} more")
    return f"{detail} ({'; '.join(told)})" if told else detail


def _place(entry: Mapping[str, Any], detail: str) -> str:
    said = str(entry.get("detail", ""))
    pointer = str(entry.get("pointer", "#"))
    return pointer if said == detail else f"{pointer}: {said}"
