"""What Temporal's Web UI shows of a send from its start to its end: summaries, details, live details."""

from __future__ import annotations

from typing import Any

import pytest
from temporalio.client import Client, WorkflowHandle

from postwerk.archive.engine import Archive
from tests.support.sandbox import SandboxProcess
from tests.support.seeding import a_stored_bulk_send
from tests.support.worker import local_server, working
from workflows.client import start_send
from workflows.told import HOLD


async def summaries(handle: WorkflowHandle[Any, Any]) -> dict[str, str]:
    """What is said of activities, timers and children, by the kind of the event."""
    found: dict[str, str] = {}
    for event in (await handle.fetch_history()).events:
        kind = str(event.WhichOneof("attributes")).removesuffix("_event_attributes")
        if event.user_metadata.HasField("summary"):
            found.setdefault(kind, event.user_metadata.summary.data.decode().strip('"'))
    return found


async def metadata(client: Client, workflow_id: str) -> Any:
    return await client.get_workflow_handle(workflow_id).query("__temporal_workflow_metadata")


@pytest.mark.parametrize("archive", ["sqlite"], indirect=True)
async def test_a_send_can_be_understood_without_its_code(archive: Archive) -> None:
    addresses = ["ok+1@gmail.com", "ok+2@gmail.com", "bounce+3@gmail.com"]
    async with local_server() as environment:
        client = environment.client
        with SandboxProcess() as sandbox:
            order = await a_stored_bulk_send(archive, addresses, rate="50/s", recipients_per_child=3)
            async with working(client, archive, sandbox.relay_url) as queue:
                assert await start_send(
                    client, order, task_queue=queue, name="spring-news", public_url="https://mail.example"
                )
                root = client.get_workflow_handle(f"bulk-{order.bulk_id}")
                await root.result()
                shown = await metadata(client, root.id)
                batch = await metadata(client, f"{root.id}/batch-1")

        found = await root.describe()
        assert await found.static_summary() == "spring-news · 3 recipients · 50/s"
        details = str(await found.static_details())
        assert f"(https://mail.example/v1/bulk-sends/{order.bulk_id})" in details
        assert "temporal workflow cancel -w $ID" in details

        assert shown.current_details.startswith(
            "**completed** · 3 recipients in 1 batch · 1 of 1 children done"
        )
        assert "66.7 %" in shown.current_details
        told = {one.name: one.description for one in shown.definition.signal_definitions}
        assert told["hold"] == HOLD
        assert all(told.values())
        assert batch.current_details.startswith("**done** · batch 1 · lane gmail.com · 3 messages")

        assert (await summaries(root))["start_child_workflow_execution_initiated"] == (
            "batch 1 · gmail.com · 3 messages"
        )
        child = await summaries(client.get_workflow_handle(f"{root.id}/batch-1"))
        assert child["activity_task_scheduled"].startswith("batch 1 · gmail.com · 3 messages · until 2")
        assert child["workflow_execution_started"] == "batch 1 · gmail.com · 3 messages"
