"""One rule for one recipient domain: how it is written, and what is wrong with one that cannot be kept."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Annotated, Any, Literal

import msgspec

from postwerk.errors import ConfigurationError
from postwerk.sandbox.behaviour import Answer
from postwerk.sandbox.rate import Rate

EVERY_DOMAIN = "*"

Stage = Literal["banner", "ehlo", "auth", "mail", "rcpt", "data", "dot", "quit"]
_AFTER_A_RECIPIENT = frozenset({"rcpt", "data", "dot"})

_DOMAIN = re.compile(r"[^\s@*/<>\x00-\x1f\x7f]{1,255}")
_ANSWER = re.compile(r"([45]\d\d) ([ -~]+(?:\n[ -~]+)*)")
_PLACE = re.compile(r"`\$\.?(\w*)")
_UNKNOWN = re.compile(r"unknown field `(\w*)`")

_HUNG = Answer(0, "No answer, as the rule for the domain says")
_DROPPED = Answer(0, "Connection dropped, as the rule for the domain says", closes=True)

_MEANS = {
    "stage": "must be one of banner, ehlo, auth, mail, rcpt, data, dot, quit",
    "answer": "must be a code from 400 to 599, a space and printable ASCII text",
    "preset": "must be the name of a preset",
    "hang": "must be true or false",
    "close": "must be true or false",
    "share": "must be a number from 0 to 1",
    "rate": "must be a rate like 100/s, 30/min, 1000/h or 10000/d",
    "delay": "must be a number of seconds from 0 to 3600",
}


class RuleError(ConfigurationError):
    """A domain rule cannot be kept; the message begins with the field that is wrong."""


class Written(msgspec.Struct, forbid_unknown_fields=True):
    """A rule as a person or a test writes it."""

    stage: Stage = "rcpt"
    answer: str | None = None
    hang: bool = False
    close: bool = False
    share: Annotated[float, msgspec.Meta(ge=0, le=1)] = 1.0
    rate: str | None = None
    delay: Annotated[float, msgspec.Meta(ge=0, le=3600)] = 0.0


@dataclass(frozen=True, slots=True)
class DomainRule:
    """What a domain says at one stage instead of the usual."""

    stage: str
    answer: Answer | None
    """Code 0: nothing is said. None: the usual answer, only late."""
    hang: bool = False
    share: float = 1.0
    """Of what the rule is about, this part meets it, by chance."""
    rate: Rate | None = None
    """Only what comes above this rate meets it."""
    delay: float = 0.0
    """Seconds before whatever is said at this stage."""

    def told(self) -> dict[str, Any]:
        """The rule as JSON tells it."""
        said = self.answer if self.answer is not None and self.answer.code else None
        return {
            "stage": self.stage,
            "answer": f"{said.code} {said.text}" if said else None,
            "hang": self.hang,
            "close": self.answer is not None and self.answer.closes,
            "share": self.share,
            "rate": str(self.rate) if self.rate else None,
            "delay": self.delay,
        }


def read_domain(written: str) -> str:
    """A domain in lower case, or `*`. Raises RuleError."""
    domain = written.lower()
    if domain != EVERY_DOMAIN and not _DOMAIN.fullmatch(domain):
        raise RuleError("domain: must be the part of an address behind the @, or * for every domain")
    return domain


def read_rule(domain: str, fields: object) -> DomainRule:
    """Read the rule for `domain` from JSON or TOML. Raises RuleError."""
    if not isinstance(fields, dict):
        raise RuleError("body: must be a JSON object with the fields of a rule")
    written = _convert(_with_preset({name: value for name, value in fields.items() if value is not None}))
    if written.stage not in _AFTER_A_RECIPIENT and domain != EVERY_DOMAIN:
        raise RuleError(
            f"stage: {written.stage} comes before any recipient, so only the domain * can have a rule for it"
        )
    return DomainRule(
        stage=written.stage,
        answer=_answer(written),
        hang=written.hang,
        share=written.share,
        rate=_rate(written.rate),
        delay=written.delay,
    )


@cache
def presets() -> Mapping[str, Mapping[str, Any]]:
    """The rules of presets.toml by name."""
    return tomllib.loads(files("postwerk.sandbox").joinpath("presets.toml").read_text("utf-8"))


def _with_preset(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields written, over those of the preset they name."""
    if "preset" not in fields:
        return fields
    name = fields["preset"]
    if not isinstance(name, str) or name not in presets():
        raise RuleError(f"preset: must be one of {', '.join(presets())}")
    if "answer" in fields or "hang" in fields:
        raise RuleError("preset: says what is answered already, so leave out answer and hang")
    return {**presets()[name], **{field: value for field, value in fields.items() if field != "preset"}}


def _convert(fields: dict[str, Any]) -> Written:
    try:
        return msgspec.convert(fields, Written)
    except msgspec.ValidationError as error:
        raise RuleError(_sentence(str(error))) from error


def _sentence(complaint: str) -> str:
    """What msgspec complains about, as a sentence that begins with the field."""
    unknown = _UNKNOWN.search(complaint)
    if unknown:
        return f"{unknown[1]}: is no field of a rule; there are {', '.join(_MEANS)}"
    place = _PLACE.search(complaint)
    field = place[1] if place else ""
    return f"{field}: {_MEANS[field]}" if field in _MEANS else f"body: {complaint}"


def _answer(written: Written) -> Answer | None:
    if written.hang:
        if written.answer is not None or written.close or written.delay:
            raise RuleError("hang: nothing else can be said or done, so leave out answer, close and delay")
        return _HUNG
    if written.answer is not None:
        match = _ANSWER.fullmatch(written.answer)
        if match is None:
            raise RuleError(f"answer: {_MEANS['answer']}")
        return Answer(int(match[1]), match[2], closes=written.close or match[1] == "421")
    if written.close:
        return _DROPPED
    if not written.delay:
        raise RuleError("answer: is missing; give answer, preset, hang, close or delay")
    return None


def _rate(written: str | None) -> Rate | None:
    try:
        return Rate.parse(written) if written is not None else None
    except ConfigurationError as error:
        raise RuleError(f"rate: {_MEANS['rate']}") from error
