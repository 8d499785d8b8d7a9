"""Which workflow carries a send: a bulk send's has children, a message's has none and a queue of its own."""

from __future__ import annotations

from typing import NamedTuple

from temporalio.common import Priority, SearchAttributePair, TypedSearchAttributes

from postwerk.contracts.orders import BulkSendInput
from postwerk.contracts.states import SendKind
from workflows.captions import Caption, of_send
from workflows.names import BULK_ID, BULK_STATE, LANE, messages_queue
from workflows.options import BULK_PRIORITY, MESSAGE_PRIORITY


class Kind(NamedTuple):
    """How the root workflow of a send is started."""

    type: str
    task_queue: str
    search_attributes: TypedSearchAttributes
    caption: Caption
    priority: Priority


def workflow_of(order: BulkSendInput, task_queue: str, name: str, public_url: str = "") -> Kind:
    """`task_queue` is that of the bulk sends; `name` is for people, and may be empty, as `public_url` may."""
    state = "scheduled" if order.send_at else "running"
    attributes = [SearchAttributePair(BULK_ID, order.bulk_id), SearchAttributePair(BULK_STATE, state)]
    caption = of_send(order, name, public_url)
    if order.kind is not SendKind.MESSAGE:
        priority = Priority(priority_key=BULK_PRIORITY, fairness_key=order.bulk_id)
        return Kind("BulkSend", task_queue, TypedSearchAttributes(attributes), caption, priority)
    lanes = {batch.lane for batch in order.batches or ()}
    attributes += [SearchAttributePair(LANE, lane) for lane in lanes]
    priority = Priority(priority_key=MESSAGE_PRIORITY)
    return Kind("Message", messages_queue(task_queue), TypedSearchAttributes(attributes), caption, priority)
