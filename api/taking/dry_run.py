"""The report of a dry run: who would be taken, what they lack, what looks odd, and some mails as they go out.

Recipients are told apart by which variables they lack; of each kind one is tried. However many there are,
rendering is bounded in number and in time, and done in a thread.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import orjson

from api.dependencies import Parts
from api.schemas import Checked, UndefinedVariable, WarningView
from api.taking.bulk_warnings import bulk_warnings
from api.taking.ndjson_rows import read_entry
from api.taking.samples import a_sample
from api.taking.storing import SLICE, Tally
from api.taking.warnings import SendWarning, warnings_of
from api.views import refused
from postwerk.archive.intake import NewBulkSend
from postwerk.contracts.content import MailIdentity, Recipient
from postwerk.errors import ContentError
from postwerk.mime.composer import Composer
from postwerk.mime.templates import Templates
from postwerk.rules.lacking import lacking, with_blanks
from postwerk.rules.recipients import NewRecipient, Refusal

MOST_SAMPLES = 10
MOST_KINDS = 100
"""Different sets of variables that recipients lack: with more, the rest is not looked at."""
MOST_RENDERS = 500
LONGEST = 2.0
"""Seconds of rendering."""
INDEXES = 5


@dataclass(slots=True)
class _Kind:
    """Recipients that lack the same variables."""

    recipient: Recipient
    index: int
    count: int = 0
    indexes: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Survey:
    """What is known of the recipients once all were read."""

    names: frozenset[str]
    samples: int
    tally: Tally = field(default_factory=Tally)
    first: list[tuple[int, Recipient]] = field(default_factory=list)
    kinds: dict[frozenset[str], _Kind] = field(default_factory=dict)
    unexamined: int = 0
    _seen: set[str] = field(default_factory=set)

    def take(self, index: int, found: NewRecipient | Refusal) -> None:
        if isinstance(found, Refusal):
            self.tally.refuse(found)
        elif found.address.lower() in self._seen:
            self.tally.duplicates += 1
        else:
            self._seen.add(found.address.lower())
            self.tally.accepted += 1
            self._examine(index, found)

    def _examine(self, index: int, found: NewRecipient) -> None:
        if not self.names and len(self.first) >= self.samples:
            return
        variables: dict[str, Any] = orjson.loads(found.variables) if found.variables else {}
        self.look_at(index, Recipient(self.tally.accepted, found.address, found.name, variables))

    def look_at(self, index: int, recipient: Recipient) -> None:
        """What a recipient that is taken lacks."""
        if len(self.first) < self.samples:
            self.first.append((index, recipient))
        self._count(index, recipient)

    def _count(self, index: int, recipient: Recipient) -> None:
        lacks = lacking(self.names, recipient.variables)
        if lacks and lacks not in self.kinds and len(self.kinds) >= MOST_KINDS:
            self.unexamined += 1
        elif lacks:
            kind = self.kinds.setdefault(lacks, _Kind(recipient, index))
            kind.count += 1
            if len(kind.indexes) < INDEXES:
                kind.indexes.append(index)


async def report(parts: Parts, new: NewBulkSend, entries: Sequence[msgspec.Raw], samples: int) -> Checked:
    """Read ▸ try each kind of recipient ▸ show samples ▸ warn."""
    survey = Survey(Templates(new.content).names(), samples)
    for index, entry in enumerate(entries):
        survey.take(index, read_entry(index, entry))
        if index % SLICE == 0:
            await asyncio.sleep(0)
    return await findings(parts, new, survey, len(entries))


async def findings(parts: Parts, new: NewBulkSend, survey: Survey, total: int) -> Checked:
    """The same for recipients that were surveyed already; `total` of them were given."""
    templates = Templates(new.content)
    allowed = _Allowance()
    undefined = await _undefined(templates, survey, allowed)
    composer = await _composer(parts, new)
    shown = await _shown(composer, survey, undefined, allowed)
    warnings = warnings_of(new.content, new.options, survey.tally)
    warnings += bulk_warnings(parts, new, survey.tally.accepted)
    warnings += _own_warnings(survey, undefined, allowed)
    tally = survey.tally
    return Checked(
        total=total,
        accepted=tally.accepted,
        rejected=tally.rejected,
        duplicates=tally.duplicates,
        errors=refused(tally),
        errors_truncated=tally.rejected > len(tally.errors),
        undefined_variables=[_told(name, kinds) for name, kinds in sorted(undefined.items())],
        warnings=[WarningView(**one._asdict()) for one in warnings],
        samples=shown,
    )


class _Allowance:
    """How much may still be rendered."""

    def __init__(self) -> None:
        self.left = MOST_RENDERS
        self._until = time.monotonic() + LONGEST
        self.was_used_up = False

    def take(self) -> bool:
        self.left -= 1
        self.was_used_up |= self.left < 0 or time.monotonic() > self._until
        return not self.was_used_up


async def _undefined(templates: Templates, survey: Survey, allowed: _Allowance) -> dict[str, list[_Kind]]:
    """The variables without which some mail cannot be made, and who lacks them."""
    found: dict[str, list[_Kind]] = {}
    for lacks, kind in survey.kinds.items():
        for name in sorted(lacks):
            if not allowed.take():
                return found
            others = with_blanks(kind.recipient.variables, lacks - {name})
            if await asyncio.to_thread(_fails_without, templates, kind.recipient._replace(variables=others)):
                found.setdefault(name, []).append(kind)
    return found


def _fails_without(templates: Templates, recipient: Recipient) -> bool:
    """A template may do without a variable: by a default, or by asking whether it is defined."""
    try:
        templates.render(recipient)
    except ContentError as error:
        return error.code == "undefined_variable"
    return False


async def _composer(parts: Parts, new: NewBulkSend) -> Composer:
    identity = MailIdentity(new.id, new.created_at)
    return await asyncio.to_thread(Composer, new.content.without_files(), identity, await parts.imprint())


async def _shown(
    composer: Composer, survey: Survey, undefined: dict[str, list[_Kind]], allowed: _Allowance
) -> list[Any]:
    """The first recipients, and as many of those who lack something."""
    chosen = dict(survey.first)
    without = {kind.index: kind.recipient for kinds in undefined.values() for kind in kinds}
    chosen |= dict(list(without.items())[: survey.samples])
    return [
        await asyncio.to_thread(a_sample, composer, index, recipient)
        for index, recipient in sorted(chosen.items())
        if allowed.take()
    ]


def _told(name: str, kinds: Iterable[_Kind]) -> UndefinedVariable:
    kinds = list(kinds)
    indexes = sorted(index for kind in kinds for index in kind.indexes)[:INDEXES]
    return UndefinedVariable(name=name, recipients=sum(kind.count for kind in kinds), indexes=indexes)


def _own_warnings(
    survey: Survey, undefined: dict[str, list[_Kind]], allowed: _Allowance
) -> Iterable[SendWarning]:
    lacking_some = {kind.index: kind.count for kinds in undefined.values() for kind in kinds}
    if undefined:
        names = ", ".join(sorted(undefined)[:10])
        detail = f"The mails of {sum(lacking_some.values()):,} recipients cannot be made: they lack {names}."
        yield SendWarning("undefined_variables", "#/recipients", detail)
    if survey.unexamined or allowed.was_used_up:
        detail = "Not all recipients were tried: they differ in too many ways, or their mails take too long."
        yield SendWarning("not_all_examined", "#/recipients", detail)
