"""What people read of a workflow in Temporal's Web UI before it has done anything: ids, counts, commands.

A summary has 200 octets at most; details are Markdown. Neither holds an address, content, or the key of
messages that coalesce (P7).
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from postwerk.contracts.coalescing import Arrival
from postwerk.contracts.orders import BatchOrder, BulkSendInput, ExpansionInput
from postwerk.contracts.states import SendKind
from postwerk.contracts.workflow_ids import (
    bulk_workflow_id,
    delivery_workflow_id,
    expansion_workflow_id,
    firing_workflow_id,
    operation_workflow_id,
    temporal_schedule_id,
)
from postwerk.rules.shown_names import cut, shown_name
from workflows.markdown import commands, days, facts, moment, number

SUMMARY_OCTETS = 200
_QUERY = "query -w $ID --type progress"
_RETRY_NOW = "signal -w $ID --name retry_now"
_HOLD = 'signal -w $ID --name hold --input \'{"reason": "..."}\''
_RELEASE = "signal -w $ID --name release"
_CANCEL = "cancel -w $ID"


class Caption(NamedTuple):
    """`summary` for lists, `details` for a page of its own."""

    summary: str
    details: str


def of_send(order: BulkSendInput, name: str, public_url: str = "") -> Caption:
    """A bulk send, or a single message."""
    is_message = order.kind is SendKind.MESSAGE
    what = "message" if is_message else "bulk send"
    title = shown_name(name)
    path = f"/v1/messages/{order.bulk_id}.1" if is_message else f"/v1/bulk-sends/{order.bulk_id}"
    more = () if is_message else (("its batches", f"list --query \"BulkId='{order.bulk_id}'\""),)
    return Caption(
        _summary(title or what, _size(order), order.rate.split(",")[0]),
        _text(
            f"**{title or what}** (`{order.bulk_id}`)",
            facts(
                ("recipients", f"{order.messages:,}"),
                ("carries", "failed messages that were started again" if order.again else ""),
                ("pace", order.rate or "as fast as its lanes and its relay allow"),
                ("begins", moment(order.send_at) if order.send_at else "at once"),
                ("deadline", _deadline(order)),
            ),
            commands(
                bulk_workflow_id(order.bulk_id),
                ("how it stands", _QUERY),
                ("pause", _HOLD),
                ("resume", _RELEASE),
                ("try what is deferred now", _RETRY_NOW),
                ("cancel", _CANCEL),
                *more,
            ),
            _link(public_url, path),
        ),
    )


def of_batch(order: BatchOrder, deadline: datetime) -> Caption:
    """What a Delivery carries."""
    return Caption(
        batch_summary(order),
        _text(
            f"{number(order.messages, 'message')} of lane **{order.lane}** of `{order.bulk_id}`, "
            f"number {order.first_seq:,} to {order.last_seq:,}; deadline {moment(deadline)}, and later by "
            "the time it is held. The last reply and the next attempt stand under *Pending Activities*.",
            commands(
                delivery_workflow_id(order.bulk_id, order.number),
                ("try what is deferred now", _RETRY_NOW),
                ("cancel this batch alone", _CANCEL),
            ),
        ),
    )


def batch_summary(order: BatchOrder) -> str:
    """Of its workflow, and of the activity that sends it."""
    return _summary(f"batch {order.number:,}", order.lane, number(order.messages, "message"))


def send_summary(order: BatchOrder, run: int, deadline: datetime) -> str:
    """Of the activity that sends a batch; another run comes after a signal."""
    again = f"run {run:,}" if run > 1 else ""
    return _summary(batch_summary(order), again, f"until {moment(deadline)}")


def of_expansion(order: ExpansionInput) -> Caption:
    """Many batches of a large send."""
    batches = f"batches {order.first:,} to {order.last:,}"
    return Caption(
        _summary(batches),
        _text(
            f"{batches.capitalize()} of `{order.bulk_id}`: each is carried by a workflow of its own below. "
            f"To pause or cancel the send, tell its root, `{bulk_workflow_id(order.bulk_id)}`.",
            commands(
                expansion_workflow_id(order.bulk_id, order.first, order.last), ("how they stand", _QUERY)
            ),
        ),
    )


def of_operation(operation_id: str, verb: str = "", public_url: str = "") -> Caption:
    """What an operator wants done; what the filter says may be an address, so it stays in the archive."""
    what = verb.replace("_", " ") or "operation"
    return Caption(
        _summary(what, "messages by a filter"),
        _text(
            f"An operator's order to many messages: **{what}** (`{operation_id}`). Who ordered it, why, and "
            "for which messages is in the archive. It is in force from the moment it was accepted; cancelled "
            "here, it is carried out all the same.",
            commands(operation_workflow_id(operation_id), ("what it has done", "metadata -w $ID")),
            _link(public_url, f"/v1/operations/{operation_id}"),
        ),
    )


def of_coalescing(first: Arrival, public_url: str = "") -> Caption:
    """Of the key itself, which may be personal, nothing is told."""
    window = f"{first.window.total_seconds():g} s"
    return Caption(
        _summary("messages of one key", f"window of {window}"),
        _text(
            f"Of the messages of one key that arrive within {window} of the first one (`{first.bulk_id}`), "
            "the one of the highest rank is sent when the window ends; the others end `suppressed`.",
            _link(public_url, f"/v1/messages/{first.bulk_id}.1"),
        ),
    )


def of_schedule(schedule_id: str, name: str, public_url: str = "") -> Caption:
    """One time of a schedule: a bulk send is made of its model."""
    return Caption(
        _summary(shown_name(name) or "schedule", "makes a bulk send of its model"),
        _text(
            f"One time of the schedule `{schedule_id}`: makes a fresh bulk send of what it sends, and starts "
            "that. It answers the new one's id, or nothing when the schedule is paused by now.",
            commands(
                firing_workflow_id(schedule_id),
                ("all of its times", "list --query \"WorkflowId STARTS_WITH '$ID'\""),
            ),
            f"When it comes next: `temporal schedule describe -s {temporal_schedule_id(schedule_id)}`",
            _link(public_url, f"/v1/schedules/{schedule_id}"),
        ),
    )


def _size(order: BulkSendInput) -> str:
    if order.again:
        return "failed messages again"
    if order.kind is not SendKind.MESSAGE:
        return number(order.messages, "recipient")
    return ", ".join(sorted({batch.lane for batch in order.batches or ()}))


def _deadline(order: BulkSendInput) -> str:
    last = f", {moment(order.expires_at)} at the latest" if order.expires_at else ""
    return f"{days(order.deadline)} after it begins, and later by the time it is held{last}"


def _summary(*parts: str) -> str:
    return cut(" · ".join(part for part in parts if part), SUMMARY_OCTETS)


def _link(public_url: str, path: str) -> str:
    return f"[{path}]({public_url.rstrip('/')}{path})" if public_url else ""


def _text(*parts: str) -> str:
    return "\n\n".join(part for part in parts if part)
