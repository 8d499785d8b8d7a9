"""Traces that are off cost nothing; without the extra the setting is refused in one clear line."""

from __future__ import annotations

import subprocess
import sys

import pytest
from opentelemetry import trace

from postwerk.contracts.smtp import Exchange, Reply, Stage
from postwerk.errors import ConfigurationError
from postwerk.observe import tracing
from postwerk.settings import Settings, load_settings
from tests.support.tracing import traced
from workflows.tracing import plugins, start_tracing

TAKEN = Exchange(Stage.DOT, Reply(250, None, "ok"), dot_written=True, milliseconds=40)


def test_off_there_is_no_plugin_and_no_span() -> None:
    assert not tracing.is_on()
    assert plugins() == []
    with tracing.call("GET", "/v1/lanes", {}, "req_1") as call:
        call.answered("GET", "/v1/lanes", 200)
        assert not trace.get_current_span().get_span_context().is_valid
    assert tracing.ids() == {}


def test_the_packages_of_the_extra_are_not_loaded_while_traces_are_off() -> None:
    """By a process of its own: this one may have them for other tests."""
    code = (
        "import sys, worker, api.app, workflows.client\n"
        "print([x for x in sys.modules if x.startswith(('opentelemetry.sdk', 'opentelemetry.exporter'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_without_the_extra_the_setting_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.resources", None)
    with pytest.raises(ConfigurationError, match=r"POSTWERK_TRACES=otlp .*\.\[otel\]"):
        start_tracing("postwerk-test", 1.0)
    assert not tracing.is_on()


@pytest.mark.parametrize("value", ["jaeger", "OTLP "])
def test_another_exporter_is_no_setting(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTWERK_TRACES", value)
    with pytest.raises(ConfigurationError, match="POSTWERK_TRACES"):
        load_settings()
    with pytest.raises(ValueError, match="traces_ratio"):
        Settings(traces_ratio=1.5, _env_file=None)


def test_a_transaction_that_failed_says_where_and_how() -> None:
    with traced() as exporter:
        lost = Exchange(Stage.CONNECT, trouble=None, reply=Reply(421, None, "slow down, ada@example.com"))
        tracing.transaction("other", "default", "retry", lost, always=True)
        tracing.transaction("other", "default", "deliver", TAKEN, always=False)
    (span,) = exporter.get_finished_spans()
    assert (span.attributes or {})["smtp.code"] == 421
    assert (span.attributes or {})["smtp.stage"] == "connect"
    assert "example.com" not in span.to_json()


def test_health_checks_and_scrapes_have_no_span_and_others_carry_ids_to_the_log() -> None:
    with traced() as exporter:
        for path in ("/healthz", "/readyz", "/metrics"):
            with tracing.call("GET", path, {}, "req_1"):
                assert tracing.ids() == {}
        with tracing.call("GET", "/v1/suppressions/ada@example.com", {}, "req_1") as call:
            ids = tracing.ids()
            call.answered("GET", "/v1/suppressions/{address}", 404)
    (span,) = exporter.get_finished_spans()
    assert span.context is not None
    assert ids["trace_id"] == f"{span.context.trace_id:032x}"
    assert span.name == "GET /v1/suppressions/{address}"
    assert "example.com" not in span.to_json()
