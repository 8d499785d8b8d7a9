"""docs/temporal.md names every workflow, and each signal, query and update that it has; and no others."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from temporalio.workflow import _Definition

from workflows import options, told
from workflows.names import SEARCH_ATTRIBUTE_NAMES
from workflows.registered import WORKFLOWS

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "temporal.md").read_text("utf-8")
SECTIONS = dict(re.findall(r"^### (\w+): [^\n]*\n(.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL))


def handlers(workflow: type) -> set[str]:
    definition = _Definition.must_from_class(workflow)
    names = {*definition.signals, *definition.queries, *definition.updates}
    return {name for name in names if name}


def test_the_page_has_a_section_for_each_workflow() -> None:
    assert set(SECTIONS) == {workflow.__name__ for workflow in WORKFLOWS}


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda workflow: workflow.__name__)
def test_a_section_names_what_its_workflow_listens_to(workflow: type) -> None:
    every = set().union(*(handlers(one) for one in WORKFLOWS))
    named = set(re.findall(r"`(\w+)`", SECTIONS[workflow.__name__])) & every
    assert named == handlers(workflow)


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda workflow: workflow.__name__)
def test_whatever_a_workflow_listens_to_says_what_it_does(workflow: type) -> None:
    definition = _Definition.must_from_class(workflow)
    found = {**definition.signals, **definition.queries, **definition.updates}
    for name, handler in found.items():
        assert handler.description == getattr(told, str(name).upper())


def test_the_page_names_the_search_attributes_and_the_limits() -> None:
    assert all(f"`{name}`" in PAGE for name in SEARCH_ATTRIBUTE_NAMES)
    assert f"More than {options.TOLD_ONE_BY_ONE} children are told of a hold in one activity" in PAGE
    assert f"in a new run after {options.LONG_HISTORY:,}" in PAGE
