"""A new deadline for a bulk send that is there already."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from api.taking.request import SHORTEST_DEADLINE
from postwerk.archive.reads import BulkSend
from postwerk.errors import InvalidRequest
from postwerk.rules.durations import bounded_duration

POINTER = "#/deadline"
LONGEST_DEADLINE = timedelta(days=30)
"""Longer than that of a new send: held mail may need it."""
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[Tt ]")


@dataclass(frozen=True, slots=True)
class NewDeadline:
    """As it was asked for: so long after the send was accepted or began, or at this moment."""

    after: timedelta | None = None
    at: datetime | None = None

    def moment(self, send: BulkSend, now: datetime) -> datetime | None:
        """When the send's time is over; None for one that is not accepted yet. Raises InvalidRequest."""
        if send.counts_from is None:
            if self.at is not None:
                raise InvalidRequest(
                    "It has not been started: give a duration, as it counts from then.",
                    pointer=POINTER,
                    code="not_accepted",
                )
            return None
        moment = self.at or send.counts_from + (self.after or timedelta(0))
        if not max(now, send.counts_from) < moment <= send.counts_from + LONGEST_DEADLINE:
            raise InvalidRequest(
                "This must lie in the future, at most 30 days after the send was accepted or began.",
                pointer=POINTER,
                code="out_of_range",
            )
        return moment

    def duration(self, send: BulkSend, now: datetime) -> timedelta:
        """As it is kept among the options: what started again messages get too."""
        moment = self.moment(send, now)
        if moment is None or send.counts_from is None:
            return self.after or timedelta(0)
        return moment - send.counts_from


def read_deadline(given: Any, default: timedelta) -> NewDeadline:
    """A duration or a moment; None: the default. Raises InvalidRequest."""
    if given is None:
        return NewDeadline(after=default)
    if isinstance(given, str) and _MOMENT.match(given.strip()):
        return NewDeadline(at=_moment(given.strip()))
    return NewDeadline(after=bounded_duration(given, SHORTEST_DEADLINE, LONGEST_DEADLINE, pointer=POINTER))


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidRequest(
            "Write a moment as 2026-12-01T08:00:00Z.", pointer=POINTER, code="invalid_moment"
        ) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
