"""One trace goes from the call through workflow and activity to the transaction, with no address in it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from api.app import create_app
from api.dependencies import ApiConfig, Parts
from postwerk.archive.engine import Archive
from tests.support.api import a_bulk_send
from tests.support.sandbox import SandboxProcess
from tests.support.tracing import traced
from tests.support.worker import local_server, working
from workflows.names import bulk_workflow_id
from workflows.tracing import plugins

pytestmark = pytest.mark.slow


@asynccontextmanager
async def a_house(archive: Archive, exporter: InMemorySpanExporter) -> AsyncIterator[tuple[Any, Client]]:
    """API, workflows and worker in this process, so that all their spans come to one place."""
    assert exporter.get_finished_spans() == ()
    with SandboxProcess() as sandbox:
        async with local_server() as environment:
            target = environment.client.service_client.config.target_host
            client = await Client.connect(target, data_converter=pydantic_data_converter, plugins=plugins())
            async with working(client, archive, sandbox.relay_url) as task_queue:
                parts = Parts(archive, client, ApiConfig(task_queue=task_queue))
                transport = httpx2.ASGITransport(create_app(parts))
                async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
                    yield http, client
                await parts.close()


async def test_one_trace_goes_from_the_call_to_the_transaction(archive: Archive) -> None:
    caller = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    with traced() as exporter:
        async with a_house(archive, exporter) as (http, client):
            message = {"from": "a@shop.example", "to": "ada@gmail.com", "subject": "s", "text": "t"}
            taken = await http.post("/v1/messages", json=message, headers={"traceparent": caller})
            assert taken.status_code == 202, taken.text
            await client.get_workflow_handle(bulk_workflow_id(taken.json()["bulk_send"])).result()
        spans = exporter.get_finished_spans()

    transaction = one(spans, "smtp transaction")
    path = up_from(transaction, spans)
    assert [span.name for span in path] == [
        "smtp transaction",
        "RunActivity:send_batch",
        "StartActivity:send_batch",
        "RunWorkflow:Message",
        "StartWorkflow:Message",
        "POST /v1/messages",
    ]
    root = path[-1]
    assert root.parent is not None
    assert f"{root.parent.trace_id:032x}" == caller.split("-")[1]
    assert dict(transaction.attributes or {}) == {
        "postwerk.provider": "gmail.com",
        "postwerk.relay": "default",
        "postwerk.outcome": "deliver",
        "smtp.stage": "dot",
        "smtp.code": 250,
    }
    assert transaction.kind is SpanKind.CLIENT
    assert (root.attributes or {})["http.response.status_code"] == 202
    batch = (
        path[1].attributes or {}
    )  # on a busy machine it may have come back once, and has several runs then
    assert (batch["postwerk.provider"], batch["postwerk.messages"]) == ("gmail.com", 1)
    assert_no_address(spans, "ada", "shop.example")


@pytest.mark.parametrize(("ratio", "expected"), [(0.0, 0), (1.0, 30)])
async def test_of_a_bulk_send_only_a_share_of_the_transactions_has_spans(
    archive: Archive, ratio: float, expected: int
) -> None:
    recipients = [{"to": f"u{n}@example.com"} for n in range(29)] + [{"to": "bounce@example.com"}]
    with traced(ratio) as exporter:
        async with a_house(archive, exporter) as (http, client):
            order = a_bulk_send(recipients=recipients, recipients_per_child=10)
            bulk_id = (await http.post("/v1/bulk-sends", json=order)).json()["id"]
            await client.get_workflow_handle(bulk_workflow_id(bulk_id)).result()
        spans = exporter.get_finished_spans()

    transactions = [span for span in spans if span.name == "smtp transaction"]
    assert len(transactions) == expected
    batches = [span for span in spans if span.name == "RunActivity:send_batch"]
    assert len(batches) >= 3
    trace = one(spans, "POST /v1/bulk-sends").context
    assert trace is not None
    sent = [span.context.trace_id for span in (*batches, *transactions) if span.context]
    assert set(sent) == {trace.trace_id}
    assert_no_address(spans, "u1@", "bounce@", "example.com", "shop.example")


def one(spans: Sequence[ReadableSpan], name: str) -> ReadableSpan:
    (found,) = (span for span in spans if span.name == name)
    return found


def up_from(span: ReadableSpan, spans: Sequence[ReadableSpan]) -> list[ReadableSpan]:
    """The span and those it is part of, the outermost last."""
    known = {other.context.span_id: other for other in spans if other.context}
    path = [span]
    while (parent := path[-1].parent) is not None and parent.span_id in known:
        path.append(known[parent.span_id])
    return path


def assert_no_address(spans: Sequence[ReadableSpan], *words: str) -> None:
    told = "\n".join(span.to_json() for span in spans)
    assert [word for word in words if word in told] == []
