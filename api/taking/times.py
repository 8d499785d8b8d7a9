"""When a bulk send begins, until when it is of use, and in which hours it may be sent: read and checked."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

from api.request_schemas import WindowRequest
from postwerk.contracts.options import BulkOptions
from postwerk.contracts.windows import MINUTES_OF_A_DAY, SendingWindow
from postwerk.errors import InvalidRequest
from postwerk.rules.retry_schedule import LAST_CALL
from postwerk.rules.sending_window import in_words, is_time_zone, opens_before

FURTHEST_BEGINNING = timedelta(days=5 * 365 + 1)
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d([.,]\d{1,6})?)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_CLOCK = re.compile(r"(\d\d):(\d\d)", re.ASCII)


def read_times(
    send_at: str | None, expires_at: str | None, window: WindowRequest | None, now: datetime
) -> dict[str, Any]:
    """The fields of BulkOptions that say when. Raises InvalidRequest."""
    return {
        "send_at": read_beginning(send_at, now),
        "expires_at": read_expiry(expires_at),
        "window": read_window(window),
    }


def read_beginning(given: str | None, now: datetime) -> datetime | None:
    """None: at once, also for what is past. Raises InvalidRequest."""
    if given is None:
        return None
    moment = read_moment(given, "#/send_at")
    if moment - now > FURTHEST_BEGINNING:
        raise InvalidRequest("This is more than five years ahead.", pointer="#/send_at", code="out_of_range")
    return moment if moment > now else None


def read_expiry(given: str | None) -> datetime | None:
    return None if given is None else read_moment(given, "#/expires_at")


def read_moment(given: str, pointer: str) -> datetime:
    """An RFC 3339 moment, in UTC. Raises InvalidRequest, also when it names no zone."""
    try:
        if not _MOMENT.fullmatch(given.strip()):
            raise ValueError
        return datetime.fromisoformat(given.strip()).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise InvalidRequest(
            "Write a moment with its zone, as 2026-12-01T08:00:00Z or 2026-12-01T09:00:00+01:00.",
            pointer=pointer,
            code="invalid_moment",
        ) from error


def read_window(given: WindowRequest | None, at: str = "#/window") -> SendingWindow | None:
    """Raises InvalidRequest pointing at the field."""
    if given is None:
        return None
    start, end = _clock(given.start, f"{at}/start"), _clock(given.end, f"{at}/end")
    if start in (end, MINUTES_OF_A_DAY):
        raise InvalidRequest(
            "A window has a start before midnight and another end; all day is 00:00 to 24:00.",
            pointer=f"{at}/end",
            code="empty_window",
        )
    return SendingWindow(
        days=tuple(dict.fromkeys(given.days)),
        start=start,
        end=end or MINUTES_OF_A_DAY,
        time_zone=read_time_zone(given.time_zone, f"{at}/time_zone"),
    )


def read_time_zone(given: str, pointer: str) -> str:
    """Raises InvalidRequest for a name that the IANA database does not know."""
    if not is_time_zone(given):
        raise InvalidRequest(
            "There is no such time zone; names are as Europe/Berlin.",
            pointer=pointer,
            code="unknown_time_zone",
        )
    return given


def check_times(options: BulkOptions, begin: datetime, now: datetime, end: datetime | None = None) -> None:
    """Raises InvalidRequest if it could send nothing until `end` (None: that of its time)."""
    expires_at, window = options.expires_at, options.window
    if expires_at is not None and expires_at <= max(begin, now):
        raise InvalidRequest(
            "This must lie in the future, and after the send has begun.",
            pointer="#/expires_at",
            code="out_of_range",
        )
    last = (end or options.ends_at(begin)) - LAST_CALL
    if window is not None and not opens_before(window, max(begin, now), last):
        raise InvalidRequest(
            f"{in_words(window)} does not come before its time is over at {last:%Y-%m-%d %H:%M} UTC.",
            pointer="#/window",
            code="never_open",
        )


def _clock(given: str, pointer: str) -> int:
    """Minutes since midnight. Raises InvalidRequest."""
    found = _CLOCK.fullmatch(given)
    hours, minutes = (int(found[1]), int(found[2])) if found else (99, 0)
    if minutes > 59 or hours * 60 + minutes > MINUTES_OF_A_DAY:
        raise InvalidRequest("Write a time of day as 09:00.", pointer=pointer, code="invalid_time")
    return hours * 60 + minutes
