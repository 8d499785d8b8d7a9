"""First file of the worker process: builds the parts, hands them in, runs. `python -m worker`"""

from __future__ import annotations

import argparse
import asyncio
import compileall
import gc
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import uvloop
from temporalio.client import Client
from temporalio.runtime import Runtime
from temporalio.service import RPCError
from temporalio.worker import Worker

from activities.bulks import BulkActivities
from activities.coalescing import CoalescingActivities
from activities.delivery import DeliveryActivities
from activities.in_log import WorkflowInLog
from activities.lane_desk import LaneDesk
from activities.notices import NoticeActivities, Speaker
from activities.operations import OperationActivities
from activities.outfit import Outfit
from activities.parts import Contents, SendPermission, WorkerParts, shard_of_process
from activities.recurring import RecurringActivities
from activities.routes import Route, Routes
from activities.signalling import SignalActivities
from activities.stopping import StoppingOperations
from activities.watch import BulkWatch
from activities.webhooks import WebhookActivities
from api.reconciler import reconcile_forever
from postwerk.archive.engine import Archive
from postwerk.archive.journal import Journal
from postwerk.archive.migrate import check_schema
from postwerk.archive.token_secrets import load_tokens
from postwerk.errors import PostwerkError
from postwerk.mime.dkim_keys import DkimKeys
from postwerk.mime.imprint import Imprint
from postwerk.mime.unsubscribing import UnsubscribeLinks
from postwerk.observe import log
from postwerk.observe.metrics import registry as metrics
from postwerk.settings import Settings, load_settings
from postwerk.smtp.pool import ConnectionPool
from postwerk.smtp.relay import RelayConfig
from postwerk.webhooks.wire import Wire
from workflows.client import connect, register_search_attributes
from workflows.names import messages_queue, webhooks_queue
from workflows.registered import BULK_WORKFLOWS, MESSAGE_WORKFLOWS, WEBHOOK_WORKFLOWS
from workflows.runtime import core_runtime
from workflows.tracing import start_tracing

HEARTBEAT_THROTTLE = timedelta(seconds=5)
"""Heartbeats carry cancellations back; the SDK's default would hold them for 24 of the 30 seconds."""


WEBHOOK_POLLS = 2
"""Long polls for their tasks, of which there are few."""
WEBHOOK_CONNECTIONS = 3
"""To the archive, beside those of the mail."""
CACHED_WORKFLOWS = 60
"""A cached workflow costs a quarter of a megabyte; one that waits for its mails is loaded again in 10 ms."""


@asynccontextmanager
async def open_parts(settings: Settings, relay: RelayConfig) -> AsyncIterator[WorkerParts]:
    """The parts that live as long as the process, closed in the order that loses nothing."""
    archive = Archive(settings.archive_config("normal"))
    journal = Journal(archive, shard=(shard := shard_of_process(os.getpid())))
    routes = Routes(_route(settings, archive, one) for one in (relay, *settings.further_relays()))
    try:
        keys = settings.signing_keys()
        keys.load()  # a key that cannot be used is said now, and not by mails without a signature
        await check_schema(archive)
        outfit = await _outfit(settings, archive, keys)
        contents = Contents(archive, outfit=outfit)
        permission = SendPermission(archive, contents.note_changes)
        watch = BulkWatch(archive, permission)
        journal.start()
        routes.start()
        yield WorkerParts(
            archive,
            journal,
            routes,
            contents,
            permission,
            watch,
            shard,
            StoppingOperations(archive),
            settings.concurrent_batches,
            tokens=outfit.tokens,
        )
    finally:
        await routes.close()
        await journal.close()
        await archive.close()


async def _outfit(settings: Settings, archive: Archive, keys: DkimKeys) -> Outfit:
    """What each mail gets from this installation: signatures, links, bounce addresses."""
    tokens = await load_tokens(archive, datetime.now(UTC))
    base = settings.public_url.rstrip("/")
    links = UnsubscribeLinks(base, tokens) if base else None
    return Outfit(Imprint(keys, links), tokens, settings.bounce_address_domain())


def _route(settings: Settings, archive: Archive, relay: RelayConfig) -> Route:
    """A relay's own connections and lanes: none of them knows of another relay's."""
    pool = ConnectionPool(relay, settings.pool_limits(), settings.relay_connections)
    desk = LaneDesk(
        archive,
        pool,
        relay.name,
        cooling=settings.cooling(),
        relay_rate=settings.relay_rate_limit(),
        worker=f"{socket.gethostname()}:{os.getpid()}",
    )
    return Route(pool, desk)


@asynccontextmanager
async def build_worker(client: Client, settings: Settings, parts: WorkerParts) -> AsyncIterator[None]:
    """Takes tasks until the block ends: of bulk sends, and beside them of single messages and of webhooks."""
    bulks, deliveries = BulkActivities(parts), DeliveryActivities(parts)
    operations = OperationActivities(parts)
    recurring = RecurringActivities(parts)
    notices = NoticeActivities(parts, Speaker(settings.ehlo_name, settings.public_url))
    activities = [
        *(bulks.begin_bulk, bulks.plan_bulk, bulks.batches_of, bulks.hold_bulk, bulks.release_bulk),
        *(bulks.schedule_bulk, bulks.set_beginning, bulks.is_paused),
        *(bulks.cancel_bulk, bulks.progress_of, bulks.close_bulk, bulks.close_cancelled, bulks.set_deadline),
        *(deliveries.send_batch, deliveries.hurry_batch, deliveries.settle_batch, deliveries.await_release),
        *(
            operations.carry_out_operation,
            operations.tell_batches,
            operations.next_run,
            operations.account_of,
        ),
        *(notices.tell_failures, notices.tell_delay, notices.tell_end),
        *(recurring.model_to_copy, recurring.copy_model),
        CoalescingActivities(parts).end_window,
        SignalActivities().tell_children,
    ]
    usual: dict[str, Any] = {
        "activities": activities,
        "interceptors": [WorkflowInLog()],
        "max_cached_workflows": CACHED_WORKFLOWS,
        "max_heartbeat_throttle_interval": HEARTBEAT_THROTTLE,
        "default_heartbeat_throttle_interval": HEARTBEAT_THROTTLE,
        "graceful_shutdown_timeout": timedelta(seconds=settings.shutdown_seconds),
    }
    workers = [
        Worker(
            client,
            task_queue=settings.task_queue,
            workflows=BULK_WORKFLOWS,
            max_concurrent_activities=settings.concurrent_batches,
            **usual,
        ),
        Worker(
            client,
            task_queue=messages_queue(settings.task_queue),
            workflows=MESSAGE_WORKFLOWS,
            max_concurrent_activities=settings.concurrent_messages,
            **usual,
        ),
    ]
    async with AsyncExitStack() as running:
        webhooks = await running.enter_async_context(_webhooks(settings, parts.archive))
        workers.append(_webhook_worker(client, settings, webhooks, usual))
        for worker in workers:
            await running.enter_async_context(worker)
        try:
            yield
        finally:
            await asyncio.gather(*(worker.shutdown() for worker in workers))


@asynccontextmanager
async def _webhooks(settings: Settings, archive: Archive) -> AsyncIterator[WebhookActivities]:
    """With an archive of their own: none of their commits is in the way of the journal's."""
    own = Archive(replace(archive.config, connections=WEBHOOK_CONNECTIONS))
    wire = Wire(private=settings.webhook_allow_private)
    activities = WebhookActivities(own, wire, settings.concurrent_webhooks)
    try:
        yield activities
    finally:
        await activities.close()
        await wire.close()
        await own.close()


def _webhook_worker(
    client: Client, settings: Settings, webhooks: WebhookActivities, usual: dict[str, Any]
) -> Worker:
    return Worker(
        client,
        task_queue=webhooks_queue(settings.task_queue),
        workflows=WEBHOOK_WORKFLOWS,
        max_concurrent_activities=settings.concurrent_webhooks,
        max_concurrent_activity_task_polls=WEBHOOK_POLLS,
        max_concurrent_workflow_task_polls=WEBHOOK_POLLS,
        **usual | {"activities": [webhooks.deliver, webhooks.deliver_again]},
    )


def compile_workflows() -> None:
    """The sandbox loads a workflow's module anew for each run; not compiled, each takes 20 ms longer.

    Also where Python was told to write no compiled files. A folder that cannot be written is left as it is.
    """
    compileall.compile_dir(Path(__file__).parent / "workflows", quiet=2)


async def reach_temporal(stop: asyncio.Event, runtime: Runtime) -> Client | None:
    """A client, as soon as Temporal answers; None when the worker is told to stop before."""
    pause = 1.0
    while not stop.is_set():
        try:
            client = await connect(runtime=runtime)
            await register_search_attributes(client)
        except (RPCError, RuntimeError) as error:
            log.temporal_away(error, pause)
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), pause)
            pause = min(pause * 2, 15.0)
        else:
            return client
    return None


async def run(settings: Settings, number: int = 0) -> None:
    """Work until SIGTERM or SIGINT; then finish the running transactions.

    `number`: which of several processes this is.
    """
    # Some thousand short-lived objects a second would have the collector walk everything all the time.
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    stop = asyncio.Event()
    for told in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(told, stop.set)
    serve_metrics(settings, number)
    runtime = core_runtime(settings.temporal_metrics(number))
    if settings.traces:
        start_tracing("postwerk-worker", settings.traces_ratio)
    relay = settings.relay()
    async with open_parts(settings, relay) as parts:
        client = await reach_temporal(stop, runtime)
        if client is None:
            return
        # Also here: what an API stored is started even when that API never comes back.
        reconciling = asyncio.create_task(reconcile_forever(parts.archive, client, settings.task_queue))
        async with build_worker(client, settings, parts):
            further = {one.name: f"{one.host}:{one.port}" for one in settings.further_relays()}
            log.worker_started(settings.task_queue, f"{relay.host}:{relay.port}", further)
            await stop.wait()
            log.worker_stopping(settings.shutdown_seconds)
            reconciling.cancel()
        await asyncio.gather(reconciling, return_exceptions=True)  # the archive closes next


def serve_metrics(settings: Settings, number: int) -> None:
    """Each process of `--processes` on the next port. Raises ConfigurationError."""
    port = settings.worker_metrics_port
    metrics.serve(settings.worker_metrics_host, port and port + number)


def run_processes(count: int) -> int:
    """One process a core: each is a whole worker, and they share nothing but the stores."""
    command = [sys.executable, "-m", "worker", "--number"]
    children = [subprocess.Popen([*command, str(number)]) for number in range(count)]

    def pass_on(number: int, _frame: object) -> None:
        for child in children:
            child.send_signal(number)

    signal.signal(signal.SIGTERM, pass_on)
    signal.signal(signal.SIGINT, pass_on)
    return max(abs(child.wait()) for child in children)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m worker", description="Carries mail.")
    parser.add_argument("--processes", type=int, default=1, metavar="N", help="worker processes (default 1)")
    parser.add_argument("--number", type=int, default=0, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.processes > 1:
        return run_processes(arguments.processes)
    try:
        settings = load_settings()
        log.configure_logging(settings.log_level, settings.log_format)
        compile_workflows()
        uvloop.run(run(settings, arguments.number))
    except (PostwerkError, RuntimeError) as error:
        print(f"worker: {error}", file=sys.stderr)  # noqa: T201
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
