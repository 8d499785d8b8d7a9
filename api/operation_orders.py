"""An operator's order out of a request's body: read and checked, before anything is written."""

from __future__ import annotations

from typing import TypeVar

from fastapi import Request

from api.operation_schemas import QueueOrder, ReasonOrder, RetryFailedOrder
from api.queue_filters import read_filter
from api.taking.body import whole_body
from api.taking.order_body import check_words, object_of, read_fields_of, read_object
from postwerk.contracts.queue import MAY_START_AGAIN, NEEDS_REASON, QueueFilter, Verb
from postwerk.contracts.states import MessageState
from postwerk.errors import InvalidRequest

T = TypeVar("T", bound=ReasonOrder)

MOST_BYTES = 256 * 1024
NARROWER = ("provider", "domain", "recipient", "code", "reason")
"""Of one bulk send's failed messages."""


async def read_queue_order(request: Request, verb: Verb) -> tuple[QueueOrder, QueueFilter]:
    """What is to be done to which messages. Raises MalformedBody, InvalidFields, InvalidRequest."""
    order = read_fields_of(await read_object(request, MOST_BYTES), QueueOrder)
    check_reason(order.reason, required=verb in NEEDS_REASON and not order.dry_run)
    return order, read_filter(order.filter, may_be_empty=False)


async def read_reason(request: Request, *, required: bool) -> str:
    """The reason of an order about one thing; the body may be left out where none is required."""
    order = _optional(await whole_body(request, MOST_BYTES), ReasonOrder)
    check_reason(order.reason, required=required)
    return order.reason


def read_retry_failed(body: bytes, bulk_id: str) -> tuple[RetryFailedOrder, QueueFilter]:
    """Raises as above; the filter has the bulk send and the states in it."""
    order = _optional(body, RetryFailedOrder)
    check_reason(order.reason, required=False)
    narrower = read_filter(order.filter, may_be_empty=True, criteria=NARROWER)
    states = tuple(_failed_state(state, number) for number, state in enumerate(order.states))
    if not states:
        raise InvalidRequest("Name a state, or leave this out.", pointer="#/states", code="empty")
    return order, narrower.model_copy(update={"bulk": (bulk_id,), "state": tuple(dict.fromkeys(states))})


def _optional(body: bytes, kind: type[T]) -> T:
    return read_fields_of(object_of(body), kind) if body else kind()


def _failed_state(given: str, number: int) -> MessageState:
    allowed = sorted(state.value for state in MAY_START_AGAIN)
    if given not in allowed:
        raise InvalidRequest(
            f"Only ended messages are started again: {', '.join(allowed)}.",
            pointer=f"#/states/{number}",
            code="invalid_state",
        )
    return MessageState(given)


def check_reason(reason: str, *, required: bool) -> None:
    """Raises InvalidRequest `reason_required`, or for words that cannot be shown on one line."""
    if required and not reason.strip():
        raise InvalidRequest(
            "Say why; it is kept with what is done.", pointer="#/reason", code="reason_required"
        )
    if reason:
        check_words(reason, "#/reason")
