"""What the archive answers, in callers' words."""

from __future__ import annotations

from fastapi import Request

from api.dependencies import Parts
from api.schemas import (
    AutoPauseView,
    BulkSendView,
    NotifyView,
    PartTaken,
    RefusedRecipient,
    RefusedRow,
    RetryView,
    Taken,
    TemplateUsedView,
    WaitsFor,
    WarningView,
    WindowView,
)
from api.suppression_schemas import RefusedAddress, SuppressionsTaken, SuppressionView
from api.taking.files import file_warnings
from api.taking.storing import Tally
from api.taking.suppressing import Listed
from postwerk.archive.reads import BulkSend
from postwerk.archive.suppressions import Suppression
from postwerk.contracts.content import Content
from postwerk.contracts.options import Notify, TemplateUsed
from postwerk.contracts.states import BulkState
from postwerk.contracts.windows import SendingWindow
from postwerk.rules.sending_window import clock
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
        errors=refused(tally),
        errors_truncated=tally.rejected > len(tally.errors),
        workflow_id=bulk_workflow_id(bulk_id),
        links=links(request, parts, bulk_id),
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
        scope=entry.scope,
        reason=entry.reason,
        source=entry.source,
        detail=entry.detail,
        bulk_send=entry.bulk_id,
        created_at=entry.created_at,
        unsubscribed_at=entry.unsubscribed_at,
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
        kind=send.kind,
        name=send.name,
        state=send.state,
        reason=send.reason,
        accepted=send.accepted,
        rejected=send.rejected,
        duplicates=send.duplicates,
        counts=send.counts,
        late_bounces=send.late_bounces,
        complaints=send.complaints,
        waits_for=waits_for,
        rate_now=rate,
        eta=eta,
        created_at=send.created_at,
        accepted_at=send.accepted_at,
        started_at=send.started_at,
        finished_at=send.finished_at,
        send_at=send.begins_at or send.options.send_at,
        deadline=send.deadline,
        expires_at=send.options.expires_at,
        window=_window(send.options.window),
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
        template=_template(send.options.template),
        notice_of=send.notice_of or None,
        metadata=send.metadata,
        workflow_id=bulk_workflow_id(send.id),
        links=links(request, parts, send.id),
    )


def _template(used: TemplateUsed | None) -> TemplateUsedView | None:
    return None if used is None else TemplateUsedView(id=used.id, version=used.version)


def warnings_of_files(content: Content) -> list[WarningView]:
    return [WarningView(**one) for one in file_warnings(content)]


def _window(window: SendingWindow | None) -> WindowView | None:
    if window is None:
        return None
    start, end = clock(window.start), clock(window.end)
    return WindowView(days=list(window.days), start=start, end=end, time_zone=window.time_zone)


def _notify(wanted: Notify | None) -> NotifyView | None:
    return None if wanted is None else NotifyView.model_validate(wanted.model_dump())


def refused(tally: Tally) -> list[RefusedRecipient]:
    return [
        RefusedRecipient(index=one.row, to=one.to, code=one.code, detail=one.detail) for one in tally.errors
    ]
