"""What the archive answers, in callers' words."""

from __future__ import annotations

from fastapi import Request

from api.dependencies import Parts
from api.schemas import (
    AttemptView,
    AutoPauseView,
    BulkSendView,
    Checked,
    MessageDetails,
    MessageView,
    NotifyView,
    PartTaken,
    RefusedRecipient,
    RefusedRow,
    ReplyView,
    RetryView,
    Taken,
    WaitsFor,
)
from api.suppression_schemas import RefusedAddress, SuppressionsTaken, SuppressionView
from api.taking.storing import Tally
from api.taking.suppressing import Listed
from api.waits import MessageWait
from postwerk.archive.reads import Attempt, BulkSend, Message
from postwerk.archive.suppressions import Suppression
from postwerk.contracts.options import Notify
from postwerk.contracts.states import BulkState
from workflows.names import bulk_workflow_id


def base_url(request: Request, parts: Parts) -> str:
    return (parts.config.public_url or str(request.base_url)).rstrip("/")


def links(request: Request, parts: Parts, bulk_id: str) -> dict[str, str]:
    """Where to go on from a bulk send."""
    base = base_url(request, parts)
    found = {
        "self": f"{base}/v1/bulk-sends/{bulk_id}",
        "messages": f"{base}/v1/bulk-sends/{bulk_id}/messages",
    }
    if parts.config.temporal_ui_url:
        ui, namespace = parts.config.temporal_ui_url.rstrip("/"), parts.client.namespace
        found["temporal"] = f"{ui}/namespaces/{namespace}/workflows/{bulk_workflow_id(bulk_id)}"
    return found


def taken(request: Request, parts: Parts, bulk_id: str, state: BulkState, total: int, tally: Tally) -> Taken:
    return Taken(
        id=bulk_id,
        status=state,
        total=total,
        accepted=tally.accepted,
        rejected=tally.rejected,
        duplicates=tally.duplicates,
        suppressed=tally.suppressed,
        errors=_refused(tally),
        errors_truncated=tally.rejected > len(tally.errors),
        workflow_id=bulk_workflow_id(bulk_id),
        links=links(request, parts, bulk_id),
    )


def checked(total: int, tally: Tally) -> Checked:
    return Checked(
        total=total,
        accepted=tally.accepted,
        rejected=tally.rejected,
        duplicates=tally.duplicates,
        errors=_refused(tally),
        errors_truncated=tally.rejected > len(tally.errors),
    )


def part_taken(bulk_id: str, tally: Tally, total_accepted: int) -> PartTaken:
    errors = [RefusedRow(row=one.row, to=one.to, code=one.code, detail=one.detail) for one in tally.errors]
    return PartTaken(
        bulk_send=bulk_id,
        accepted=tally.accepted,
        rejected=tally.rejected,
        duplicates=tally.duplicates,
        errors=errors,
        errors_truncated=tally.rejected > len(errors),
        total_accepted=total_accepted,
    )


def suppressions_taken(listed: Listed) -> SuppressionsTaken:
    errors = [
        RefusedAddress(row=one.row, address=one.to, code=one.code, detail=one.detail) for one in listed.errors
    ]
    return SuppressionsTaken(
        added=listed.added,
        known=listed.known,
        rejected=listed.rejected,
        errors=errors,
        errors_truncated=listed.rejected > len(errors),
    )


def suppression_view(entry: Suppression) -> SuppressionView:
    return SuppressionView(
        address=entry.address,
        reason=entry.reason,
        source=entry.source,
        detail=entry.detail,
        bulk_send=entry.bulk_id,
        created_at=entry.created_at,
    )


def bulk_send_view(
    request: Request, parts: Parts, send: BulkSend, waits_for: WaitsFor | None
) -> BulkSendView:
    rate, eta = None, None
    if send.state is BulkState.RUNNING:
        left = send.accepted - send.finished
        rate, eta = parts.rates.progress(send.id, send.finished, left, parts.now())
    retry = send.options.retry
    return BulkSendView(
        id=send.id,
        name=send.name,
        state=send.state,
        reason=send.reason,
        accepted=send.accepted,
        rejected=send.rejected,
        duplicates=send.duplicates,
        counts=send.counts,
        waits_for=waits_for,
        rate_now=rate,
        eta=eta,
        created_at=send.created_at,
        accepted_at=send.accepted_at,
        started_at=send.started_at,
        finished_at=send.finished_at,
        deadline=send.deadline,
        retry=RetryView(
            initial=retry.initial.total_seconds(),
            factor=retry.factor,
            maximum=retry.maximum.total_seconds(),
            jitter=retry.jitter,
            waits=[wait.total_seconds() for wait in retry.waits],
        ),
        rate=send.options.rate,
        relay=send.options.relay_name,
        auto_pause=AutoPauseView(**send.options.auto_pause.model_dump()) if send.options.auto_pause else None,
        max_consecutive_config_errors=send.options.max_consecutive_config_errors,
        recipients_per_child=send.options.recipients_per_child,
        on_ambiguous=send.options.on_ambiguous,
        notify=_notify(send.options.notify),
        notice_of=send.notice_of or None,
        metadata=send.metadata,
        workflow_id=bulk_workflow_id(send.id),
        links=links(request, parts, send.id),
    )


def _notify(wanted: Notify | None) -> NotifyView | None:
    return None if wanted is None else NotifyView.model_validate(wanted.model_dump())


def message_view(message: Message, wait: MessageWait) -> MessageView:
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
        next_attempt_at=wait.next_attempt_at,
        waits_for=wait.waits_for,
        changed_at=message.changed_at,
        possible_duplicate=message.possible_duplicate,
        last_reply=_last_reply(message),
    )


def message_details(
    request: Request, parts: Parts, message: Message, wait: MessageWait, attempts: list[Attempt]
) -> MessageDetails:
    view = message_view(message, wait)
    base = base_url(request, parts)
    own = f"{base}/v1/messages/{view.id}"
    return MessageDetails(
        **view.model_dump(),
        variables=message.variables,
        metadata=message.metadata,
        attempts=[AttemptView.model_validate(one, from_attributes=True) for one in attempts],
        links={"self": own, "content": f"{own}/content", **_bulk_link(base, message)},
    )


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


def _refused(tally: Tally) -> list[RefusedRecipient]:
    return [
        RefusedRecipient(index=one.row, to=one.to, code=one.code, detail=one.detail) for one in tally.errors
    ]
