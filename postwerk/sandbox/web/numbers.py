"""Numbers as they stand in queries."""

from __future__ import annotations

import re

_SECONDS = re.compile(r"\d{1,12}(\.\d{1,9})?", re.ASCII)


def read_moment(written: str) -> float | None:
    """Seconds since 1970."""
    return float(written) if _SECONDS.fullmatch(written) else None


def read_number(written: str | None) -> int | None:
    return (
        int(written) if written and written.isascii() and written.isdecimal() and len(written) <= 18 else None
    )
