"""A worker inside the test process: real workflows, real activities, a real archive, a real SMTP server."""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from pydantic import SecretStr
from temporalio.api.testservice.v1 import LockTimeSkippingRequest, UnlockTimeSkippingRequest
from temporalio.client import Client, WorkflowHandle
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment

from postwerk.archive.engine import Archive
from postwerk.contracts.orders import BulkSendInput, Counts
from postwerk.settings import Settings
from worker import build_worker, open_parts
from workflows.client import add_search_attributes
from workflows.kinds import workflow_of
from workflows.names import bulk_workflow_id


def program(name: str) -> str:
    """A Temporal server's binary: from the PATH, or beside this Python."""
    beside = Path(sys.executable).parent / name
    return str(beside) if beside.exists() else shutil.which(name) or name


PATIENCE_SECONDS = 40.0
"""No test of these takes a third of it."""


class SkippingServerHung(Exception):
    """Its clock stands still for ever, whatever it is asked: in one test of some hundred."""


@asynccontextmanager
async def skipping_server() -> AsyncIterator[WorkflowEnvironment]:
    """A time-skipping server of its own for each test: its lock on time leaks between workflows.

    Raises SkippingServerHung, upon which the test is run once more (tests/time_skipping/conftest.py): a
    workflow that hangs does so again.
    """
    environment = await WorkflowEnvironment.start_time_skipping(
        test_server_existing_path=program("temporal-test-server"), data_converter=pydantic_data_converter
    )
    async with environment:
        await add_search_attributes(environment.client)
        limit = asyncio.timeout(PATIENCE_SECONDS)
        try:
            async with limit:
                yield environment
        except TimeoutError as error:
            if limit.expired():
                raise SkippingServerHung from error
            raise


async def pass_without_workers(environment: WorkflowEnvironment, duration: timedelta) -> None:
    """`environment.sleep` when nobody takes tasks: each task that waits locks the time, so it is unlocked."""
    service, unlocked = environment.client.test_service, 0
    sleeping = asyncio.create_task(environment.sleep(duration))
    while not (await asyncio.wait([sleeping], timeout=0.1))[0]:
        await service.unlock_time_skipping(UnlockTimeSkippingRequest())
        unlocked += 1
    for _ in range(unlocked):
        await service.lock_time_skipping(LockTimeSkippingRequest())
    await sleeping


async def another_client(environment: WorkflowEnvironment) -> Client:
    """Two workers in one process cannot share a client."""
    return await Client.connect(
        environment.client.service_client.config.target_host, data_converter=pydantic_data_converter
    )


@asynccontextmanager
async def local_server() -> AsyncIterator[WorkflowEnvironment]:
    """The real dev server, in memory, for what needs no skipping."""
    environment = await WorkflowEnvironment.start_local(
        dev_server_existing_path=program("temporal"), data_converter=pydantic_data_converter
    )
    async with environment:
        await add_search_attributes(environment.client)
        yield environment


@asynccontextmanager
async def working(client: Client, archive: Archive, relay_url: str, **changes: object) -> AsyncIterator[str]:
    """A running worker; answers its task queue."""
    usual = {"task_queue": f"test-{uuid4().hex[:8]}"}
    settings = Settings(
        database_url=SecretStr(archive.config.url),
        relay_url=SecretStr(relay_url),
        **usual | changes,  # type: ignore[arg-type]
    )
    async with open_parts(settings, settings.relay()) as parts, build_worker(client, settings, parts):
        yield settings.task_queue


async def carried(client: Client, order: BulkSendInput, task_queue: str) -> Counts:
    """Start the workflow and wait for its end; only a handle that `start` gave skips time while waiting."""
    handle = await started(client, order, task_queue)
    return Counts.model_validate(await handle.result())


async def started(client: Client, order: BulkSendInput, task_queue: str) -> WorkflowHandle[Any, Any]:
    kind = workflow_of(order, task_queue, "")
    return await client.start_workflow(
        kind.type, order, id=bulk_workflow_id(order.bulk_id), task_queue=kind.task_queue
    )
