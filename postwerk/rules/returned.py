"""What follows from a mail that came back: which message it is about, and whether that changes anything.

Only a signed token names the message: anybody can write a bounce, nobody else can make a token.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from postwerk.contracts.inbound import Found, InboundKind, Reported
from postwerk.contracts.smtp import Exchange, Reply, Stage
from postwerk.contracts.states import OPEN_STATES, MessageState
from postwerk.rules.reply_class import classify
from postwerk.rules.tokens import TokenOf, Tokens

WAITS_AT_MOST = timedelta(days=8)
"""For the end of its message: longer than any deadline."""
_SOONEST = timedelta(seconds=2)
_LATEST = timedelta(hours=1)
_COMPLAINTS = ("abuse", "fraud")
"""Feedback-Type (RFC 5965 7.3) of a recipient who wants no more; others are about us, or say the contrary."""
_TOKEN = re.compile(r"(?<![0-9A-Za-z])(?:b-)?[0-9a-hjkmnp-tv-zA-HJKMNP-TV-Z]{50,80}(?![0-9A-Za-z])")
_REPLY_CODE = re.compile(r"([245])\d\d(?!\d)", re.ASCII)
_LINE_BREAK = re.compile(r"(?:^|\s)[245]\d\d-(?:[245]\.\d{1,3}\.\d{1,3}\b)?", re.ASCII)
_ENHANCED = re.compile(r"(?<![\w.])([245])\.\d{1,3}\.\d{1,3}(?![\w.])", re.ASCII)
_AT_THE_DOT = {552}
"""To RCPT it would mean too many recipients (RFC 5321 4.5.3.1.10); of a whole mail, that there is no room."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """The message a mail is about, or why it is about none."""

    about: TokenOf | None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why a message bounced, in the words of replies.toml."""

    reason: str
    code: int | None
    enhanced: str | None
    text: str
    suppress: bool
    """The mailbox is gone: a hard bounce."""


def meaning_of(found: Found, mail_from: str, rcpt_to: str, tokens: Tokens, today: date) -> Meaning:
    """Whom it is about, if anything may follow from it."""
    if found.kind is InboundKind.COMPLAINT:
        return _meaning_of_complaint(found, rcpt_to, tokens, today)
    if found.kind not in (InboundKind.BOUNCE, InboundKind.DELAY):
        return Meaning(None, _NO_BOUNCE[found.kind])
    if mail_from and not found.auto_submitted:
        return Meaning(None, "it has a sender and does not say that a machine wrote it: no bounce")
    local_part = rcpt_to.rpartition("@")[0]
    about = tokens.read_bounce(local_part, today)
    if about is None:
        return Meaning(None, _why_no_token(local_part))
    return Meaning(about)


_NO_BOUNCE = {
    InboundKind.AUTO_REPLY: "somebody's automatic reply",
    InboundKind.OTHER: "neither a bounce nor a complaint",
}


def _why_no_token(local_part: str) -> str:
    if local_part.lower().startswith("b-"):
        return "the token of its address is forged, damaged or expired"
    return "its address holds no token"


def _meaning_of_complaint(found: Found, rcpt_to: str, tokens: Tokens, today: date) -> Meaning:
    if found.feedback not in _COMPLAINTS:
        return Meaning(None, f"feedback of the type {found.feedback or 'none'}: nobody complains")
    for trace in (rcpt_to, *found.traces):
        for token in _TOKEN.findall(trace):
            about = tokens.read_bounce(token, today) or tokens.read_unsubscribe(token)
            if about is not None:
                return Meaning(about)
    return Meaning(None, "no valid token in the mail it is about")


def reported_of(found: Found, address: str) -> Reported:
    """What is said of this address; of another one, if it is said of nobody by this name."""
    wanted = address.lower()
    for one in found.reported:
        if wanted in (one.original.lower(), one.recipient.lower()):
            return one
    failed = [one for one in found.reported if one.action == "failed"]
    return (failed or list(found.reported) or [Reported()])[0]


def names_another(reported: Reported, address: str) -> bool:
    """Whether it speaks of another address than the message went to: forwarded, or invented."""
    named = {one.lower() for one in (reported.original, reported.recipient) if one}
    return bool(named) and address.lower() not in named


def verdict_of(reported: Reported) -> Verdict:
    """Why it bounced. What was tried in vain for days (4yz) is never a reason to suppress."""
    text = _LINE_BREAK.sub(" ", reported.diagnostic).strip()
    enhanced = _enhanced_of(reported)
    said = _REPLY_CODE.search(reported.diagnostic)
    kind = enhanced[0] if enhanced else said[1] if said else "5"
    if kind == "2":
        kind = "5"
    code = int(said[0]) if said and said[1] == kind else None
    reply = Reply(code or int(f"{kind}50"), enhanced if enhanced and enhanced[0] == kind else None, text)
    stage = Stage.DOT if reply.code in _AT_THE_DOT else Stage.RCPT
    decision = classify(Exchange(stage, reply))
    return Verdict(decision.reason, code, reply.enhanced, reported.diagnostic, decision.suppress)


def _enhanced_of(reported: Reported) -> str | None:
    """The field Status; the server's own code where that says no more than the class (RFC 3463 3.1)."""
    status = reported.status or None
    if status is not None and not status.endswith(".0.0"):
        return status
    said = _ENHANCED.search(reported.diagnostic)
    return said[0] if said and (status is None or said[1] == status[0]) else status


def waits(state: MessageState) -> bool:
    """Whether the message has no end yet: the 250 may not be recorded."""
    return state in OPEN_STATES


def look_again_at(received_at: datetime, now: datetime) -> datetime | None:
    """When a mail whose message has no end is taken up again; None: it has waited long enough.

    After as long as it has waited: 2, 4, 8 ... seconds, at most an hour.
    """
    age = now - received_at
    if age >= WAITS_AT_MOST:
        return None
    return now + min(max(age, _SOONEST), _LATEST)
