"""How many recipients a child workflow carries, and how many children a workflow has."""

from __future__ import annotations

CHILDREN_PER_WORKFLOW = 200
"""Keeps every history below 2,000 events: a child costs its parent nine at most, seven as a rule."""
SMALL_SEND = 100
"""Up to here each recipient gets its own child workflow, its own page in the Web UI."""
LARGEST_BATCH = 250
"""Above this the gain is gone (docs/performance.md) and a retried batch gets unwieldy."""


def recipients_per_child(recipients: int, wanted: int | None) -> int:
    """The size of a batch: as wanted, else 1 up to 100 recipients, growing with the send up to 250.

    >>> [recipients_per_child(n, None) for n in (1, 100, 1_000, 10_000, 100_000)]
    [1, 1, 50, 250, 250]
    """
    if wanted is not None:
        return wanted
    if recipients <= SMALL_SEND:
        return 1
    return max(10, min(LARGEST_BATCH, recipients // 20))


def split_range(first: int, last: int, parts: int = CHILDREN_PER_WORKFLOW) -> list[tuple[int, int]]:
    """Cut the batch numbers first..last (inclusive) into at most `parts` ranges for child workflows.

    Each range is as small a multiple of `parts` as covers them all, so the tree is no deeper than needed:
    4,000 batches become 20 children of 200; 10 million recipients need two levels, 2 billion three.

    >>> split_range(1, 4000)[:2], len(split_range(1, 4000))
    ([(1, 200), (201, 400)], 20)
    """
    size = parts
    while size * parts < last - first + 1:
        size *= parts
    return [(start, min(start + size - 1, last)) for start in range(first, last + 1, size)]
