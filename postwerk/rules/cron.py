"""Cron expressions: five fields (minute, hour, day of the month, month, day of the week), checked."""

from __future__ import annotations

import re
from typing import NamedTuple

from postwerk.errors import InvalidRequest

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")


class _Field(NamedTuple):
    name: str
    least: int
    most: int
    names: tuple[str, ...] = ()


_FIELDS = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of the month", 1, 31),
    _Field("month", 1, 12, _MONTHS),
    _Field("day of the week", 0, 6, _DAYS),
)
_PART = re.compile(r"(?:\*|(?P<first>\w{1,3})(?:-(?P<last>\w{1,3}))?)(?:/(?P<step>\d{1,2}))?", re.ASCII)
LONGEST = 200


def normal_cron(text: str, *, pointer: str = "#") -> str:
    """Five fields in lower case with a blank between them. Raises InvalidRequest naming what is wrong.

    >>> normal_cron("0 8 * * MON-FRI")
    '0 8 * * mon-fri'
    """
    fields = text.lower().split()
    if len(text) > LONGEST or len(fields) != len(_FIELDS):
        raise _wrong("Write five fields, as `0 8 * * mon` for Mondays at eight.", pointer)
    for field, given in zip(_FIELDS, fields, strict=True):
        if not all(_is_part(field, part) for part in given.split(",")):
            raise _wrong(f"{given!r} is no {field.name}.", pointer)
    if fields[2] != "*" and fields[4] != "*":
        # Cron itself takes either for enough, others take both for needed: nobody knows which is meant.
        raise _wrong("Say a day of the month or a day of the week, not both.", pointer)
    if fields[2] != "*" and not _comes(fields[2], fields[3]):
        raise _wrong("There is no such day in such a month.", pointer)
    return " ".join(fields)


def _is_part(field: _Field, part: str) -> bool:
    found = _PART.fullmatch(part)
    if found is None or (found["step"] is not None and not 0 < int(found["step"]) <= field.most):
        return False
    if found["first"] is None:
        return True
    first = _number(field, found["first"])
    last = first if found["last"] is None else _number(field, found["last"])
    if first is None or last is None or (found["last"] is None and found["step"] is not None):
        return False
    return field.least <= first <= last <= field.most


def _number(field: _Field, text: str) -> int | None:
    if text in field.names:
        return field.names.index(text) + field.least
    return int(text) if text.isdigit() else None


def _comes(days: str, months: str) -> bool:
    """Whether the earliest of these days is in any of these months."""
    first = min(_numbers(_FIELDS[2], days))
    return any(first <= _DAYS_OF[month] for month in _numbers(_FIELDS[3], months))


_DAYS_OF = {1: 31, 2: 29, 3: 31, 4: 30, 5: 31, 6: 30, 7: 31, 8: 31, 9: 30, 10: 31, 11: 30, 12: 31}


def _numbers(field: _Field, given: str) -> set[int]:
    """Those that a field means."""
    found = set[int]()
    for part in given.split(","):
        match = _PART.fullmatch(part)
        assert match is not None
        first = field.least if match["first"] is None else _number(field, match["first"])
        last = field.most if match["first"] is None else _number(field, match["last"] or match["first"])
        assert first is not None
        assert last is not None
        found.update(range(first, last + 1, int(match["step"] or 1)))
    return found


def _wrong(words: str, pointer: str) -> InvalidRequest:
    return InvalidRequest(words, pointer=pointer, code="invalid_cron")
