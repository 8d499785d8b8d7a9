"""Traces across the API, workflows and activities by OpenTelemetry, set up once a process if at all."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from postwerk.errors import ConfigurationError
from postwerk.observe import tracing

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor

_MISSING = "POSTWERK_TRACES=otlp needs OpenTelemetry's SDK, the extra `otel`: pip install -e '.[otel]'"


def start_tracing(service: str, ratio: float, processor: SpanProcessor | None = None) -> None:
    """Spans go to `processor`, or by OTLP to where the OTEL_* variables say. Raises ConfigurationError.

    Inside a workflow ids come from dice of the workflow's own: a replay makes the same spans, and tells none
    of them twice.
    """
    try:
        from opentelemetry.sdk.resources import Resource
        from temporalio.contrib.opentelemetry import create_tracer_provider

        processor = processor or _otlp()
    except ImportError as error:
        raise ConfigurationError(_MISSING) from error
    from opentelemetry import trace

    # What OTEL_SERVICE_NAME says wins.
    named = {} if os.environ.get("OTEL_SERVICE_NAME") else {"service.name": service}
    provider = create_tracer_provider(resource=Resource.create(named))
    provider.add_span_processor(processor)
    trace.set_tracer_provider(provider)
    tracing.trace_with(provider.get_tracer("postwerk"), ratio)


def plugins() -> list[Any]:
    """What a Temporal client, and its workers, need to carry traces on; nothing while they are off."""
    if not tracing.is_on():
        return []
    from temporalio.contrib.opentelemetry import OpenTelemetryPlugin

    return [OpenTelemetryPlugin(add_temporal_spans=True)]


def _otlp() -> SpanProcessor:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    return BatchSpanProcessor(OTLPSpanExporter())
