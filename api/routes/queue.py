"""Reading the queue: its messages, how many they are, and where they pile up."""

from __future__ import annotations

import re
from datetime import timedelta
from itertools import pairwise
from typing import Annotated

from fastapi import APIRouter, Query, Request

from api.dependencies import UseParts
from api.ids import queue_cursor
from api.parameters import only_parameters
from api.problem_schemas import problems
from api.queue_counting import count, summary
from api.queue_filters import read_query_filter
from api.queue_schemas import FILTER_PARAMETERS, QueueCount, QueueMessageList, QueueSummary
from api.queue_views import queue_count, queue_message, queue_summary
from api.waiting import context_of, with_waits
from postwerk.archive.queue_reads import queued_messages
from postwerk.errors import InvalidRequest
from postwerk.rules.queue_summary import By

router = APIRouter(prefix="/v1/queue", tags=["queue"])

BUCKETS = "5,10,20,40,80,160,320,640,1280"
MOST_BUCKETS = 50
_MINUTES = re.compile(r"[1-9][0-9]{0,6}", re.ASCII)


@router.get(
    "/messages",
    response_model=QueueMessageList,
    responses=problems(422, 503),
    openapi_extra=FILTER_PARAMETERS,
)
async def list_messages(
    request: Request,
    parts: UseParts,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    after: Annotated[str | None, Query(max_length=100)] = None,
) -> QueueMessageList:
    """The open messages of started bulk sends, in the order of bulk send and number. Without a filter: all.

    Where next to none of very many messages are meant a page may be short, even empty, and still have a
    `next`: go on until that is null.
    """
    wanted, last_seen = read_query_filter(request, "limit", "after"), queue_cursor(after)
    async with parts.archive.reading() as connection:
        page = await queued_messages(connection, wanted, parts.now(), limit=limit, after=last_seen)
        context = await context_of(parts, connection, page.messages)
    data = [queue_message(told) for told in await with_waits(parts, page.messages, context)]
    cursor = f"{page.next.bulk_id}.{page.next.seq}" if page.next else None
    return QueueMessageList(has_more=page.next is not None, next=cursor, data=data)


@router.get(
    "/count", response_model=QueueCount, responses=problems(422, 503), openapi_extra=FILTER_PARAMETERS
)
async def count_messages(request: Request, parts: UseParts) -> QueueCount:
    """How many messages are meant, by state. Without a filter: all of the queue."""
    return queue_count(await count(parts, read_query_filter(request)))


@router.get("/summary", response_model=QueueSummary, responses=problems(422, 503))
async def summarise_queue(
    request: Request,
    parts: UseParts,
    by: By = By.PROVIDER,
    buckets: Annotated[str, Query(max_length=400, description="minutes, ascending")] = BUCKETS,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
) -> QueueSummary:
    """Where the queue piles up, and how old it is there. A large queue is counted in the background."""
    only_parameters(request, "by", "buckets", "limit")
    minutes = _minutes(buckets)
    found = await summary(parts, by, [timedelta(minutes=one) for one in minutes])
    return queue_summary(found, by, minutes, limit)


def _minutes(text: str) -> list[int]:
    """Raises InvalidRequest."""
    given = text.split(",")
    if not all(_MINUTES.fullmatch(one) for one in given) or len(given) > MOST_BUCKETS:
        raise _no_buckets()
    minutes = [int(one) for one in given]
    if any(one >= following for one, following in pairwise(minutes)):
        raise _no_buckets()
    return minutes


def _no_buckets() -> InvalidRequest:
    return InvalidRequest(
        f"Give at most {MOST_BUCKETS} ages in minutes, ascending, such as {BUCKETS}.",
        pointer="?buckets",
        code="invalid_buckets",
    )
