"""A schedule out of a request's body: read and checked, its bulk send stored as a model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple, TypeVar

import msgspec
from fastapi import Request
from pydantic import BaseModel

from api.dependencies import Parts
from api.errors import InvalidFields, UnsupportedType
from api.request_schemas import BulkSendRequest
from api.schedule_schemas import SpecRequest
from api.taking.body import media_type, whole_body
from api.taking.content import resolve
from api.taking.json_body import read_json, top_level
from api.taking.request import new_bulk_send, read_fields, read_request
from api.taking.storing import store_request
from api.taking.times import read_moment, read_time_zone
from api.who import Caller
from postwerk.contracts.schedules import ScheduleSpec
from postwerk.contracts.states import SendKind
from postwerk.errors import Forbidden, InvalidRequest
from postwerk.rules.api_keys import check_from
from postwerk.rules.cron import normal_cron
from postwerk.rules.durations import bounded_duration

T = TypeVar("T", bound=BaseModel)

SHORTEST, LONGEST = timedelta(seconds=1), timedelta(days=366)
MOST_JITTER = timedelta(hours=1)
MODEL = "#/bulk_send"
_NOT_FOR_MODELS = ("send_at", "expires_at", "open")


class GivenModel(NamedTuple):
    """What is to be sent, its recipients still as bytes."""

    request: BulkSendRequest
    entries: list[msgspec.Raw]


async def read_schedule(request: Request, shape: type[T], most_bytes: int) -> tuple[T, GivenModel | None]:
    """The fields, and the bulk send in them. Raises MalformedBody, InvalidRequest, TooLarge."""
    if media_type(request)[0] != "application/json":
        raise UnsupportedType("Send application/json.")
    body = await whole_body(request, most_bytes)
    raw = _bulk_send(body)
    if raw is None:
        return read_fields(shape, read_json(body, "")[0]), None
    # Read apart, so that a hundred thousand recipients are not made into objects.
    document, _ = read_json(msgspec.json.encode({**top_level(body), "bulk_send": {}}), "")
    wanted = read_fields(shape, document)
    with within(MODEL):
        fields, entries = read_json(raw)
        return wanted, GivenModel(_model_request(fields), entries)


def _bulk_send(body: bytes) -> bytes | None:
    raw = top_level(body).get("bulk_send")
    return bytes(raw) if raw is not None and bytes(raw).lstrip().startswith(b"{") else None


def _model_request(fields: dict[str, Any]) -> BulkSendRequest:
    for name in _NOT_FOR_MODELS:
        if fields.get(name):
            raise InvalidRequest(
                "A schedule says itself when its sends begin; `deadline` says how long they may take.",
                pointer=f"#/{name}",
                code="not_in_a_schedule",
            )
    return read_request(fields)


async def store_model(parts: Parts, model: GivenModel, owner: str, caller: Caller) -> str:
    """Store it with its recipients, never to be sent itself; answers its id.

    Raises InvalidRequest, and Forbidden: the caller may not send from there.

    Every recipient has to be right: nobody sees the answer of the sends to come.
    """
    with within(MODEL):
        config = parts.config
        new = new_bulk_send(
            await resolve(parts, model.request),
            config.retry,
            config.relay_names,
            parts.now(),
            owner=owner,
            public_url=config.public_url,
        )
        check_from(caller.domains, new.content)
        if not model.entries:
            raise InvalidRequest("There are no recipients.", pointer="#/recipients", code="missing")
        await store_request(
            parts.archive,
            replace(new, kind=SendKind.MODEL),
            model.entries,
            keep_open=True,
            strict=True,
            now=parts.now,
        )
    return new.id


def read_spec(given: SpecRequest, now: datetime) -> ScheduleSpec:
    """Raises InvalidRequest pointing at the field."""
    if (given.cron is None) == (given.every is None):
        raise InvalidRequest("Give `cron` or `every`.", pointer="#/spec/cron", code="cron_or_every")
    start_at = _moment(given.start_at, "#/spec/start_at")
    end_at = _moment(given.end_at, "#/spec/end_at")
    if end_at is not None and end_at <= max(start_at or now, now):
        raise InvalidRequest(
            "This must lie in the future, and after its start.", pointer="#/spec/end_at", code="out_of_range"
        )
    every = None
    if given.every is not None:
        every = bounded_duration(given.every, SHORTEST, LONGEST, pointer="#/spec/every")
        every = timedelta(seconds=round(every.total_seconds()))  # Temporal knows no parts of a second
    return ScheduleSpec(
        cron="" if given.cron is None else normal_cron(given.cron, pointer="#/spec/cron"),
        every=every,
        anchor=start_at or now if every else None,
        time_zone=read_time_zone(given.time_zone, "#/spec/time_zone"),
        start_at=start_at,
        end_at=end_at,
        jitter=_jitter(given.jitter),
    )


def _moment(given: str | None, pointer: str) -> datetime | None:
    return None if given is None else read_moment(given, pointer)


def _jitter(given: Any) -> timedelta:
    if given is None:
        return timedelta(0)
    return bounded_duration(given, timedelta(0), MOST_JITTER, pointer="#/spec/jitter")


@contextmanager
def within(place: str) -> Iterator[None]:
    """Fields that are wrong in there are named by where they stand."""
    try:
        yield
    except InvalidFields as error:
        error.errors = [{**one, "pointer": place + one["pointer"][1:]} for one in error.errors]
        raise
    except (InvalidRequest, Forbidden) as error:
        error.pointer = place + error.pointer[1:]
        raise
