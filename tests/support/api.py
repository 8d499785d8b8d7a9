"""The API in this process, everything real but Temporal: a stand-in that remembers what it was asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

import httpx2
from temporalio.client import Client, Schedule, ScheduleAlreadyRunningError, WorkflowExecutionStatus
from temporalio.common import TypedSearchAttributes
from temporalio.service import RPCError, RPCStatusCode

from api.app import create_app
from api.dependencies import ApiConfig, Parts
from postwerk.archive.engine import Archive
from postwerk.contracts.coalescing import Arrival


class RecordingTemporal:
    """What workflows/client.py asks of a Temporal client, answered from memory."""

    namespace = "default"

    def __init__(self) -> None:
        self.started: dict[str, Any] = {}
        self.cancelled: list[str] = []
        self.terminated: set[str] = set()
        """Ids of workflows that were ended from outside; like any server's they can still be cancelled."""
        self.signalled: list[tuple[str, str]] = []
        """Workflow id and name of each signal."""
        self.signals_at_once = self.most_signals_at_once = 0
        self.running: dict[str, str] = {}
        """Running Delivery workflows with their lanes."""
        self.types: dict[str, str] = {}
        """Of the workflows that were started."""
        self.handed_in: list[Arrival] = []
        """Messages of which the workflow of their key was told."""
        self.away = False
        self.all_ended = False
        """What was started has run to its end."""
        self.schedules: dict[str, Schedule] = {}
        self.workers = 1
        self.backlog = 0
        """Tasks that wait in each queue."""
        self.workflow_service = SimpleNamespace(describe_task_queue=self._describe_task_queue)

    async def start_workflow(self, name: str, order: Any, *, id: str, **_options: Any) -> None:
        self._answer()
        self.started.setdefault(id, order)
        self.types.setdefault(id, name)

    async def execute_update_with_start_workflow(self, name: str, arrival: Arrival, **_options: Any) -> None:
        self._answer()
        assert name == "arrive"
        self.handed_in.append(arrival)

    def get_workflow_handle(self, workflow_id: str) -> Any:
        async def cancel(**_options: Any) -> None:
            self._answer(workflow_id)
            self.cancelled.append(workflow_id)

        async def describe(**_options: Any) -> Any:
            self._answer(workflow_id)
            status = WorkflowExecutionStatus.RUNNING
            if workflow_id in self.terminated:
                status = WorkflowExecutionStatus.TERMINATED
            elif self.all_ended:
                status = WorkflowExecutionStatus.COMPLETED
            return SimpleNamespace(status=status, typed_search_attributes=TypedSearchAttributes.empty)

        async def signal(name: str, *_arguments: Any, **_options: Any) -> None:
            self._answer()
            self.signals_at_once += 1
            self.most_signals_at_once = max(self.signals_at_once, self.most_signals_at_once)
            await asyncio.sleep(0.001)
            self.signals_at_once -= 1
            self.signalled.append((workflow_id, name))

        return SimpleNamespace(cancel=cancel, describe=describe, signal=signal)

    async def create_schedule(self, schedule_id: str, schedule: Schedule, **_options: Any) -> None:
        self._answer()
        if schedule_id in self.schedules:
            raise ScheduleAlreadyRunningError
        self.schedules[schedule_id] = schedule

    def get_schedule_handle(self, schedule_id: str) -> Any:
        def known() -> Schedule:
            self._answer()
            if schedule_id not in self.schedules:
                raise RPCError("not found", RPCStatusCode.NOT_FOUND, b"")
            return self.schedules[schedule_id]

        async def update(updater: Any, **_options: Any) -> None:
            found = SimpleNamespace(description=SimpleNamespace(schedule=known()))
            self.schedules[schedule_id] = updater(found).schedule

        async def delete(**_options: Any) -> None:
            known()
            del self.schedules[schedule_id]

        async def describe(**_options: Any) -> Any:
            return SimpleNamespace(schedule=known(), info=SimpleNamespace(next_action_times=[]))

        return SimpleNamespace(update=update, delete=delete, describe=describe)

    async def list_workflows(self, query: str, **_options: Any) -> AsyncIterator[Any]:
        """Running batches, as workflows/client.py asks for them."""
        self._answer()
        assert 'WorkflowType IN ("Delivery", "Message") AND ExecutionStatus = "Running"' in query
        for workflow_id, lane in self.running.items():
            if " Lane = " not in query or f'Lane = "{lane}"' in query:
                yield SimpleNamespace(id=workflow_id)

    async def _describe_task_queue(self, *_request: Any, **_options: Any) -> Any:
        self._answer()
        return SimpleNamespace(
            pollers=[SimpleNamespace(identity=str(n)) for n in range(self.workers)],
            stats=SimpleNamespace(approximate_backlog_count=self.backlog),
        )

    def _answer(self, workflow_id: str | None = None) -> None:
        if self.away:
            raise RPCError("away", RPCStatusCode.UNAVAILABLE, b"")
        if workflow_id is not None and workflow_id not in self.started:
            raise RPCError("not found", RPCStatusCode.NOT_FOUND, b"")


class Door:
    """The API, its parts, and a client that calls it."""

    def __init__(self, parts: Parts, temporal: RecordingTemporal, http: httpx2.AsyncClient) -> None:
        self.parts = parts
        self.archive = parts.archive
        self.temporal = temporal
        self.http = http

    async def send(self, **changes: Any) -> httpx2.Response:
        """POST a valid bulk send, changed as said; None leaves a field out."""
        return await self.http.post("/v1/bulk-sends", json=a_bulk_send(**changes))

    async def open(self, **changes: Any) -> str:
        """The id of an open bulk send without recipients."""
        answer = await self.send(open=True, recipients=None, **changes)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    async def upload(self, bulk_id: str, body: Any, kind: str, **headers: str) -> httpx2.Response:
        return await self.http.post(
            f"/v1/bulk-sends/{bulk_id}/recipients", content=body, headers={"content-type": kind, **headers}
        )


def a_bulk_send(**changes: Any) -> dict[str, Any]:
    """A valid request; `from_` stands for `from`."""
    request: dict[str, Any] = {
        "name": "spring",
        "from": "Shop <news@shop.example>",
        "subject": "Hello {{ first_name }}",
        "text": "Dear {{ first_name }},",
        "variables": {"first_name": "friend"},
        "recipients": [{"to": "ada@example.com"}],
    }
    request.update({name.rstrip("_"): value for name, value in changes.items()})
    return {name: value for name, value in request.items() if value is not None}


@asynccontextmanager
async def open_door(archive: Archive, config: ApiConfig | None = None) -> AsyncIterator[Door]:
    temporal = RecordingTemporal()
    parts = Parts(archive, cast(Client, temporal), config or ApiConfig(stream_seconds=0.0))
    transport = httpx2.ASGITransport(create_app(parts))
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
        yield Door(parts, temporal, http)
    await parts.wire.close()
