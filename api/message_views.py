"""A message as the archive and its surroundings tell of it, in callers' words."""

from __future__ import annotations

from datetime import datetime, timedelta

from fastapi import Request

from api.dependencies import Parts
from api.schemas import (
    AttemptView,
    CoalescedView,
    MessageDetails,
    MessageView,
    OperationNoteView,
    ReplyView,
)
from api.schemas import TakenMessage as TakenMessageView
from api.taking.message import TakenMessage
from api.views import base_url, links
from api.waiting import MessageInContext
from postwerk.archive.coalescing import Coalesced
from postwerk.archive.operation_notes import OperationNote
from postwerk.archive.reads import Attempt, Message
from postwerk.rules.own_deadline import own_deadline
from workflows.names import bulk_workflow_id


def message_view(told: MessageInContext) -> MessageView:
    message = told.message
    return MessageView(
        id=f"{message.bulk_id}.{message.seq}",
        bulk_send=message.bulk_id,
        seq=message.seq,
        to=message.address,
        name=message.name,
        lane=message.lane,
        state=message.state,
        reason=message.last_reason,
        attempt_count=message.attempts,
        deferrals=message.deferrals,
        next_attempt_at=told.wait.next_attempt_at,
        waits_for=told.wait.waits_for,
        accepted_at=told.send.accepted_at,
        deadline=_deadline(told),
        operation=_operation(told.operation),
        changed_at=message.changed_at,
        possible_duplicate=message.possible_duplicate,
        late=message.late,
        complained_at=message.complained_at,
        last_reply=_last_reply(message),
    )


def message_details(
    request: Request, parts: Parts, told: MessageInContext, attempts: list[Attempt]
) -> MessageDetails:
    view, message = message_view(told), told.message
    base = base_url(request, parts)
    own = f"{base}/v1/messages/{view.id}"
    return MessageDetails(
        **view.model_dump(),
        coalesced=_coalesced(told.coalesced),
        variables=message.variables,
        metadata=message.metadata,
        attempts=[AttemptView.model_validate(one, from_attributes=True) for one in attempts],
        links={"self": own, "content": f"{own}/content", **_bulk_link(base, message)},
    )


def _deadline(told: MessageInContext) -> datetime | None:
    left = told.message.time_left
    return own_deadline(
        told.send.deadline,
        timedelta(microseconds=told.message.extra),
        time_left=None if left is None else timedelta(microseconds=left),
        send_held_at=told.send.held_at,
        now=told.now,
        expires_at=told.send.options.expires_at,
    )


def taken_message(request: Request, parts: Parts, taken: TakenMessage) -> TakenMessageView:
    message_id, base = f"{taken.bulk_id}.1", base_url(request, parts)
    found = links(request, parts, taken.bulk_id)
    return TakenMessageView(
        id=message_id,
        bulk_send=taken.bulk_id,
        state=taken.state,
        workflow_id=bulk_workflow_id(taken.bulk_id),
        links=found | {"self": f"{base}/v1/messages/{message_id}", "bulk_send": found["self"]},
    )


def _coalesced(found: Coalesced | None) -> CoalescedView | None:
    if found is None:
        return None
    into = f"{found.folded_into}.1" if found.folded_into else None
    return CoalescedView.model_validate(
        {
            "key": found.key,
            "rank": found.rank,
            "state": found.state,
            "arrived_at": found.arrived_at,
            "into": into,
        }
    )


def _operation(note: OperationNote | None) -> OperationNoteView | None:
    return None if note is None else OperationNoteView.model_validate(note, from_attributes=True)


def _bulk_link(base: str, message: Message) -> dict[str, str]:
    return {"bulk_send": f"{base}/v1/bulk-sends/{message.bulk_id}"}


def _last_reply(message: Message) -> ReplyView | None:
    if message.last_stage is None and message.last_code is None and not message.last_text:
        return None
    return ReplyView(
        stage=message.last_stage,
        code=message.last_code,
        enhanced=message.last_enhanced,
        text=message.last_text,
    )
