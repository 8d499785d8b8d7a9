"""What a mail that came back is: from its bytes to what was found in it. Runs where it may be killed."""

from __future__ import annotations

import email
import re
from dataclasses import replace

from flufl.bounce import all_failures

from postwerk.contracts.inbound import Found, InboundKind, Reported
from postwerk.inbound.parts import Part, cut
from postwerk.inbound.reports import field_of_original, read_feedback, read_status

_LONGEST_TEXT = 64 * 1024
_LONGEST_FOR_WORDS = 256 * 1024
"""Notices without parts for programs are short; what is behind is the mail they are about."""
_MOST_ADDRESSES = 20
_MACHINES = re.compile(
    r"\b(?:mailer-?daemon|mail-?daemon|postmaster|mail delivery (?:sub)?system|microsoftexchange\w*)\b", re.I
)
_AUTO_SUBJECT = re.compile(
    r"\s*(?:(?:re|aw)\s*:\s*)?(?:auto(?:matic|matische)?[- ]?(?:reply|response|antwort)|autoreply"
    r"|out of (?:the )?office|abwesenheits|abwesend|vacation|on holiday|réponse automatique"
    r"|respuesta automática)",
    re.I,
)
_AUTO_FIELDS = ("x-autoreply", "x-autorespond", "x-auto-reply", "x-autoresponder")
_REPLY = re.compile(
    r"(?<![\w.])([45]\d\d)[ \-#]{1,3}(?:\(?#?[45]\.\d{1,3}\.\d{1,3}\)?[ :\-]{0,3})?[^\r\n]{0,300}", re.ASCII
)
_ENHANCED = re.compile(r"(?<![\w.])([45]\.\d{1,3}\.\d{1,3})(?![\w.])", re.ASCII)


def read_mail(raw: bytes) -> Found:
    """What was found. Raises TooComplex, and whatever a hostile mail makes a parser raise."""
    mail = cut(raw)
    found = read_feedback(mail) or read_status(mail) or _auto_reply(mail) or _by_words(mail, raw)
    automatic = mail.field("auto-submitted").partition(";")[0].strip().lower()
    return replace(found, auto_submitted=automatic.startswith("auto-"))


def _auto_reply(mail: Part) -> Found | None:
    """Somebody's answering machine (RFC 3834), and no server: that one signs as such."""
    if _MACHINES.search(mail.field("from")[:1000]):
        return None
    automatic = mail.field("auto-submitted").strip().lower().startswith(("auto-replied", "auto-generated"))
    marked = any(mail.field(name) for name in _AUTO_FIELDS)
    marked = marked or mail.field("precedence").strip().lower() == "auto_reply"
    if automatic or marked or _AUTO_SUBJECT.match(mail.field("subject")[:200]):
        return Found(InboundKind.AUTO_REPLY, how="fields")
    return None


def _by_words(mail: Part, raw: bytes) -> Found:
    """Notices of servers that keep to no standard, as flufl.bounce knows them."""
    temporary, permanent = all_failures(email.message_from_bytes(raw[:_LONGEST_FOR_WORDS]))
    if not temporary and not permanent:
        return Found(InboundKind.OTHER)
    action = "failed" if permanent else "delayed"
    code, said = _reply_in(mail)
    addresses = sorted(permanent or temporary)[:_MOST_ADDRESSES]
    return Found(
        InboundKind.BOUNCE if permanent else InboundKind.DELAY,
        reported=tuple(
            Reported(one.decode("utf-8", "replace")[:500], action=action, status=code, diagnostic=said)
            for one in addresses
        ),
        message_id=field_of_original(mail, "message-id"),
        how="words",
    )


def _reply_in(mail: Part) -> tuple[str, str]:
    """Enhanced code and line of the first reply of a server that the text quotes."""
    for part in mail.walk():
        if part.parts or not part.kind.startswith("text/plain"):
            continue
        text = part.text(_LONGEST_TEXT)
        reply = _REPLY.search(text)
        if reply is not None:
            enhanced = _ENHANCED.search(reply[0])
            return enhanced[1] if enhanced else "", " ".join(reply[0].split())
        enhanced = _ENHANCED.search(text)
        if enhanced is not None:
            return enhanced[1], ""
    return "", ""
