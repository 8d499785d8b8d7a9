"""New ids: for what callers make, and for what Postwerk makes itself."""

from __future__ import annotations

import hashlib
from datetime import datetime

import uuid_utils

_CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"


def new_id(prefix: str) -> str:
    """`prefix_` and a UUID 7 in 26 letters (Crockford base 32): ids sort by time."""
    number = uuid_utils.uuid7().int
    return f"{prefix}_{_letters(number)}"


def new_bulk_id() -> str:
    return new_id("bulk")


def bulk_id_at(at: datetime, mark: str) -> str:
    """The id of the one bulk send that is made for `mark` at `at`: always the same, and sorted by time."""
    milliseconds = int(at.timestamp() * 1000) & (2**48 - 1)
    digest = int.from_bytes(hashlib.sha256(f"{mark} {at.isoformat()}".encode()).digest()[:10])
    return f"bulk_{_letters(milliseconds << 80 | digest)}"


def first_id_at(prefix: str, at: datetime) -> str:
    """No id that was made at that moment or later sorts before this one."""
    return f"{prefix}_{_letters(int(at.timestamp() * 1000) << 80)}"


def _letters(number: int) -> str:
    return "".join(_CROCKFORD[(number >> shift) & 31] for shift in range(125, -1, -5))
