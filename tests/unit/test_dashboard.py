"""Dashboard and alert rules: what they ask for exists, and is said in PromQL."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from postwerk.rules.providers import load_providers
from tests.support.metrics import asked_for, known_metrics, series_names
from tests.unit.test_compose_file import SERVICES

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
DASHBOARD: dict[str, Any] = json.loads((DEPLOY / "grafana" / "postwerk.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
RULES = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text())["groups"][0]["rules"]
SCRAPES = {
    job["job_name"]: job
    for job in yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
}
SHOWN = [(panel["title"], target["expr"]) for panel in PANELS for target in panel["targets"]]
ASKED = [*SHOWN, *((rule["alert"], rule["expr"]) for rule in RULES)]
_OF_GRAFANA = {"$__rate_interval": "5m", "$provider": ".*"}
OTHERS = re.compile(r"\b(process_\w+|temporal_\w+|up)\b(?=[{\[ =)])")


@pytest.mark.parametrize(("title", "expression"), ASKED)
def test_it_is_promql_and_asks_for_what_there_is(title: str, expression: str) -> None:
    for name, stands_for in _OF_GRAFANA.items():
        expression = expression.replace(name, stands_for)
    assert "$" not in expression, title
    promql_parser.parse(expression)
    assert asked_for(expression) <= series_names(), title
    assert asked_for(expression) or OTHERS.search(expression), title


@pytest.mark.parametrize(("title", "expression"), ASKED)
def test_it_asks_for_labels_that_the_metrics_have(title: str, expression: str) -> None:
    told = {"le", "job", "instance", "activity_type"}
    known = known_metrics()
    for series in asked_for(expression):
        told |= set(
            known.get(series, known.get(re.sub("_(bucket|sum|count)$", "", series), None) or ()).labels
        )
    named = set(re.findall(r"(\w+)\s*[=!]~?\s*\"", expression))
    for group in re.findall(r"\bby\s*\(([^)]*)\)", expression):
        named |= {label.strip() for label in group.split(",")}
    assert named <= told, title


def test_the_parser_finds_a_mistake() -> None:
    with pytest.raises(ValueError, match="unclosed left parenthesis"):
        promql_parser.parse("sum(rate(postwerk_delivered_total[5m])")


def test_the_dashboard_shows_every_metric() -> None:
    shown = set().union(*(asked_for(expression) for _, expression in SHOWN))
    missing = {
        name
        for name, one in known_metrics().items()
        if not shown & ({name} | {f"{name}_{part}" for part in ("bucket", "sum", "count")})
    }
    assert missing == set()


def test_every_panel_explains_itself_and_overlaps_no_other() -> None:
    assert all(panel["description"] for panel in PANELS)
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    places = [
        (x, y)
        for panel in DASHBOARD["panels"]
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(places) == len(set(places))
    assert max(x for x, _ in places) < 24


def test_every_alert_says_how_bad_it_is_and_what_to_do() -> None:
    assert len({rule["alert"] for rule in RULES}) == len(RULES) >= 8
    for rule in RULES:
        assert rule["labels"]["severity"] in ("warning", "critical"), rule["alert"]
        assert rule["annotations"]["summary"], rule["alert"]
        assert rule["annotations"]["description"].endswith("."), rule["alert"]
        for label in re.findall(r"\$labels\.(\w+)", str(rule["annotations"])):
            assert label in rule["expr"] or label in ("instance", "job"), rule["alert"]


def test_prometheus_asks_where_the_services_of_compose_tell() -> None:
    worker = SERVICES["worker"]["environment"]
    ports = {
        "postwerk-worker": worker["POSTWERK_WORKER_METRICS_PORT"],
        "postwerk-inbound": worker["POSTWERK_INBOUND_METRICS_PORT"],
        "temporal-sdk": worker["POSTWERK_TEMPORAL_METRICS_ADDRESS"].rpartition(":")[2],
    }
    for job, port in ports.items():
        (found,) = SCRAPES[job]["dns_sd_configs"]
        assert (found["port"], set(found["names"]) <= set(SERVICES)) == (int(port), True)
    assert SCRAPES["postwerk-api"]["static_configs"] == [{"targets": ["api:8000"]}]
    for name in ("api", "worker", "inbound", "prometheus", "grafana"):
        assert "watch" in SERVICES[name]["networks"], name


def test_what_grafana_and_prometheus_read_is_there() -> None:
    root = DEPLOY.parent
    for name in ("prometheus", "grafana"):
        for volume in SERVICES[name]["volumes"]:
            source, _, rest = volume.partition(":")
            assert not source.startswith("./") or ((root / source).exists() and rest.endswith(":ro")), volume
    source = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/prometheus.yml").read_text())
    assert source["datasources"][0]["url"] == "http://prometheus:9090"


def test_a_provider_can_be_chosen_by_the_names_that_labels_have() -> None:
    (chosen,) = (one for one in DASHBOARD["templating"]["list"] if one["name"] == "provider")
    assert chosen["definition"] == "label_values(postwerk_attempts_total, provider)"
    lanes, patterns = load_providers()
    assert len({*lanes.values(), *patterns.values()}) < 60  # so many values has the label, and one more
