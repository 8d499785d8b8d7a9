"""The template language we take: MiniJinja without what lets a small template cost a machine.

MiniJinja's fuel counts instructions, not what one of them costs: `'a' * 10**9` is three. And an
expression of 20,000 operators overflows its stack and ends the process. So a template is read
here first, by a lexer that refuses what it does not know; what stays can be bounded:

- no `*` and `**` (strings multiply too): the filter `times` multiplies numbers;
- statements: if, for, set, with; nothing that recurses, loads another template or carries state;
- short tags, few operators that join strings, known filters.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from postwerk.errors import ContentError

MAX_TAGS = 10_000
MAX_TAG_CHARACTERS = 1_000
MAX_TOKENS = 200
MAX_BRANCHES = 500
MAX_GROWTH = 64
MAX_LOOPED_TEXT = 64 * 1024

_KEYWORDS = "if elif else endif for endfor set with endwith break continue"
_FILTERS = """
    abs bool capitalize count d default dictsort e escape filesizeformat first float format groupby int
    items join last length list lower map max min pluralize reject rejectattr replace reverse round safe
    select selectattr sort split string striptags sum times title tojson trim truncate unique upper
    urlencode
"""
STATEMENTS = frozenset(_KEYWORDS.split())
FILTERS = frozenset(_FILTERS.split())

_START = re.compile(r"\{[{%#]")
_TOKEN = re.compile(
    r"""[ \t\r\n]+
    |(?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    |(?P<number>[0-9][0-9_]*(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)
    |(?P<name>[^\W\d]\w*)
    |(?P<end>[-+]?[%}]\})
    |(?P<operator>//|==|!=|<=|>=|[-+~%/<>=.,:|()\[\]])""",
    re.VERBOSE | re.DOTALL,
)


class Shape(NamedTuple):
    """What the bounds of a render depend on."""

    looped_text: int
    """The longest text between two tags of a loop."""
    literal: int
    """The longest string written in a tag."""
    growth: int
    """How many times longer than its variables a joined string can become."""


class _Tag(NamedTuple):
    line: int
    kind: str
    tokens: list[tuple[str, str]]
    start: int
    stop: int

    @property
    def keyword(self) -> str:
        return self.tokens[0][1] if self.kind == "%" and self.tokens else ""


def examine(source: str) -> Shape:
    """The shape of the template; ContentError `template_syntax` if it says something we do not take."""
    survey = _Survey()
    for tag in _tags(source):
        _refuse_unknown(tag)
        survey.take(tag)
        if survey.is_too_much():
            raise refused("the template is too complex: too many tags, branches or joined strings", tag.line)
    return Shape(survey.looped_text, survey.literal, survey.naming * survey.shown)


def tag_spans(source: str) -> list[tuple[int, int]]:
    """Where its tags begin and end. ContentError `template_syntax` as above."""
    return [(tag.start, tag.stop) for tag in _tags(source)]


class _Survey:
    """Adds up, tag by tag, what the bounds depend on."""

    def __init__(self) -> None:
        self.tags = self.branches = self.depth = self.stop = 0
        self.looped_text = self.literal = 0
        self.naming = self.shown = 1

    def take(self, tag: _Tag) -> None:
        if self.depth:
            self.looped_text = max(self.looped_text, tag.start - self.stop)
        self.stop = tag.stop
        self.tags += 1
        self.branches += tag.keyword in ("if", "elif")
        self.depth += {"for": 1, "endfor": -1}.get(tag.keyword, 0)
        self._take_values(tag)

    def _take_values(self, tag: _Tag) -> None:
        self.literal = max([self.literal, *(len(value) for kind, value in tag.tokens if kind == "text")])
        joins = 1 + sum(value in "+~" for kind, value in tag.tokens if kind == "operator")
        if tag.keyword in ("set", "with", "for"):
            # A named value can be joined with itself again: these multiply.
            self.naming = min(self.naming * joins, MAX_GROWTH + 1)
        else:
            self.shown = max(self.shown, joins)

    def is_too_much(self) -> bool:
        return (
            self.tags > MAX_TAGS
            or self.branches > MAX_BRANCHES
            or self.naming * self.shown > MAX_GROWTH
            or self.looped_text > MAX_LOOPED_TEXT
        )


def refused(reason: str, line: int) -> ContentError:
    return ContentError(f"line {line}: {reason}", code="template_syntax")


def _tags(source: str) -> Iterator[_Tag]:
    position, line, counted = 0, 1, 0
    while match := _START.search(source, position):
        start = match.start()
        line, counted = line + source.count("\n", counted, start), start
        if source[start + 1] == "#":
            end = source.find("#}", start + 2)
            if end < 0:
                raise refused("a comment is not closed", line)
            # A comment shows nothing, but is part of the source between two tags: no need to tell it apart.
            position = end + 2
            continue
        tokens, position = _tokens(source, start, line)
        yield _Tag(line, source[start + 1], tokens, start, position)


def _tokens(source: str, start: int, line: int) -> tuple[list[tuple[str, str]], int]:
    position = start + 2
    if source[position : position + 1] in ("-", "+"):
        position += 1
    tokens: list[tuple[str, str]] = []
    closing = "%}" if source[start + 1] == "%" else "}}"
    while len(tokens) <= MAX_TOKENS and position - start <= MAX_TAG_CHARACTERS:
        match = _TOKEN.match(source, position, start + MAX_TAG_CHARACTERS + 2)
        if match is None:
            raise refused(_unreadable(source, position), line)
        position = match.end()
        if match.lastgroup == "end" and match.group().endswith(closing):
            return tokens, position
        if match.lastgroup == "end":
            raise refused(f"{match.group()!r} does not belong here", line)
        if match.lastgroup:
            tokens.append((match.lastgroup, match.group()))
    raise refused(f"a tag is longer than {MAX_TAG_CHARACTERS} characters or {MAX_TOKENS} words", line)


def _unreadable(source: str, position: int) -> str:
    character = source[position : position + 1]
    if character == "*":
        return "* is not offered; multiply with the filter times: {{ price|times(quantity) }}"
    return f"{character!r} does not belong in a tag" if character else "a tag is not closed"


def _refuse_unknown(tag: _Tag) -> None:
    word = tag.keyword
    if tag.kind == "%" and word not in STATEMENTS:
        raise refused(f"the statement {word[:40]!r} is not offered", tag.line)
    values = [value for _, value in tag.tokens]
    if word == "for" and "recursive" in values:
        raise refused("a recursive loop is not offered", tag.line)
    if word == "set" and "=" not in values:
        raise refused("set needs a value: {% set name = value %}", tag.line)
    for before, (kind, value) in zip(values, tag.tokens[1:], strict=False):
        if before == "|" and (kind != "name" or value not in FILTERS):
            raise refused(f"the filter {value[:40]!r} is not offered", tag.line)
