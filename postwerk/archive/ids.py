"""New ids: for what callers make, and for what Postwerk makes itself."""

from __future__ import annotations

import uuid_utils

_CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"


def new_id(prefix: str) -> str:
    """`prefix_` and a UUID 7 in 26 letters (Crockford base 32): ids sort by time."""
    number = uuid_utils.uuid7().int
    return f"{prefix}_" + "".join(_CROCKFORD[(number >> shift) & 31] for shift in range(125, -1, -5))


def new_bulk_id() -> str:
    return new_id("bulk")
