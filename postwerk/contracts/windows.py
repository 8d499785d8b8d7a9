"""Sending windows: on which days, and between which times of day, a bulk send may be sent."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict

MINUTES_OF_A_DAY = 24 * 60


class Weekday(StrEnum):
    """In the order of `datetime.weekday()`."""

    MON = "mon"
    TUE = "tue"
    WED = "wed"
    THU = "thu"
    FRI = "fri"
    SAT = "sat"
    SUN = "sun"


class SendingWindow(BaseModel):
    """Open on these days from `start` until before `end`, by the clocks of its time zone.

    One whose end is not after its start goes over midnight; it belongs to the day on which it opens.
    """

    model_config = ConfigDict(frozen=True)

    days: tuple[Weekday, ...]
    start: int
    """Minutes since midnight, 0 to 1439."""
    end: int
    """Minutes since midnight, 1 to 1440; never the same as `start`."""
    time_zone: str
    """A name of the IANA time zone database."""
