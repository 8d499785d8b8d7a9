"""Which events a webhook wants, by what it names."""

from __future__ import annotations

import pytest

from postwerk.contracts.events import EventType
from postwerk.errors import InvalidRequest
from postwerk.rules.webhook_types import read_types, wanted_types


def test_nothing_named_and_a_star_are_everything() -> None:
    assert read_types(None) is None
    assert read_types(["message.bounced", "*"]) is None
    assert wanted_types(None) is None


@pytest.mark.parametrize("one", list(EventType))
def test_every_type_can_be_named_and_stands_in_its_group(one: EventType) -> None:
    assert wanted_types(read_types([one.value])) == [one.value]
    assert one.value in (wanted_types(read_types([f"{one.value.partition('.')[0]}.*"])) or [])


def test_groups_and_names_go_together_each_once() -> None:
    kept = read_types(["lane.*", "lane.cooling", "lane.*", "message.failed"])
    assert kept == ("lane.*", "lane.cooling", "message.failed")
    assert wanted_types(kept) == ["message.failed", "lane.cooling", "lane.recovered"]


@pytest.mark.parametrize("bad", ["message.opened", "message", "*.bounced", "webhook.test", "", "lane.**"])
def test_what_is_no_type_is_refused_by_its_place(bad: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        read_types(["message.bounced", bad])
    assert refused.value.pointer == "#/types/1"
