"""What is typed into the sandbox's search box, as terms."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postwerk.sandbox.search import SearchError, Term, read_search

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("written", "terms"),
    [
        ("", []),
        ("  late Again ", [Term("any", "late"), Term("any", "again")]),
        ('"late again"', [Term("any", "late again")]),
        ('subject:"late again" to:ann', [Term("subject", "late again"), Term("to", "ann")]),
        ("-code:451 !is:refused", [Term("code", "451", True), Term("is", "refused", True)]),
        ('-"a b"', [Term("any", "a b", True)]),
        ("Re: http://x.example", [Term("any", "re:"), Term("any", "http://x.example")]),
        ("body:x text:y", [Term("text", "x"), Term("text", "y")]),
        ("TO:Ann", [Term("to", "ann")]),
        ("to: - a-b", [Term("any", "to:"), Term("any", "a-b")]),
        ('subject:"never closed', [Term("subject", "never closed")]),
        ("before:2026-11-22T12:00", [Term("before", NOON)]),
        ('after:"2026-11-22 13:00+01:00"', [Term("after", NOON)]),
        ("larger:20k smaller:3M", [Term("larger", 20_000.0), Term("smaller", 3_000_000.0)]),
        ("has:attachment stage:rcpt", [Term("has", "attachment"), Term("stage", "rcpt")]),
    ],
)
def test_a_search_is_read_term_by_term(written: str, terms: list[Term]) -> None:
    assert read_search(written) == terms


@pytest.mark.parametrize(
    ("written", "field"),
    [
        ("before:yesterday", "before"),
        ("after:9999-99-99", "after"),
        ("code:4xx", "code"),
        ("code:4511", "code"),
        ("is:read", "is"),
        ("has:fleas", "has"),
        ("stage:late", "stage"),
        ("larger:-1", "larger"),
        ("x" * 1001, "query"),
        ("x " * 21, "query"),
    ],
)
def test_a_term_that_means_nothing_is_named(written: str, field: str) -> None:
    with pytest.raises(SearchError, match=f"^{field}: "):
        read_search(written)


@given(st.text(max_size=60) | st.text('-!":toiscode4after2026- ', max_size=40))
def test_whatever_is_typed_is_read_or_refused_in_words(written: str) -> None:
    trouble, terms = "", []
    try:
        terms = read_search(written)
    except SearchError as error:
        trouble = error.message

    assert all(term.value != "" for term in terms)
    assert not trouble or re.match(r"(before|after|code|is|has|stage|larger|smaller|query): ", trouble)
