"""Traces change nothing that a workflow decides: histories replay with them, and tell no span twice."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer

from tests.histories.test_replay import HISTORIES, replay
from tests.support.tracing import traced
from workflows.registered import WORKFLOWS
from workflows.tracing import plugins


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    with traced() as exporter:
        yield exporter


async def test_each_workflow_replays_with_traces_as_without(
    spans: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    replayer = Replayer(workflows=WORKFLOWS, data_converter=pydantic_data_converter, plugins=plugins())
    one_of_each = {path.stem.rsplit("-", 1)[-1]: path for path in HISTORIES}
    assert len(one_of_each) == len(WORKFLOWS)
    for path in one_of_each.values():
        await replay(path, replayer, monkeypatch)
    assert spans.get_finished_spans() == ()
