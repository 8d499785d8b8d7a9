"""What is typed into the search box, as a list of terms: `to:ann subject:"late again" -code:451`."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from postwerk.errors import PostwerkError

Field = Literal[
    "any", "to", "from", "subject", "message-id", "text", "code", "stage", "is", "has",
    "before", "after", "larger", "smaller",
]  # fmt: skip

_TERM = re.compile(
    r"(?P<no>[-!])?(?:(?P<field>[A-Za-z-]+):)?(?:\"(?P<quoted>[^\"]*)(?:\"|$)|(?P<plain>[^\s\"]+))"
)
_LONGEST = 1000
_MOST_TERMS = 20

STATES = ("accepted", "refused", "noreply", "abandoned")
STAGES = ("banner", "ehlo", "auth", "mail", "rcpt", "data", "dot", "quit")
_SIZE = re.compile(r"(\d{1,12})(k|m)?b?", re.IGNORECASE | re.ASCII)
_CODE = re.compile(r"\d{1,3}", re.ASCII)


class SearchError(PostwerkError):
    """A search cannot be understood; the message begins with the term that is wrong."""


@dataclass(frozen=True, slots=True)
class Term:
    """One condition; all of a search have to hold."""

    field: Field
    value: str | float
    """A text in lower case; of before and after seconds since 1970, of larger and smaller bytes."""
    negated: bool = False

    @property
    def needs_the_mail(self) -> bool:
        """It cannot be told from what stands in the ledger's columns: the mail itself has to be read."""
        return self.field in ("has", "text")


def read_search(written: str) -> list[Term]:
    """Read a search. Words that are no known field, such as `re:` or `http://`, are plain words."""
    if len(written) > _LONGEST:
        raise SearchError(f"query: has at most {_LONGEST} characters")
    terms = [term for match in _TERM.finditer(written) if (term := _term(match)) is not None]
    if len(terms) > _MOST_TERMS:
        raise SearchError(f"query: has at most {_MOST_TERMS} terms")
    return terms


def needs_the_mails(terms: Sequence[Term]) -> bool:
    return any(term.needs_the_mail for term in terms)


def _term(match: re.Match[str]) -> Term | None:
    quoted, plain = match["quoted"], match["plain"]
    value = (quoted if quoted is not None else plain).strip().lower()
    name = (match["field"] or "").lower()
    if not value or (value == "-" and quoted is None and not name):
        return None
    read = _READERS.get(name)
    if read is None:
        return Term("any", f"{name}:{value}" if name else value, match["no"] is not None)
    field, convert = read
    return Term(field, convert(name, value), match["no"] is not None)


def _text(_name: str, value: str) -> str:
    return value


def _moment(name: str, value: str) -> float:
    """A date or a time of ISO 8601; without a zone it is UTC."""
    try:
        read = datetime.fromisoformat(value.upper())
        return (read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError) as error:
        raise SearchError(f"{name}: must be a date like 2026-11-22, or 2026-11-22T14:30") from error


def _bytes(name: str, value: str) -> float:
    match = _SIZE.fullmatch(value)
    if match is None:
        raise SearchError(f"{name}: must be a number of bytes, like 500, 20k or 5M")
    return float(int(match[1]) * {"": 1, "k": 1000, "m": 1_000_000}[match[2] or ""])


def _code(name: str, value: str) -> str:
    if not _CODE.fullmatch(value):
        raise SearchError(f"{name}: must be a code like 451, or how it begins, like 4")
    return value


def _one_of(*names: str) -> Callable[[str, str], str]:
    def read(name: str, value: str) -> str:
        if value not in names:
            raise SearchError(f"{name}: must be {' or '.join(names)}")
        return value

    return read


_READERS: dict[str, tuple[Field, Callable[[str, str], str | float]]] = {
    "to": ("to", _text),
    "from": ("from", _text),
    "subject": ("subject", _text),
    "message-id": ("message-id", _text),
    "text": ("text", _text),
    "body": ("text", _text),
    "code": ("code", _code),
    "stage": ("stage", _one_of(*STAGES)),
    "is": ("is", _one_of(*STATES)),
    "has": ("has", _one_of("attachment")),
    "before": ("before", _moment),
    "after": ("after", _moment),
    "larger": ("larger", _bytes),
    "smaller": ("smaller", _bytes),
}
