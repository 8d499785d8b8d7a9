"""Activities of a schedule's time: a fresh bulk send is made of its model, once."""

from __future__ import annotations

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.clock import ActivityClock
from activities.heartbeat import heartbeating
from activities.parts import WorkerParts
from postwerk.archive import firing
from postwerk.contracts.queue import NextRun
from postwerk.contracts.schedules import Firing, ModelCopy
from postwerk.errors import NotFound, QuotaExceeded


class RecurringActivities:
    """Each is safe to repeat: the id of what is made follows from the schedule and its time."""

    def __init__(self, parts: WorkerParts) -> None:
        self._parts = parts

    @activity.defn
    async def model_to_copy(self, order: Firing) -> ModelCopy | None:
        """Which model; None when the schedule is paused or deleted by now."""
        async with self._parts.archive.reading() as connection:
            return await firing.model_to_copy(connection, order)

    @activity.defn
    async def copy_model(self, order: ModelCopy) -> NextRun:
        """Store the bulk send with all its recipients; answers what starts its workflow."""
        async with heartbeating():
            try:
                return await firing.copy_model(self._parts.archive, order, ActivityClock().now())
            except NotFound as error:
                raise ApplicationError(error.message, type="NotFound", non_retryable=True) from None
            except QuotaExceeded as error:  # left out: it would be in the way of its next time
                raise ApplicationError(error.message, type="QuotaExceeded", non_retryable=True) from None
