"""The parts of a mail that are meant for programs: delivery status (RFC 3464) and feedback (RFC 5965)."""

from __future__ import annotations

import re

from postwerk.contracts.inbound import Found, InboundKind, Reported
from postwerk.inbound.parts import HEADER_BYTES, Part, fields_in

MOST_RECIPIENTS = 100
_STATUS_KINDS = ("message/delivery-status", "message/global-delivery-status")
_HEADER_KINDS = ("text/rfc822-headers", "message/rfc822-headers", "message/global-headers")
_MAIL_KINDS = ("message/rfc822", "message/global")
_GROUP_END = re.compile(rb"\r?\n(?:[ \t]*\r?\n)+")
_ACTION = re.compile(r"[a-z]{1,20}")
_STATUS = re.compile(r"([245]\.\d{1,3}\.\d{1,3})(?!\d)", re.ASCII)
_UTF8_ESCAPE = re.compile(r"\\x\{([0-9A-Fa-f]{2,6})\}")
_TRACES = ("return-path", "list-unsubscribe", "message-id", "x-original-mail-from", "original-mail-from")

Fields = dict[str, str]


def read_status(mail: Part) -> Found | None:
    """What the first delivery status part says; None without one that names a recipient."""
    part = next((one for one in mail.walk() if one.kind in _STATUS_KINDS), None)
    if part is None:
        return None
    groups = _groups(part)
    reported = tuple(_reported(group) for group in groups if _names_recipient(group))[:MOST_RECIPIENTS]
    if not reported:
        return None
    about = next((group for group in groups if "reporting-mta" in group), {})
    return Found(
        kind=_kind(reported),
        reported=reported,
        reporting_mta=_without_type(about.get("reporting-mta", "")),
        message_id=field_of_original(mail, "message-id"),
        how="dsn",
    )


def read_feedback(mail: Part) -> Found | None:
    """A complaint, or what else a feedback report says."""
    part = next((one for one in mail.walk() if one.kind == "message/feedback-report"), None)
    if part is None:
        return None
    said = dict(reversed([pair for group in _groups(part) for pair in group.items()]))
    kind = _ACTION.match(said.get("feedback-type", "").lower().replace("-", ""))
    return Found(
        kind=InboundKind.COMPLAINT,
        feedback=said.get("feedback-type", "").strip().lower()[:40] if kind else "",
        reporting_mta=_without_type(said.get("reporting-mta", "")),
        message_id=field_of_original(mail, "message-id"),
        traces=_traces(mail, said),
        how="arf",
    )


def field_of_original(mail: Part, name: str) -> str:
    """A field of the mail that this one is about, as it was sent back."""
    return next((value for known, value in _original(mail) if known == name), "")


def _original(mail: Part) -> list[tuple[str, str]]:
    for part in mail.walk():
        if part.kind in _MAIL_KINDS and part.parts:
            return part.parts[0].fields
        if part.kind in _HEADER_KINDS:
            return fields_in(part.content()[:HEADER_BYTES])
    return []


def _traces(mail: Part, said: Fields) -> tuple[str, ...]:
    found = [value for name, value in _original(mail) if name in _TRACES]
    found += [said[name] for name in _TRACES if name in said]
    return tuple(value[:2000] for value in found[:20])


def _groups(part: Part) -> list[Fields]:
    """Groups of fields with a blank line between them; of a field that comes twice the first counts.

    Some parsers and servers make each group a part of its own: they are read the same.
    """
    blocks = _GROUP_END.split(part.content().strip()[:HEADER_BYTES], maxsplit=MOST_RECIPIENTS + 1)
    return [dict(reversed(fields_in(block))) for block in blocks if block]


def _names_recipient(group: Fields) -> bool:
    return not group.keys().isdisjoint(("final-recipient", "original-recipient", "action"))


def _reported(group: Fields) -> Reported:
    action = _ACTION.match(group.get("action", "").lower())
    status = _STATUS.search(group.get("status", ""))
    return Reported(
        recipient=_address(group.get("final-recipient", "")),
        original=_address(group.get("original-recipient", "")),
        action=action[0] if action else _action_of(status[1] if status else ""),
        status=status[1] if status else "",
        diagnostic=_without_type(group.get("diagnostic-code", ""))[:2000],
        remote_mta=_without_type(group.get("remote-mta", "")),
    )


def _action_of(status: str) -> str:
    """RFC 3464 2.3.3 asks for the field; where it is missing, the status says it."""
    return {"5": "failed", "4": "delayed", "2": "delivered"}.get(status[:1], "")


def _kind(reported: tuple[Reported, ...]) -> InboundKind:
    actions = {one.action for one in reported}
    if "failed" in actions:
        return InboundKind.BOUNCE
    return InboundKind.DELAY if "delayed" in actions else InboundKind.OTHER


def _without_type(value: str) -> str:
    """What stands behind "dns;", "smtp;" or "rfc822;" (RFC 3464 2.1.2)."""
    kind, semicolon, rest = value.partition(";")
    return (rest if semicolon and re.fullmatch(r"\s*[\w-]{1,30}\s*", kind) else value).strip()[:2000]


def _address(value: str) -> str:
    plain = _without_type(value).strip("<> ")[:500]
    if value.lstrip().lower().startswith("utf-8"):  # RFC 6533 3: utf-8-addr-xtext
        plain = _UTF8_ESCAPE.sub(lambda match: _letter(match[1]), plain)
    return plain


def _letter(digits: str) -> str:
    number = int(digits, 16)
    return chr(number) if number < 0x110000 and not 0xD800 <= number < 0xE000 else "\ufffd"
