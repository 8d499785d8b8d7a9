"""Traces into memory. OpenTelemetry takes one provider a process: it stays, and is asked within `traced`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

from opentelemetry import trace
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from postwerk.observe import tracing
from workflows.tracing import start_tracing


@contextmanager
def traced(ratio: float = 0.0) -> Iterator[InMemorySpanExporter]:
    """What ends within the block is found in the exporter."""
    exporter = _exporter()
    exporter.clear()
    tracing.trace_with(trace.get_tracer("postwerk"), ratio)
    try:
        yield exporter
    finally:
        tracing.trace_with(None, 0.0)


@lru_cache(maxsize=1)
def _exporter() -> InMemorySpanExporter:
    exporter = InMemorySpanExporter()
    start_tracing("postwerk-test", 0.0, SimpleSpanProcessor(exporter))
    return exporter
