"""A delivery status notification about one message (RFC 3464): what it says to people and to programs."""

from __future__ import annotations

from postwerk.contracts.content import Content, Mailbox, StatusReport
from postwerk.contracts.notices import ToldMessage, ToldSend
from postwerk.contracts.states import OPEN_STATES, MessageState

SPEAKER = "Postwerk"
"""Display name under which notices come, from the address of the bulk send they are about."""
_TIME_IS_OVER = "4.4.7"
"""RFC 3463 3.5: delivery time expired."""
_WORDS = {
    MessageState.BOUNCED: "could not be delivered: it was refused for good.",
    MessageState.EXPIRED: "could not be delivered in time, and is not tried any more.",
    MessageState.FAILED: "could not be sent.",
}
_DELAYED = "could not be delivered yet. It is tried again; nothing needs to be done."


def status_notification(
    about: ToldSend, message: ToldMessage, *, original: str, message_id: str, reporting_mta: str
) -> Content:
    """The DSN; `original` holds the headers of the message it is about.

    Its sender is null: nothing ever bounces to a bounce (RFC 3464 2, RFC 5321 6.1).
    """
    delayed = message.state in OPEN_STATES
    return Content(
        sender=Mailbox(email=about.content.sender.email, name=SPEAKER),
        return_path="",
        subject="Delayed: {{ about }}" if delayed else "Undelivered: {{ about }}",
        text="{{ text }}",
        variables={"about": message.address, "text": _text(about, message, delayed)},
        headers={"Auto-Submitted": "auto-replied", "References": message_id},
        report=_report(about, message, delayed, original, reporting_mta),
    )


def _text(about: ToldSend, message: ToldMessage, delayed: bool) -> str:
    words = _DELAYED if delayed else _WORDS[message.state]
    lines = [f"A message to {message.address}", words, ""]
    if message.reply:
        said = message.reply.splitlines()
        lines += [f"The mail server {message.host or 'of the recipient'} said:", ""]
        lines += [f"    {line}" for line in said]
    elif message.said:
        lines += ["The reason:", "", *(f"    {line}" for line in message.said.splitlines())]
    lines += ["", f"Attempts: {message.attempts}"]
    if delayed:
        lines.append(f"Tried until: {about.deadline:%Y-%m-%d %H:%M} UTC")
    lines += [f"Message: {about.id}.{message.seq}", ""]
    return "\n".join(lines)


def _report(
    about: ToldSend, message: ToldMessage, delayed: bool, original: str, reporting_mta: str
) -> StatusReport:
    return StatusReport(
        action="delayed" if delayed else "failed",
        recipient=message.address,
        status=_status(message, delayed),
        reporting_mta=reporting_mta,
        remote_mta=message.host if message.reply else "",
        reply=message.reply,
        trouble=message.said or message.reason,
        arrived_at=about.accepted_at,
        last_attempt_at=message.last_attempt_at,
        retry_until=about.deadline if delayed else None,
        original=original,
    )


def _status(message: ToldMessage, delayed: bool) -> str:
    """The server's own code where its class says the same as we do (RFC 3463 3.1)."""
    if message.state is MessageState.EXPIRED:
        return _TIME_IS_OVER
    kind = "4" if delayed else "5"
    return message.enhanced if message.enhanced.startswith(kind) else f"{kind}.0.0"
