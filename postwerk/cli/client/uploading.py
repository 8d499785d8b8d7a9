"""Sending a list part by part. A part that got no answer is sent again: who is there already counts once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from postwerk.cli.client.errors import CommandFailed, Refused, Unreachable
from postwerk.cli.client.http import Api
from postwerk.cli.client.lists import List, Part
from postwerk.cli.client.progress import LiveLines
from postwerk.cli.client.terminal import safe, say

_WAITS_SECONDS = (1.0, 2.0, 4.0, 8.0, 16.0)
_AWAY = 503
_IN_PROGRESS = "idempotency_in_progress"
"""The API that was killed in the middle of a part: another takes it over in some seconds."""
_MOST_ERRORS = 1000
_MOST_SHOWN = 20
_SHOWN = ("accepted", "rejected", "duplicates", "added", "known")


@dataclass(slots=True)
class Uploaded:
    """What the API said of all parts; `errors` are the first 1,000 rows it did not take."""

    numbers: dict[str, int] = field(default_factory=dict)
    """Its counters, such as `accepted` and `rejected`, added up."""
    errors: list[dict[str, Any]] = field(default_factory=list)
    errors_truncated: bool = False

    def add(self, name: str, part: Part, answer: dict[str, Any]) -> None:
        for counter, value in answer.items():
            if isinstance(value, int) and not isinstance(value, bool):
                self.numbers[counter] = self.numbers.get(counter, 0) + value
        found = [{**row, "row": row["row"] + part.rows_before, "list": name} for row in answer["errors"]]
        self.errors_truncated |= answer["errors_truncated"] or len(self.errors) + len(found) > _MOST_ERRORS
        self.errors = (self.errors + found)[:_MOST_ERRORS]


def upload(
    api: Api, path: str, given: List, total: Uploaded, sleep: Callable[[float], None], key: str = ""
) -> None:
    """Every part of the list to `path`. Raises Refused, naming the row of the list where it broke off.

    `key`: beginning of the Idempotency-Keys of its parts; without one they have none.
    """
    sent = 0
    with LiveLines() as live:
        for number, part in enumerate(given.parts(), 1):
            answer = _sent(api, path, given, part, sleep, f"{key}.{number}" if key else "")
            total.add(given.name, part, answer)
            sent += len(part.body)
            live.show([f"{safe(given.name)}: {sent / 1e6:,.1f} MB, {_words(total.numbers)}"])


def _words(numbers: dict[str, int]) -> str:
    return ", ".join(f"{value:,} {name}" for name, value in numbers.items() if name in _SHOWN)


def _sent(
    api: Api, path: str, given: List, part: Part, sleep: Callable[[float], None], key: str
) -> dict[str, Any]:
    for wait in _waits():
        try:
            return dict(api.upload(path, part.body, part.media_type, key))
        except Unreachable as error:
            _wait_or_raise(error, wait, sleep)
        except Refused as error:
            if error.status != _AWAY and error.code != _IN_PROGRESS:
                raise _placed(error, given, part) from error
            _wait_or_raise(error, wait, sleep)
    raise AssertionError("the last wait raises")


def _waits() -> Iterator[float | None]:
    yield from _WAITS_SECONDS
    yield None


def _wait_or_raise(error: CommandFailed, wait: float | None, sleep: Callable[[float], None]) -> None:
    if wait is None:
        raise error
    say(f"{safe(error)} Again in {wait:g} s.")
    sleep(wait)


def _placed(error: Refused, given: List, part: Part) -> Refused:
    """The same, with the row of the list instead of the part's."""
    row = error.problem.get("stopped_at_row")
    if not isinstance(row, int):
        return error
    place = f"{given.name}, row {row + part.rows_before}"
    return Refused(error.status, {**error.problem, "detail": f"{place}: {error.problem['detail']}"})


def tell_refused(total: Uploaded) -> None:
    """The first rows that were not taken, on stderr."""
    for row in total.errors[:_MOST_SHOWN]:
        who = row.get("to", row.get("address", ""))
        say(f"{safe(row['list'])}, row {row['row']}: {safe(who)}: {safe(row['detail'])}")
    if len(total.errors) > _MOST_SHOWN or total.errors_truncated:
        say("... and more (--json names the first 1,000).")
