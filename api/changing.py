"""Changing a bulk send: a request's fields, checked, compared with what holds, and written down."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from api.change_schemas import BulkSendChange
from api.deadlines import read_deadline
from api.dependencies import ApiConfig
from api.following import Consequences
from api.new_times import NewTimes, TimesNow
from api.request_schemas import RetryRequest
from api.taking.order_body import check_words
from api.taking.request import read_rate, read_relay, read_retry
from postwerk.archive import bulks, changing, pace
from postwerk.archive.audit import Actor, write_audit
from postwerk.archive.columns import to_microseconds
from postwerk.archive.reads import BulkSend
from postwerk.contracts.options import DEFAULT_DEADLINE, BulkOptions
from postwerk.errors import InvalidRequest
from postwerk.rules.pace import Rate
from postwerk.rules.recipients import check_name
from postwerk.rules.sending_window import in_words

ACTION = "bulk.change"


class Told(NamedTuple):
    """What a change has to say to the workflow; None: nothing of that."""

    begins_at: datetime | None
    expires: bool
    """Whether `expires_at`, which may be None, is news."""
    expires_at: datetime | None
    deadline: datetime | None


class Change:
    """What a request changes. Built, and so checked, before anything is written."""

    def __init__(self, wanted: BulkSendChange, config: ApiConfig) -> None:
        """Raises InvalidRequest pointing at the field."""
        given = wanted.model_fields_set - {"reason"}
        if not given:
            raise InvalidRequest("Name at least one field to change.", code="nothing_to_change")
        if wanted.reason is not None:
            check_words(wanted.reason, "#/reason")
        self._reason = wanted.reason or ""
        self._name = check_name(wanted.name or "") if "name" in given else None
        self._deadline = read_deadline(wanted.deadline, DEFAULT_DEADLINE) if "deadline" in given else None
        self._options: dict[str, Any] = {}
        if "rate" in given:
            self._options["rate"] = read_rate(wanted.rate)
        if "retry" in given:
            self._options["retry"] = read_retry(wanted.retry or RetryRequest(), config.retry)
        if "relay" in given:
            self._options["relay"] = read_relay(wanted.relay, config.relay_names)
        self._times = NewTimes(wanted, given, self._deadline)

    @property
    def moves_times(self) -> bool:
        """Whether its workflow is to be told: it keeps the timers."""
        return self._deadline is not None or bool(self._times.given - {"window"})

    def told(self, send: BulkSend, now: datetime) -> Told:
        """What its workflow is to be told. Raises InvalidRequest, Conflict."""
        times = self._times.of(send, now)
        return Told(
            begins_at=None if times.has_begun or "send_at" not in self._times.given else times.begins_at,
            expires="expires_at" in self._times.given and send.accepted_at is not None,
            expires_at=times.options.expires_at,
            deadline=self._new_deadline(send, times, now),
        )

    def _new_deadline(self, send: BulkSend, times: TimesNow, now: datetime) -> datetime | None:
        moved = replace(send, begins_at=times.begins_at) if times.begins_at else send
        return self._deadline.moment(moved, now) if self._deadline else None

    async def apply(
        self, connection: AsyncConnection, bulk_id: str, actor: Actor, now: datetime
    ) -> Consequences:
        """Write it down. In a writing transaction. Raises NotFound, Conflict."""
        send = await changing.bulk_send_to_change(connection, bulk_id)
        times = self._times.of(send, now)
        options = times.options.model_copy(update=self._options)
        if times.begins_at and times.deadline and not times.has_begun:
            await bulks.set_beginning(connection, bulk_id, times.begins_at, times.deadline, released=False)
        if options != send.options:
            await changing.change_options(connection, bulk_id, options)
            await _settle_differences(connection, bulk_id, send.options, options, now)
        if self._name is not None and self._name != send.name:
            await changing.rename(connection, bulk_id, self._name)
        if details := _differences(send, replace(send, options=options, name=self._new_name(send))):
            await write_audit(
                connection, actor, ACTION, at=now, target=bulk_id, reason=self._reason, details=details
            )
        return self._consequences(send.options, options)

    def _new_name(self, send: BulkSend) -> str:
        return send.name if self._name is None else self._name

    def _consequences(self, old: BulkOptions, new: BulkOptions) -> Consequences:
        """A schedule that is said again is carried out again: the last time may have been cut short."""
        again = new.retry if "retry" in self._options else None
        wake = again is not None or old.relay != new.relay or _interval(new) < _interval(old)
        wake = wake or old.window != new.window
        return Consequences(again, wake)


async def _settle_differences(
    connection: AsyncConnection, bulk_id: str, old: BulkOptions, new: BulkOptions, now: datetime
) -> None:
    """What the archive remembers because of the old options holds no more."""
    if new.rate is not None and new.rate != old.rate:
        rate = Rate.parse(new.rate)
        scope = pace.bulk_scope(bulk_id, rate)
        await pace.quicken(connection, scope, to_microseconds(now), rate.interval)
    if new.relay != old.relay:  # the refusals of one relay are no reason to pause at the next
        await bulks.clear_config_errors(connection, bulk_id)
        await bulks.forget_too_big(connection, bulk_id)


def _differences(old: BulkSend, new: BulkSend) -> dict[str, Any]:
    """Each field that changes, with its old and its new value."""
    before, after = _shown(old), _shown(new)
    return {name: [before[name], after[name]] for name in before if before[name] != after[name]}


def _shown(send: BulkSend) -> dict[str, Any]:
    options = send.options
    return {
        "rate": options.rate,
        "retry": options.retry.model_dump(mode="json"),
        "relay": options.relay_name,
        "deadline": options.deadline.total_seconds(),
        "send_at": options.send_at.isoformat() if options.send_at else None,
        "expires_at": options.expires_at.isoformat() if options.expires_at else None,
        "window": in_words(options.window) if options.window else None,
        "name": send.name,
    }


def _interval(options: BulkOptions) -> int:
    """Microseconds between two messages by the send's own rate."""
    return Rate.parse(options.rate).interval if options.rate else 0
