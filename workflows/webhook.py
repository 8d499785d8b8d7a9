"""Webhook: one for each receiver, as long as it is told of events. It waits between tries."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.webhooks import PATIENCE_SECONDS, WebhookActivities
    from postwerk.contracts.webhooks import DeliveryReport, RunOutcome, WebhookInput, WebhookOrder
    from workflows.options import ACCIDENTS, HEARTBEAT
    from workflows.told import WAKE

ONE_RUN = timedelta(seconds=PATIENCE_SECONDS + 300)
MOST_EVENTS = 1_500
"""Of a history; then another run of the workflow goes on."""


@workflow.defn
class Webhook:
    """Delivers until it is disabled, gone or deleted. Signal: wake (it was changed, look at once)."""

    @workflow.init
    def __init__(self, order: WebhookInput) -> None:
        self._order = order
        self._events, self._requests = order.events, order.requests
        self._woken = False

    @workflow.run
    async def run(self, _order: WebhookInput) -> str:
        """Answers why it ended: disabled, gone, deleted, or what its receiver did last."""
        while True:
            self._woken = False
            report = await self._deliver()
            self._count(report)
            self._show(report)
            if report.outcome is RunOutcome.STOPPED and not self._woken:
                return report.trouble
            if report.wait is not None:
                await self._rest(report.wait, report.tries)
            if workflow.info().get_current_history_length() > MOST_EVENTS:
                self._go_on_afresh()

    @workflow.signal(description=WAKE)
    def wake(self) -> None:
        """It was made, changed or enabled: what waits is tried at once."""
        self._woken = True

    async def _deliver(self) -> DeliveryReport:
        return await workflow.execute_activity_method(
            WebhookActivities.deliver,
            WebhookOrder(webhook_id=self._order.webhook_id),
            summary="tell its receiver what happened",
            start_to_close_timeout=ONE_RUN,
            heartbeat_timeout=HEARTBEAT,
            retry_policy=ACCIDENTS,
        )

    async def _rest(self, wait: timedelta, tries: int) -> None:
        with suppress(TimeoutError):
            await workflow.wait_condition(
                lambda: self._woken, timeout=wait, timeout_summary=f"try {tries + 1} of the same events"
            )

    def _count(self, report: DeliveryReport) -> None:
        self._events += report.events
        self._requests += report.requests

    def _go_on_afresh(self) -> None:
        workflow.continue_as_new(
            WebhookInput(webhook_id=self._order.webhook_id, events=self._events, requests=self._requests)
        )

    def _show(self, report: DeliveryReport) -> None:
        workflow.set_current_details(
            f"**{_state(report)}** · {self._events:,} events taken in {self._requests:,} requests"
            f" · last answer: {_answer(report)} · {_behind(report)}"
        )


def _state(report: DeliveryReport) -> str:
    if report.outcome is RunOutcome.STOPPED:
        return "stopped"
    if report.wait is None:
        return "enabled"
    return f"failed {report.tries} times, tried again in {report.wait.total_seconds():,.0f} s"


def _answer(report: DeliveryReport) -> str:
    return str(report.status) if report.status else report.trouble or "none"


def _behind(report: DeliveryReport) -> str:
    if report.behind is None:
        return "it has everything"
    return f"{report.behind.total_seconds():,.0f} s behind"
