"""What is taken as it is, and is perhaps not what its sender wants: told by a dry run, never refused.

A checker looks at the content, the options and what became of the recipients; add yours to `CHECKERS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from api.taking.storing import Tally
from postwerk.contracts.content import Content
from postwerk.contracts.options import BulkOptions
from postwerk.mime.templates import Templates


class SendWarning(NamedTuple):
    """`code` is stable for programs, `pointer` a JSON pointer into the request."""

    code: str
    pointer: str
    detail: str


Checker = Callable[[Content, BulkOptions, Tally], Iterable[SendWarning]]


def warnings_of(content: Content, options: BulkOptions, tally: Tally) -> list[SendWarning]:
    """What every checker has to say, in their order."""
    return [found for check in CHECKERS for found in check(content, options, tally)]


def _empty_subject(content: Content, _options: BulkOptions, _tally: Tally) -> Iterable[SendWarning]:
    if not content.subject.strip():
        yield SendWarning("empty_subject", "#/subject", "The mail has no subject.")


def _unused_variables(content: Content, _options: BulkOptions, _tally: Tally) -> Iterable[SendWarning]:
    for name in Templates(content).unused():
        pointer = "#/variables/" + name[:200].replace("~", "~0").replace("/", "~1")
        yield SendWarning("unused_variable", pointer, "No template reads this variable.")


def _refused(_content: Content, _options: BulkOptions, tally: Tally) -> Iterable[SendWarning]:
    if tally.rejected:
        detail = f"{tally.rejected:,} recipients cannot be taken: they would get nothing."
        yield SendWarning("refused_recipients", "#/recipients", detail)


CHECKERS: list[Checker] = [_empty_subject, _unused_variables, _refused]
