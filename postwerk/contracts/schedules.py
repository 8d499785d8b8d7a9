"""Schedules: what is sent again and again, and when."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum

from pydantic import BaseModel, ConfigDict


class ScheduleState(StrEnum):
    """Where a schedule stands."""

    ACTIVE = "active"
    PAUSED = "paused"
    DELETED = "deleted"


class ScheduleSpec(BaseModel):
    """When: by `cron` on the clocks of a time zone, or each `every` counted from `anchor`."""

    model_config = ConfigDict(frozen=True)

    cron: str = ""
    """Five fields, in normal form (rules/cron.py); empty: `every` is given."""
    every: timedelta | None = None
    anchor: datetime | None = None
    """Its times are this one and so many times `every` later."""
    time_zone: str = "UTC"
    start_at: datetime | None = None
    end_at: datetime | None = None
    jitter: timedelta = timedelta(0)
    """Each time is late by chance, by so much at most."""


class RecurringInput(BaseModel):
    """Starts the workflow that makes one send of a schedule."""

    model_config = ConfigDict(frozen=True)

    schedule_id: str
    at: datetime | None = None
    """Told to by hand, for this moment; None: by Temporal's Schedule, which says for when."""
    public_url: str = ""
    """Of the API, for people who look at the workflow."""


class Firing(BaseModel):
    """One time of a schedule: it makes one bulk send, however often it is asked to."""

    model_config = ConfigDict(frozen=True)

    schedule_id: str
    at: datetime
    by_hand: bool = False
    """Also while the schedule is paused."""


class ModelCopy(BaseModel):
    """A bulk send that is to be made of a model."""

    model_config = ConfigDict(frozen=True)

    schedule_id: str
    at: datetime
    bulk_id: str
    model_id: str
