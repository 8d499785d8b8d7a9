"""Other times for a bulk send that is there already: when it begins, when it expires, its window."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from api.change_schemas import BulkSendChange
from api.deadlines import NewDeadline
from api.taking.times import check_times, read_beginning, read_expiry, read_window
from postwerk.archive.reads import BulkSend
from postwerk.contracts.options import BulkOptions, earlier
from postwerk.contracts.states import ENDED, BulkState
from postwerk.errors import Conflict

TIMES = frozenset({"send_at", "expires_at", "window"})


@dataclass(frozen=True, slots=True)
class TimesNow:
    """A send's times as they are to be. `begins_at` and `deadline` are None before it is accepted."""

    options: BulkOptions
    begins_at: datetime | None
    deadline: datetime | None
    has_begun: bool


class NewTimes:
    """What a request says of them."""

    def __init__(self, wanted: BulkSendChange, given: set[str], deadline: NewDeadline | None) -> None:
        self._wanted = wanted
        self.given = given & TIMES
        self._deadline = deadline

    def of(self, send: BulkSend, now: datetime) -> TimesNow:
        """What they come to for this send. Raises InvalidRequest, Conflict: it has begun."""
        options = send.options.model_copy(update=self._options(now))
        begins_at = self._begins_at(send, options, now)
        if self._deadline is not None:
            moved = replace(send, begins_at=begins_at) if begins_at else send
            options = options.model_copy(update={"deadline": self._deadline.duration(moved, now)})
        end = self._end(send, options, begins_at)
        if self.given and send.state not in ENDED:
            check_times(options, begins_at or options.send_at or now, now, end)
        return TimesNow(options, begins_at, end, send.state is BulkState.OPEN or not is_to_begin(send))

    def _options(self, now: datetime) -> dict[str, Any]:
        wanted, found = self._wanted, dict[str, Any]()
        if "send_at" in self.given:
            found["send_at"] = read_beginning(wanted.send_at, now)
        if "expires_at" in self.given:
            found["expires_at"] = read_expiry(wanted.expires_at)
        if "window" in self.given:
            found["window"] = read_window(wanted.window)
        return found

    def _begins_at(self, send: BulkSend, options: BulkOptions, now: datetime) -> datetime | None:
        if "send_at" not in self.given or send.state is BulkState.OPEN:
            return send.counts_from
        if is_to_begin(send):
            return options.send_at or now
        if options.send_at is not None:
            raise Conflict(f"This bulk send is {send.state}: it has begun, and cannot begin later.")
        return send.counts_from

    def _end(self, send: BulkSend, options: BulkOptions, begins_at: datetime | None) -> datetime | None:
        """One that goes on keeps the time it was given for being held."""
        if begins_at is None:
            return None
        if self._deadline is None and send.deadline is not None and begins_at == send.counts_from:
            before = send.options.expires_at
            if before is None or send.deadline < before:
                return earlier(send.deadline, options.expires_at)
        return options.ends_at(begins_at)


def is_to_begin(send: BulkSend) -> bool:
    """Accepted, and it waits for its beginning, paused or not."""
    waits = send.state in (BulkState.SCHEDULED, BulkState.PAUSED)
    return waits and send.begins_at is not None and send.started_at is None and not send.rounds
