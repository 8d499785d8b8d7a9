"""What is counted, how it is told, and that docs/metrics.md says the same."""

from __future__ import annotations

import re
import socket
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from activities.measuring import count_attempt, count_delay
from postwerk.contracts.orders import BatchOrder
from postwerk.contracts.smtp import Exchange, Reply, Stage
from postwerk.errors import ConfigurationError
from postwerk.observe.metrics import registry, sending
from postwerk.observe.metrics.queue import EVERYTHING, QueueCollector, QueueFigures, Standing
from postwerk.observe.metrics.registry import exposition
from postwerk.observe.metrics.sending import Delay
from postwerk.settings import Settings
from tests.support.metrics import Growth, Known, asked_for, known_metrics, series_names, told, value

DOCS = (Path(__file__).resolve().parents[2] / "docs" / "metrics.md").read_text()
NOW = datetime(2027, 1, 1, tzinfo=UTC)
TAKEN = Exchange(Stage.DOT, Reply(250, None, "ok"), dot_written=True, milliseconds=40)


def text() -> str:
    return exposition().decode()


def test_the_page_names_every_metric_with_its_type_and_labels() -> None:
    rows = re.findall(r"^\| `(postwerk_\w+)` \| (\w+) \| ([^|]*)\|", DOCS, re.M)
    written = {name: Known(name, kind, tuple(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}
    assert written == known_metrics()


def test_what_the_page_advises_to_ask_exists() -> None:
    queries = DOCS[DOCS.index("## What to ask") :]
    assert len(asked_for(queries)) >= 3
    assert asked_for(queries) <= series_names()


def test_a_provider_is_named_and_everybody_else_is_other() -> None:
    before = text()
    count_attempt("gmail.com", "delivered", "delivered", TAKEN, NOW - timedelta(seconds=3), NOW)
    count_attempt("ada-lovelace.example", "deferred", "greylisted", TAKEN, NOW, NOW)
    count_attempt("other", "bounced", "user_unknown", None, NOW, NOW)
    after = text()

    def grown(name: str, **labels: str) -> float:
        return value(after, name, **labels) - value(before, name, **labels)

    assert grown("postwerk_delivered_total", provider="gmail.com") == 1
    assert grown("postwerk_transient_failures_total", provider="other") == 1
    assert grown("postwerk_permanent_failures_total", provider="other") == 1
    assert grown("postwerk_attempts_total", provider="other", outcome="deferred", reason="greylisted") == 1
    assert grown("postwerk_attempt_seconds_count", provider="other") == 1
    assert grown("postwerk_time_to_delivery_seconds_sum", provider="gmail.com") == 3
    assert grown("postwerk_time_to_delivery_seconds_count", provider="other") == 0
    assert "ada-lovelace" not in after


def test_a_value_falls_into_its_bucket_and_all_larger_ones() -> None:
    growth = Growth()
    for seconds in (0.005, 0.0051, 7, 301):
        sending.attempt_took("gmx.net", seconds)
    for upper, expected in (("0.005", 1), ("0.01", 2), ("5.0", 2), ("10.0", 3), ("300.0", 3), ("+Inf", 4)):
        assert growth.of("postwerk_attempt_seconds_bucket", provider="gmx.net", le=upper) == expected
    assert growth.of("postwerk_attempt_seconds_count", provider="gmx.net") == 4
    assert growth.of("postwerk_attempt_seconds_sum", provider="gmx.net") == pytest.approx(308.0101)


@pytest.mark.parametrize("delay", Delay)
def test_each_delay_has_a_counter(delay: Delay) -> None:
    name = f"postwerk_delayed_due_to_{delay}_total"
    batch = BatchOrder(bulk_id="b", number=1, lane="gmail.com", first_seq=1, last_seq=1, messages=1)
    before = value(text(), name, provider="gmail.com")
    count_delay(batch, delay)
    assert value(text(), name, provider="gmail.com") == before + 1


def test_connections_that_are_gone_are_told_as_none() -> None:
    sending.connections_open("metrics-test", {"gmail.com": 3, "other": 1})
    sending.connections_open("metrics-test", {"other": 2})
    assert value(text(), "postwerk_connections", relay="metrics-test", provider="other") == 2
    gone = ("postwerk_connections", (("provider", "gmail.com"), ("relay", "metrics-test")))
    assert told(text())[gone] == 0


def test_what_is_not_known_is_left_out_instead_of_told_as_it_was() -> None:
    nothing = exposition(QueueCollector(Standing())).decode()
    assert value(nothing, "postwerk_archive_up") == value(nothing, "postwerk_temporal_up") == 0
    assert "postwerk_queued" not in nothing
    assert "postwerk_workers" not in nothing

    some = Standing(QueueFigures(messages={"queued": 7}, oldest_queued=2.5), workers=0)
    known = exposition(QueueCollector(some)).decode()
    assert (value(known, "postwerk_queued"), value(known, "postwerk_oldest_queued_seconds")) == (7, 2.5)
    assert ("postwerk_workers", ()) in told(known)
    assert {metric.name for metric in QueueCollector(some).collect()} == {
        metric.name for metric in QueueCollector(EVERYTHING).collect()
    }


def test_a_process_serves_its_metrics_on_a_port_of_its_own() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = registry.serve("127.0.0.1", port)
    assert server is not None
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            assert "process_resident_memory_bytes" in answer.read().decode()
        with pytest.raises(ConfigurationError, match=str(port)):
            registry.serve("127.0.0.1", port)
    finally:
        server.close()


def test_no_port_means_no_server() -> None:
    assert registry.serve("127.0.0.1", 0) is None


def test_of_several_processes_each_takes_the_next_port_for_the_sdk() -> None:
    settings = Settings(temporal_metrics_address="127.0.0.1:9464", _env_file=None)
    assert [settings.temporal_metrics(number) for number in (0, 2)] == ["127.0.0.1:9464", "127.0.0.1:9466"]
    assert Settings(_env_file=None).temporal_metrics(3) == ""
    for wrong in ("9464", "host:", "host:x", ":9464", "host:65536"):
        with pytest.raises(ConfigurationError, match="POSTWERK_TEMPORAL_METRICS_ADDRESS"):
            Settings(temporal_metrics_address=wrong, _env_file=None).temporal_metrics()
