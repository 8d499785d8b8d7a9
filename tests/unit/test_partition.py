"""How a bulk send falls into children."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postwerk.rules.partition import CHILDREN_PER_WORKFLOW, recipients_per_child, split_range


@pytest.mark.parametrize(
    ("recipients", "size"),
    [(1, 1), (100, 1), (101, 10), (1_000, 50), (5_000, 250), (10_000, 250), (1_000_000, 250)],
)
def test_one_child_per_recipient_when_small_and_250_when_large(recipients: int, size: int) -> None:
    assert recipients_per_child(recipients, None) == size


@given(st.integers(1, 5_000_000), st.integers(1, 1000))
def test_a_wish_is_kept(recipients: int, wanted: int) -> None:
    assert recipients_per_child(recipients, wanted) == wanted


@given(st.integers(1, 10_000), st.integers(1, 20_000_000))
def test_a_range_is_cut_without_gap_or_overlap_into_at_most_200(first: int, length: int) -> None:
    last = first + length - 1
    parts = split_range(first, last)
    assert len(parts) <= CHILDREN_PER_WORKFLOW
    assert parts[0][0] == first
    assert parts[-1][1] == last
    assert all(end + 1 == start for (_, end), (start, _) in pairwise(parts))


def test_ten_million_recipients_need_two_levels() -> None:
    batches = 10_000_000 // 250
    assert all(end - start < CHILDREN_PER_WORKFLOW for start, end in split_range(1, batches))
