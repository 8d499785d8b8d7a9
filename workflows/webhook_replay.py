"""WebhookReplay: sends a stretch of events to a webhook's receiver once more, beside the live ones."""

from __future__ import annotations

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.webhooks import WebhookActivities
    from postwerk.contracts.webhooks import DeliveryReport, ReplayOrder, RunOutcome
    from workflows.options import ACCIDENTS, HEARTBEAT
    from workflows.webhook import MOST_EVENTS, ONE_RUN


@workflow.defn
class WebhookReplay:
    """Answers how many events its receiver took: not all if the webhook was disabled, or it gave up."""

    @workflow.run
    async def run(self, order: ReplayOrder) -> int:
        while True:
            report = await self._deliver(order)
            order = _next(order, report)
            workflow.set_current_details(
                f"**{order.events:,} events sent again** · {report.trouble or report.outcome}"
            )
            if report.outcome is RunOutcome.STOPPED:
                return order.events
            if report.wait is not None:
                await workflow.sleep(report.wait, summary=f"try {report.tries + 1} of the same events")
            if workflow.info().get_current_history_length() > MOST_EVENTS:
                workflow.continue_as_new(order)

    async def _deliver(self, order: ReplayOrder) -> DeliveryReport:
        return await workflow.execute_activity_method(
            WebhookActivities.deliver_again,
            order,
            summary="send events again",
            start_to_close_timeout=ONE_RUN,
            heartbeat_timeout=HEARTBEAT,
            retry_policy=ACCIDENTS,
        )


def _next(order: ReplayOrder, report: DeliveryReport) -> ReplayOrder:
    position = report.position or order.position
    return order.model_copy(
        update={"position": position, "tries": report.tries, "events": order.events + report.events}
    )
