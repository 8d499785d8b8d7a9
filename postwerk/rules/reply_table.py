"""Reads replies.toml: rows of what a reply looks like and what follows from it, checked as they are read."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from importlib.resources import files
from typing import Any, TypeVar

from postwerk.contracts.smtp import SESSION_STAGES, Reply, Stage, Trouble
from postwerk.errors import ConfigurationError, InvalidRequest
from postwerk.rules.decision import BulkEffect, Decision, Effect, LaneEffect
from postwerk.rules.durations import parse_duration


@dataclass(frozen=True, slots=True)
class Row:
    """One row of replies.toml. It has either codes or troubles."""

    decision: Decision
    stages: frozenset[Stage]
    codes: frozenset[int]
    troubles: frozenset[Trouble]
    dot_written: bool
    enhanced: re.Pattern[str] | None
    text: re.Pattern[str] | None

    @property
    def always(self) -> bool:
        """Whether stage and code are all it asks for."""
        return self.enhanced is None and self.text is None

    def fits(self, reply: Reply, words: str) -> bool:
        """`words` is the reply's text, made plain."""
        if self.enhanced is not None and not self.enhanced.fullmatch(reply.enhanced or ""):
            return False
        return self.text is None or self.text.search(words) is not None

    def replies(self) -> Iterator[tuple[Stage, int]]:
        return ((stage, code) for stage in self.stages for code in self.codes)

    def silences(self) -> Iterator[tuple[Stage, Trouble, bool]]:
        written = (True,) if self.dot_written else (False, True)
        return ((s, trouble, dot) for s in self.stages for trouble in self.troubles for dot in written)


@dataclass(frozen=True, slots=True)
class ReplyTable:
    """The rows in their order, and which of them a stage and code, or a stage and trouble, can meet."""

    rows: tuple[Row, ...]
    replies: dict[tuple[Stage, int], list[Row]]
    troubles: dict[tuple[Stage, Trouble, bool], Decision]


@lru_cache(maxsize=1)
def load_replies() -> ReplyTable:
    """The table of replies.toml."""
    return read_replies(files("postwerk.rules").joinpath("replies.toml").read_text("utf-8"))


def read_replies(toml: str) -> ReplyTable:
    """The table in `toml`. Raises ConfigurationError, naming the row, when it cannot be used."""
    try:
        content = tomllib.loads(toml)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"replies.toml is no TOML: {error}") from error
    unknown = content.keys() - {"texts", "row"}
    if unknown:
        raise ConfigurationError(f"replies.toml: unknown table {_names(unknown)}")
    texts = content.get("texts", {})
    rows = tuple(_read_row(n, row, texts) for n, row in enumerate(content.get("row", ()), 1))
    return _indexed(rows)


def _indexed(rows: tuple[Row, ...]) -> ReplyTable:
    table = ReplyTable(rows, {}, {})
    for number, row in enumerate(rows, 1):
        if not _add(table, row):
            raise _wrong(number, row.decision.reason, "the rows above leave nothing for it")
    _insist_on_every_cell(table)
    return table


def _add(table: ReplyTable, row: Row) -> bool:
    """Whether the row can decide anything: behind a row that always fits, none is asked."""
    silences = [cell for cell in row.silences() if cell not in table.troubles]
    table.troubles.update(dict.fromkeys(silences, row.decision))
    still_open = [
        rows
        for cell in row.replies()
        if not (rows := table.replies.setdefault(cell, [])) or not rows[-1].always
    ]
    for rows in still_open:
        rows.append(row)
    return bool(silences or still_open)


def _insist_on_every_cell(table: ReplyTable) -> None:
    """Every stage with every code and every trouble has an answer."""
    for stage in Stage:
        for code in range(200, 600):
            rows = table.replies.get((stage, code))
            if not rows or not rows[-1].always:
                raise ConfigurationError(f"replies.toml: no row for any other {code} at {stage}")
        for trouble in Trouble:
            if (stage, trouble, False) not in table.troubles:
                raise ConfigurationError(f"replies.toml: no row for trouble {trouble} at {stage}")


# One row

_KEYS = {
    *("reason", "stages", "codes", "enhanced", "text", "trouble", "dot_written"),
    *("effect", "lane", "bulk", "suppress", "cool_for"),
}
_STAGES = {stage.value: {stage} for stage in Stage} | {
    "session": set(SESSION_STAGES),
    "transaction": set(Stage) - SESSION_STAGES,
}
_TROUBLES = {trouble.value: {trouble} for trouble in Trouble} | {"any": set(Trouble)}
_Word = TypeVar("_Word", bound=StrEnum)


def _wrong(number: int, reason: object, what: str) -> ConfigurationError:
    return ConfigurationError(f"replies.toml, row {number} ({reason}): {what}")


def _read_row(number: int, row: dict[str, Any], texts: dict[str, str]) -> Row:
    try:
        return _row_of(row, texts)
    except (ValueError, TypeError, InvalidRequest) as error:
        raise _wrong(number, row.get("reason", "no reason"), str(error)) from error


def _row_of(row: dict[str, Any], texts: dict[str, str]) -> Row:
    """Raises ValueError or TypeError."""
    unknown = row.keys() - _KEYS
    if unknown:
        raise ValueError(f"unknown key {_names(unknown)}")
    made = Row(
        decision=_decision_of(row),
        stages=_union(_STAGES, _list(row, "stages"), "stage"),
        codes=frozenset[int]().union(*map(_codes, _list(row, "codes"))),
        troubles=_union(_TROUBLES, _list(row, "trouble"), "trouble"),
        dot_written=_flag(row, "dot_written"),
        enhanced=_enhanced(_list(row, "enhanced")) if "enhanced" in row else None,
        text=_text(row["text"], texts) if "text" in row else None,
    )
    _insist_on_sense(made)
    return made


_NOBODY_KNOWS = (Effect.AMBIGUOUS, LaneEffect.NONE)


def _insist_on_sense(row: Row) -> None:
    decision = row.decision
    if not row.stages or bool(row.codes) == bool(row.troubles):
        raise ValueError("a row has stages, and either codes or trouble")
    if row.troubles and not row.always:
        raise ValueError("without a reply there is neither an enhanced code nor a text")
    if row.codes and row.dot_written:
        raise ValueError("dot_written goes with trouble")
    if decision.suppress and decision.effect is not Effect.BOUNCE:
        raise ValueError("only who bounces is suppressed")
    sessionless = (decision.effect, decision.lane) in ((Effect.WAIT, LaneEffect.HOST), _NOBODY_KNOWS)
    if row.stages & SESSION_STAGES and not sessionless:
        raise ValueError("without a session the recipient waits, and the lane's effect is host")


def _decision_of(row: dict[str, Any]) -> Decision:
    reason = row.get("reason")
    if not isinstance(reason, str) or not re.fullmatch(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)*", reason):
        raise ValueError("a reason is words in small letters and digits, joined by _")
    return Decision(
        effect=_word(Effect, row.get("effect"), "effect"),
        reason=reason,
        lane=_word(LaneEffect, row.get("lane", "none"), "lane"),
        bulk=_word(BulkEffect, row.get("bulk", "none"), "bulk"),
        suppress=_flag(row, "suppress"),
        cool_for=parse_duration(row["cool_for"]) if "cool_for" in row else None,
    )


def _word(kind: type[_Word], value: object, key: str) -> _Word:
    if not isinstance(value, str) or value not in list(kind):
        raise ValueError(f"{key} is one of {', '.join(kind)}, not {value!r}")
    return kind(value)


def _flag(row: dict[str, Any], key: str) -> bool:
    value = row.get(key, False)
    if not isinstance(value, bool):
        raise TypeError(f"{key} is true or false")
    return value


def _list(row: dict[str, Any], key: str) -> list[str]:
    value = row.get(key, [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise TypeError(f"{key} is a list of texts")
    return value


def _union(known: dict[str, set[_Word]], names: list[str], what: str) -> frozenset[_Word]:
    unknown = set(names) - known.keys()
    if unknown:
        raise ValueError(f"unknown {what} {_names(unknown)}")
    return frozenset(member for name in names for member in known[name])


@lru_cache(maxsize=256)
def _codes(pattern: str) -> frozenset[int]:
    """All codes of "550" or "4.."."""
    if not re.fullmatch(r"[2-5][0-9.][0-9.]", pattern):
        raise ValueError(f'a code is like "550" or "4..", not {pattern!r}')
    return frozenset(code for code in range(200, 600) if re.fullmatch(pattern, str(code)))


_ENHANCED_PATTERN = re.compile(r"([245x])\.(\d{1,3})\.(?:(\*)|(\d{1,3})(?:-(\d{1,3}))?)")


def _enhanced(patterns: list[str]) -> re.Pattern[str]:
    """One expression for them all, for the whole of an enhanced code; "" stands for none."""
    return re.compile("|".join(map(_enhanced_expression, patterns)))


def _enhanced_expression(pattern: str) -> str:
    if pattern == "none":
        return ""
    parts = _ENHANCED_PATTERN.fullmatch(pattern)
    if parts is None:
        raise ValueError(f'an enhanced code is like "5.1.1", "x.7.*" or "4.7.500-699", not {pattern!r}')
    digit, subject, any_detail, first, last = parts.groups()
    details = r"\d+" if any_detail else "|".join(map(str, range(int(first), int(last or first) + 1)))
    return rf"{'[245]' if digit == 'x' else digit}\.{subject}\.(?:{details})"


def _text(expression: object, texts: dict[str, str]) -> re.Pattern[str]:
    if not isinstance(expression, str):
        raise TypeError("text is a regular expression")
    named = set(re.findall(r"\{([a-z_]+)\}", expression))
    if named - texts.keys():
        raise ValueError(f"unknown text {_names(named - texts.keys())}")
    for name in named:
        expression = expression.replace(f"{{{name}}}", f"(?:{texts[name]})")
    try:
        return re.compile(expression, re.IGNORECASE)
    except re.error as error:
        raise ValueError(f"{expression!r} is no regular expression: {error}") from error


def _names(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
