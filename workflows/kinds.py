"""Which workflow carries a send: a bulk send's has children, a message's has none and a queue of its own."""

from __future__ import annotations

from typing import NamedTuple

from temporalio.common import Priority, SearchAttributePair, TypedSearchAttributes

from postwerk.contracts.orders import BulkSendInput
from postwerk.contracts.states import SendKind
from workflows.names import BULK_ID, BULK_STATE, LANE, messages_queue
from workflows.options import BULK_PRIORITY, MESSAGE_PRIORITY


class Kind(NamedTuple):
    """How the root workflow of a send is started."""

    type: str
    task_queue: str
    search_attributes: TypedSearchAttributes
    summary: str
    priority: Priority


def workflow_of(order: BulkSendInput, task_queue: str, name: str) -> Kind:
    """`task_queue` is that of the bulk sends; `name` is for people, and may be empty."""
    state = "scheduled" if order.send_at else "running"
    attributes = [SearchAttributePair(BULK_ID, order.bulk_id), SearchAttributePair(BULK_STATE, state)]
    title = f"{name} · " if name else ""
    if order.kind is not SendKind.MESSAGE:
        what = "failed messages again" if order.again else f"{order.messages:,} message"
        plural = "s" if order.messages != 1 and not order.again else ""
        priority = Priority(priority_key=BULK_PRIORITY, fairness_key=order.bulk_id)
        summary = f"{title}{what}{plural}"[:200]
        return Kind("BulkSend", task_queue, TypedSearchAttributes(attributes), summary, priority)
    lanes = {batch.lane for batch in order.batches or ()}
    attributes += [SearchAttributePair(LANE, lane) for lane in lanes]
    summary = f"{title}one message{' to ' if lanes else ''}{''.join(lanes)}"[:200]
    priority = Priority(priority_key=MESSAGE_PRIORITY)
    return Kind("Message", messages_queue(task_queue), TypedSearchAttributes(attributes), summary, priority)
