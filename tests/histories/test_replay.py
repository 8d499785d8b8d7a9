"""Histories of earlier sends still replay on today's workflows."""

from __future__ import annotations

from pathlib import Path

import pytest
from temporalio.client import WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer

from tests.histories.record import SHORT_HISTORY
from workflows import options
from workflows.registered import WORKFLOWS

HISTORIES = sorted(Path(__file__).parent.glob("*.json"))


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: path.stem)
async def test_a_recorded_history_replays(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replayer = Replayer(workflows=WORKFLOWS, data_converter=pydantic_data_converter)
    await replay(path, replayer, monkeypatch)


async def replay(path: Path, replayer: Replayer, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the limits under which it was recorded."""
    with monkeypatch.context() as recorded:
        if path.stem.startswith("coalesced_afresh"):
            recorded.setattr(options, "LONG_HISTORY", SHORT_HISTORY)
        await replayer.replay_workflow(WorkflowHistory.from_json(path.stem, path.read_text()))


def test_every_workflow_has_a_recorded_history() -> None:
    recorded = {path.stem.rsplit("-", 1)[-1] for path in HISTORIES}
    assert recorded == {workflow.__name__ for workflow in WORKFLOWS}
