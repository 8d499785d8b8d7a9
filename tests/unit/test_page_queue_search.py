"""What is typed into the queue's filter, and which criterion it is."""

from __future__ import annotations

import pytest

from api.page.queue_search import search_of, understood
from postwerk.contracts.queue import QueueFilter
from postwerk.contracts.states import MessageState

BULK = "bulk_" + "0" * 26

WORDS = [
    (f"{BULK}.17", "ids"),
    (BULK, "bulk"),
    ("held", "state"),
    ("bounced", "state"),
    ("451", "code"),
    ("5xx", "code"),
    ("ada@example.com", "recipient"),
    ("gmx.de", "domain"),
    ("@gmx.de", "domain"),
    # parts of an address
    ("ada", ""),
    ("ada@", ""),
    ("45", ""),
    (".de", ""),
    ("<script>", ""),
]


@pytest.mark.parametrize(("words", "criterion"), WORDS)
def test_search_words_are_the_criterion_that_they_look_like(words: str, criterion: str) -> None:
    better = understood(search_of([("q", words), ("older_than", "1h")]))

    if not criterion:
        assert better is None
    else:
        assert better is not None
        assert better.given == {criterion: (words.lstrip("@"),), "older_than": ("1h",)}


def test_what_is_searched_for_takes_the_place_of_the_same_criterion() -> None:
    better = understood(search_of([("state", "queued"), ("q", "held")]))
    assert better is not None
    assert better.address() == "/queue?state=held"


def test_empty_fields_of_the_form_and_foreign_parameters_say_nothing() -> None:
    search = search_of([("q", ""), ("state", " "), ("after", "x"), ("all", "true"), ("domain", "gmx.de")])
    assert search.wanted == QueueFilter(domain="gmx.de")
    assert search.address(after="x.1") == "/queue?domain=gmx.de&after=x.1"
    assert search.without("domain") == "/queue"


def test_every_wrong_criterion_is_told_beside_its_field() -> None:
    search = search_of([("domain", "a@b"), ("code", "9"), ("reason", "greylisted"), ("code", "451")])
    assert sorted(search.wrong) == ["code", "domain"]
    assert "gmx.de" in search.wrong["domain"]


def test_ended_messages_are_asked_for_by_their_state() -> None:
    search = search_of([("state", "bounced"), ("bulk", BULK), ("code", "550")])
    assert search.ended
    assert search.wanted == QueueFilter(state=(MessageState.BOUNCED,), bulk=(BULK,), code=550)
    assert not search_of([("state", "held")]).ended
    assert list(search_of([("state", "lost")]).wrong) == ["state"]
