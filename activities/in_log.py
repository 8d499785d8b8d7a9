"""Every log line of an activity says in which workflow it was."""

from __future__ import annotations

from typing import Any

from temporalio import activity
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from postwerk.observe import log


class WorkflowInLog(Interceptor):
    """For a worker's `interceptors`."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        return _Told(next)


class _Told(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        info = activity.info()
        with log.about(workflow=info.workflow_id or "", activity=info.activity_type):
            return await super().execute_activity(input)
