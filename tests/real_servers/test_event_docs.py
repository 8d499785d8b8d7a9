"""docs/events.md tells of every type, and of every field that real events have."""

from __future__ import annotations

import json
import re
import shutil
from collections import defaultdict
from pathlib import Path
from typing import Any

from postwerk.archive.engine import Archive, ArchiveConfig
from postwerk.contracts.events import EventType
from postwerk.contracts.states import BulkState
from tests.real_servers import test_events_written as written
from tests.support.databases import Migrated
from tests.support.events import all_events

DOCUMENT = (Path(__file__).parents[2] / "docs" / "events.md").read_text()
_SECTION = re.compile(r"^### `([a-z_.]+)`\n\n.+?\n\nFields: (.+?)\.\n\n```json\n(.+?)\n```$", re.M | re.S)
FIELDS = {name: set(re.findall(r"`(\w+)`", fields)) for name, fields, _ in _SECTION.findall(DOCUMENT)}
EXAMPLES = {name: json.loads(example) for name, _, example in _SECTION.findall(DOCUMENT)}
SCENARIOS: list[tuple[Any, tuple[object, ...]]] = [
    *((written.test_the_end_of_an_attempt, (one,)) for one in ("delivered", "bounced", "failed", "unknown")),
    (written.test_each_deferral_and_whether_it_is_for_the_same_reason, ()),
    (written.test_what_ends_without_an_attempt, ()),
    (written.test_who_was_put_on_the_list_is_suppressed, ()),
    (written.test_a_late_bounce_and_a_complaint, ()),
    (written.test_who_unsubscribes_is_told_once, ()),
    (written.test_the_life_of_a_bulk_send, ()),
    *(
        (written.test_a_bulk_send_that_ends_otherwise, (one,))
        for one in (BulkState.CANCELLED, BulkState.FAILED)
    ),
    (written.test_a_threshold_is_told_once_until_the_send_is_released, ()),
    (written.test_a_stall_is_told_once_until_something_moves, ()),
    (written.test_each_rest_of_a_lane_and_its_recovery, ()),
    (written.test_the_suppression_list, ()),
]


def test_every_type_is_documented_with_an_example() -> None:
    assert sorted(FIELDS) == sorted(one.value for one in EventType)
    for name, example in EXAMPLES.items():
        assert example["type"] == name
        assert set(example["data"]) <= FIELDS[name], name


async def test_real_events_have_no_other_fields(migrated: Migrated, tmp_path: Path) -> None:
    found: defaultdict[str, set[str]] = defaultdict(set)
    for number, (scenario, arguments) in enumerate(SCENARIOS):
        file = tmp_path / f"{number}.db"
        shutil.copy(await migrated.file(), file)
        archive = Archive(ArchiveConfig(url=f"sqlite+aiosqlite:///{file}", durability="normal"))
        try:
            await scenario(archive, *arguments)
            for event in await all_events(archive):
                found[event.type] |= set(event.data)
        finally:
            await archive.close()
    assert set(found) == set(FIELDS)
    assert {name: fields - FIELDS[name] for name, fields in found.items() if fields - FIELDS[name]} == {}
