"""What the columns of an uploaded list may mean: guessed by its first rows, then as somebody says."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from api.page.forms import Form
from api.taking.mapped_rows import Columns
from postwerk.errors import InvalidRequest
from postwerk.rules.addresses import parse_address

ADDRESS, NAME, VARIABLE, NOTHING = "address", "name", "variable", ""
_ADDRESS = re.compile(r"(to|recipient|e?-?mail.*|.*e-?mail|.*mail_?-? ?address|address|adresse)", re.I)
_NAME = re.compile(r"(name|full[ _-]?name|display[ _-]?name)", re.I)
_EXAMPLES = 3
_LONGEST_EXAMPLE = 60
_LONGEST_NAME = 100


@dataclass(slots=True)
class Column:
    """A column of the list, and what it is used as."""

    at: int
    header: str
    examples: list[str]
    use: str
    called: str
    """The variable's name."""
    wrong: str = ""


@dataclass(slots=True)
class Mapping:
    """All of them."""

    columns: list[Column]
    has_header: bool
    wrong: str = ""
    """What is wrong with them together."""
    rows: Sequence[Sequence[str]] = field(default_factory=list)
    """The first rows, without the header."""

    @property
    def is_good(self) -> bool:
        return not self.wrong and not any(column.wrong for column in self.columns)

    def missing(self, wanted: Iterable[str]) -> list[str]:
        """What the mail reads, and no column is called."""
        called = {column.called for column in self.columns if column.use == VARIABLE}
        return [name for name in wanted if name not in called]

    def as_told(self) -> Columns:
        """Of one that is good."""
        by_use = {column.use: column.at for column in self.columns}
        variables = {column.at: column.called for column in self.columns if column.use == VARIABLE}
        return Columns(by_use[ADDRESS], by_use.get(NAME), variables, len(self.columns), self.has_header)


def guess(rows: Sequence[Sequence[str]], wanted: Iterable[str] = ()) -> Mapping:
    """By the names in the first row, and by what looks like an address; `wanted`: what the mail reads."""
    known = {_plain(name): name for name in wanted}
    has_header = not any(_is_address(cell) for cell in rows[0])
    header = [cell.strip() for cell in rows[0]] if has_header else [""] * len(rows[0])
    below = rows[1:] if has_header else rows
    address = _address_column(header, below)
    taken: set[str] = set()
    columns: list[Column] = []
    for at, words in enumerate(header):
        examples = [row[at].strip()[:_LONGEST_EXAMPLE] for row in below if at < len(row)]
        use = ADDRESS if at == address else VARIABLE
        if use == VARIABLE and _NAME.fullmatch(words) and not any(one.use == NAME for one in columns):
            use = NAME
        called = _variable(words, at, known, taken)
        columns.append(Column(at, words, examples[:_EXAMPLES], use, called))
    return Mapping(columns, has_header, rows=below)


def told(mapping: Mapping, form: Form) -> Mapping:
    """As the form says. What is wrong is said at its column."""
    for column in mapping.columns:
        column.use = form.get(f"use_{column.at}")
        column.called = form.get(f"as_{column.at}")
    _check(mapping)
    return mapping


def _check(mapping: Mapping) -> None:
    uses = [column.use for column in mapping.columns]
    if uses.count(ADDRESS) != 1:
        mapping.wrong = "Say which column is the address; one of them is."
    elif uses.count(NAME) > 1:
        mapping.wrong = "Only one column can be the recipient's name."
    seen: set[str] = set()
    for column in mapping.columns:
        if column.use not in (ADDRESS, NAME, VARIABLE, NOTHING):
            column.wrong = "Choose one of these."
        elif column.use == VARIABLE:
            column.wrong = _wrong_name(column.called, seen)
            seen.add(column.called)


def _wrong_name(name: str, seen: set[str]) -> str:
    if not name.isidentifier() or not name.isascii() or len(name) > _LONGEST_NAME:
        return "A variable is called by letters, digits and _, as first_name."
    return "Another column is called so already." if name in seen else ""


def _address_column(header: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    """Whichever has most addresses; where none has any, the one that is called so."""
    counts = [sum(_is_address(row[at]) for row in rows if at < len(row)) for at in range(len(header))]
    if any(counts):
        return counts.index(max(counts))
    return next((at for at, words in enumerate(header) if _ADDRESS.fullmatch(words)), 0)


def _is_address(cell: str) -> bool:
    if "@" not in cell:
        return False
    try:
        parse_address(cell.strip())
    except InvalidRequest:
        return False
    return True


def _variable(words: str, at: int, known: dict[str, str], taken: set[str]) -> str:
    """ "First Name" as first_name; what is a name already stays, unless the mail calls it otherwise."""
    is_name = words.isidentifier() and words.isascii()
    name = known.get(_plain(words)) or (words if is_name else _plain(words)) or f"column_{at + 1}"
    name = f"_{name}" if name[0].isdigit() else name
    while name in taken:
        name += "_2"
    taken.add(name)
    return name


def _plain(words: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", words.lower()).strip("_")[:_LONGEST_NAME]
