"""The queue's filter in the address of the page: by the same words as of GET /v1/queue/messages."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode

from api.errors import InvalidFields
from api.ids import is_bulk_id, is_message_id
from api.queue_criteria import read_code, read_domain, read_recipient
from api.queue_filters import LISTS, read_filter
from postwerk.contracts.queue import QueueFilter
from postwerk.contracts.states import FINAL_STATES, MessageState
from postwerk.errors import InvalidRequest

CRITERIA = tuple(name for name in QueueFilter.model_fields if name != "all")
_DOMAIN = re.compile(r"@?([^\s@.]+\.)+[^\s@.]{2,}")
Given = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Search:
    """What is looked for: as it was typed, as it is meant, and what is wrong with it by field."""

    given: Given
    wanted: QueueFilter = field(default_factory=QueueFilter)
    wrong: Mapping[str, str] = field(default_factory=dict)

    @property
    def ended(self) -> bool:
        """Messages that have ended are asked for: they can be looked at, and stay as they are."""
        return not FINAL_STATES.isdisjoint(self.wanted.state)

    def typed(self, name: str) -> str:
        """For its field."""
        return ", ".join(self.given.get(name, ()))

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """As a form sends them."""
        return [(name, value) for name, values in self.given.items() for value in values]

    def address(self, **more: str) -> str:
        """Of the queue with this filter."""
        query = urlencode([*self.pairs, *more.items()])
        return f"/queue?{query}" if query else "/queue"

    def without(self, name: str) -> str:
        """The address of the same less one criterion."""
        return Search({other: values for other, values in self.given.items() if other != name}).address()


def search_of(pairs: Iterable[tuple[str, str]]) -> Search:
    """Out of the fields of an address or of a form; what is wrong is told beside its field."""
    given: dict[str, tuple[str, ...]] = {}
    for name, value in pairs:
        if name in CRITERIA and value.strip():
            given[name] = (*given.get(name, ()), value.strip())
    try:
        wanted = read_filter(_document(given), may_be_empty=True, pointer="#", states=frozenset(MessageState))
        return Search(given, wanted)
    except InvalidFields as error:
        wrong = {one["pointer"].removeprefix("#/").split("/")[0]: one["detail"] for one in error.errors}
        return Search(given, QueueFilter(), wrong)


def _document(given: Given) -> dict[str, object]:
    return {name: list(values) if name in LISTS else _one(values) for name, values in given.items()}


def _one(values: tuple[str, ...]) -> object:
    return values[0] if len(values) == 1 else list(values)


def understood(search: Search) -> Search | None:
    """The same with the search words as the criterion that they are: found by an index instead of one by one.

    None: they are a part of an address, or there are none.
    """
    words = search.given.get("q", ())
    if len(words) != 1 or not (name := _criterion(words[0])):
        return None
    value = words[0].lstrip("@") if name == "domain" else words[0]
    rest = {other: values for other, values in search.given.items() if other not in ("q", name)}
    return Search({**rest, name: (value,)})


def _criterion(words: str) -> str:
    """Which one these words are; empty for none."""
    if is_message_id(words):
        return "ids"
    if is_bulk_id(words):
        return "bulk"
    if words in list(MessageState):
        return "state"
    readers = (("code", read_code), ("recipient", read_recipient))
    found = next((name for name, read in readers if _reads(read, words)), "")
    return found or ("domain" if _DOMAIN.fullmatch(words) and _reads(read_domain, words.lstrip("@")) else "")


def _reads(read: object, words: str) -> bool:
    assert callable(read)
    try:
        read(words, "")
    except InvalidRequest:
        return False
    return True
