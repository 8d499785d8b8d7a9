"""docs/operations.md does what it says: its commands run against the whole system, and answer as it shows."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from tests.support.operators_page import PAGE, Section, Step, agrees, sections, stray_prompts
from tests.support.prompt import Prompt
from tests.support.sandbox import eventually
from tests.support.system import System

TEXT = PAGE.read_text("utf-8")
SECTIONS = sections(TEXT)
PATIENCE_SECONDS = 40.0
"""The reconciler looks every 15 seconds."""
_LOOKS = re.compile(
    r"postwerk (audit|top|lanes$|relay$|(queue|bulk|operations|suspend) (list|count|shape|show))"
    r"|temporal (workflow|batch) (count|describe|list|query|show)"
    r"|curl -s [\"$](?!.* -[Xd] )"
)
_VERB = re.compile(r"postwerk queue (retry|hold|release|cancel|expire) (.*)")


@pytest.fixture(scope="module")
def prompt(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prompt]:
    with System(tmp_path_factory.mktemp("page")) as system:
        yield Prompt(system, tmp_path_factory.mktemp("prompt"))


def test_the_page_has_commands_and_none_that_nobody_runs() -> None:
    assert sum(len(section.rows) for section in SECTIONS) >= 45
    assert sum(len(section.steps) for section in SECTIONS) >= 30
    assert stray_prompts(TEXT) == []
    commands = re.findall(r"`(postwerk (?:queue|bulk|suspend|audit)[^`]*)`", TEXT.replace("\\|", "|"))
    run = {row.ours for section in SECTIONS for row in section.rows} | {"postwerk audit"}
    assert set(commands) <= run


def _sessions() -> Iterator[Any]:
    for section in SECTIONS:
        if section.steps:
            # The reconciler takes two looks, 15 seconds apart.
            yield pytest.param(section, marks=pytest.mark.slow if section.title == "Terminate" else ())


@pytest.mark.timeout(90)
@pytest.mark.parametrize("section", list(_sessions()), ids=lambda one: one.title)
def test_a_session_goes_as_it_is_shown(prompt: Prompt, section: Section) -> None:
    prompt.new_world(full=4, bounce=1, ok=1)
    for step in section.steps:
        _run(prompt, step)


def _run(prompt: Prompt, step: Step) -> None:
    """What only looks may look again: Temporal's lists and the counters are a moment behind."""
    looks = _LOOKS.match(step.command)
    until = time.monotonic() + (PATIENCE_SECONDS if looks else 0)
    while not agrees(step.output, printed := prompt.type(step.command)):
        assert time.monotonic() < until, (
            f"$ {step.command}\n{printed}\nis not what the page says:\n{step.output}"
        )


# Rows of the tables

ROWS = [row for section in SECTIONS for row in section.rows]


@pytest.mark.timeout(90)
@pytest.mark.parametrize("row", dict.fromkeys((row.ours, row.http) for row in ROWS), ids=" = ".join)
def test_a_row_of_the_tables_does_the_same_in_both_ways(prompt: Prompt, row: tuple[str, str]) -> None:
    ours, http = row
    verb = _VERB.search(ours)
    if verb is None:
        _looks_the_same(prompt, ours, http)
    elif "$MESSAGE" in ours:
        _changes_one(prompt, verb[1], ours, http)
    else:
        _changes_all(prompt, verb[1], "--all" in verb[2], ours, http)


# Rows that look


def _looks_the_same(prompt: Prompt, ours: str, http: str) -> None:
    """Both show the same of two messages that wait and one that is held."""
    if not prompt.bulk_id or prompt.counts != {"deferred": 2, "held": 1}:
        prompt.new_world(full=3)
        prompt.call('POST /v1/messages/$BULK.3/hold {"reason": "wrong price"}')
    eventually(lambda: _seen(prompt.type(ours), ours) == _told(prompt.call(http), ours), 10)


def _seen(printed: str, ours: str) -> object:
    if " list" in ours:
        return sorted(set(re.findall(r"bulk_\w+\.\d+", printed)))
    if " count" in ours:
        return int(printed.split()[0])
    if " shape" in ours:
        return int(printed.splitlines()[1].split()[1])
    if "--raw" in ours or "--headers" in ours:
        return printed.splitlines()
    return re.findall(r"#\d+ 127.*?\n +(\d+)", printed)


def _told(answer: httpx2.Response, ours: str) -> object:
    if "--raw" in ours or "--headers" in ours:
        head, _, body = answer.text.partition("\r\n\r\n")
        return (head if "--headers" in ours else body if "sed" in ours else answer.text).splitlines()
    told = answer.json()
    if " list" in ours:
        return sorted(one["id"] for one in told["data"])
    if " shape" in ours:
        return told["total"]["total"]
    return told["count"] if " count" in ours else [str(one["code"]) for one in told["attempts"]]


# Rows that change


def _changes_one(prompt: Prompt, verb: str, ours: str, http: str) -> None:
    prompt.new_world(full=3)
    if verb == "release":
        prompt.call('POST /v1/queue/hold {"filter": {"domain": "gmx.de"}, "reason": "wrong price"}')
    prompt.type(ours)
    prompt.number = 2
    prompt.call(http)
    untouched = ("held" if verb == "release" else "deferred", 1)
    eventually(lambda: _standing(prompt) == [AFTERWARDS[verb], AFTERWARDS[verb], untouched], 20)


def _changes_all(prompt: Prompt, verb: str, whole: bool, ours: str, http: str) -> None:
    for order in (lambda: prompt.type(ours), lambda: prompt.call(http)):
        prompt.new_world(full=2)
        if verb == "release":
            prompt.call('POST /v1/messages/$BULK.1/hold {"reason": "wrong price"}')
            prompt.call('POST /v1/bulk-sends/$BULK/pause {"reason": "wrong price"}')
        order()
        if verb in ("hold", "release") and whole:
            state = {"hold": "paused", "release": "running"}[verb]
            eventually(lambda state=state: prompt.system.view(prompt.bulk_id)["state"] == state, 20)
        if verb == "release":
            # Twice when it is released and then told to be tried besides.
            eventually(lambda: _standing(prompt)[0] in (AFTERWARDS[verb], ("deferred", 3)), 20)
        elif not (verb == "hold" and whole):
            eventually(lambda: _standing(prompt) == [AFTERWARDS[verb]] * 2, 20)


AFTERWARDS = {
    "retry": ("deferred", 2),
    "hold": ("held", 1),
    "release": ("deferred", 2),
    "cancel": ("cancelled", 1),
    "expire": ("expired", 1),
}
"""State and number of attempts of a message that waited after its first attempt."""


def _standing(prompt: Prompt) -> list[tuple[str, int]]:
    found = prompt.get(f"/v1/bulk-sends/{prompt.bulk_id}/messages")["data"]
    return [(one["state"], one["attempt_count"]) for one in found]
