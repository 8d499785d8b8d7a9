"""Spans of calls, batches and SMTP transactions, if traces are exported (docs/tracing.md); else nothing.

No attribute is an address or anything of a mail: provider, outcome, code, stage, ids (P7).
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from opentelemetry import propagate, trace
from opentelemetry.trace import Span, SpanKind, Tracer
from opentelemetry.util.types import AttributeValue

from postwerk.contracts.smtp import Exchange

_UNTRACED = frozenset(("/healthz", "/readyz", "/metrics"))
"""Asked every few seconds, by machines."""


_CARRIED = ("traceparent", "tracestate")


class _Tracing:
    tracer: Tracer | None = None
    ratio: float = 0.0


_state = _Tracing()
_dice = random.Random()


def trace_with(tracer: Tracer | None, ratio: float) -> None:
    """From now on; None: not any more. `ratio`: share of a bulk send's transactions with a span."""
    _state.tracer, _state.ratio = tracer, ratio


def is_on() -> bool:
    return _state.tracer is not None


class TracedCall:
    """The span of a call, as long as it runs."""

    def __init__(self, span: Span | None) -> None:
        self._span = span

    def answered(self, method: str, route: str, status: int) -> None:
        if self._span is not None:
            self._span.update_name(f"{method} {route}")
            self._span.set_attribute("http.route", route)
            self._span.set_attribute("http.response.status_code", status)


_NO_CALL = TracedCall(None)


@contextmanager
def call(method: str, path: str, headers: Mapping[str, str], request_id: str) -> Iterator[TracedCall]:
    """A call of the API. It goes on with the caller's trace if that says so (`traceparent`)."""
    if _state.tracer is None or path in _UNTRACED:
        yield _NO_CALL
        return
    about: dict[str, AttributeValue] = {"http.request.method": method, "postwerk.request_id": request_id}
    with _state.tracer.start_as_current_span(
        method,
        context=propagate.extract({name: headers[name] for name in _CARRIED if name in headers}),
        kind=SpanKind.SERVER,
        attributes=about,
        record_exception=False,
    ) as span:
        yield TracedCall(span)


def batch(provider: str, relay: str, messages: int) -> None:
    """What the activity of this moment carries."""
    if _state.tracer is not None:
        about: dict[str, AttributeValue] = {"postwerk.provider": provider, "postwerk.relay": relay}
        trace.get_current_span().set_attributes(about | {"postwerk.messages": messages})


def transaction(provider: str, relay: str, outcome: str, exchange: Exchange, *, always: bool) -> None:
    """One that has just ended; unless `always` only a share of them."""
    if _state.tracer is None or not (always or _dice.random() < _state.ratio):
        return
    ended = time.time_ns()
    about: dict[str, AttributeValue] = {
        "postwerk.provider": provider,
        "postwerk.relay": relay,
        "postwerk.outcome": outcome,
        "smtp.stage": exchange.stage.value,
    }
    if exchange.reply is not None:
        about["smtp.code"] = exchange.reply.code
    if exchange.trouble is not None:
        about["smtp.trouble"] = exchange.trouble.value
    started = ended - exchange.milliseconds * 1_000_000
    _state.tracer.start_span(
        "smtp transaction", kind=SpanKind.CLIENT, attributes=about, start_time=started
    ).end(ended)


def ids() -> dict[str, str]:
    """The trace and span of this moment, for a log line; empty when there is none."""
    context = trace.get_current_span().get_span_context() if _state.tracer is not None else None
    if context is None or not context.is_valid:
        return {}
    return {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"}
