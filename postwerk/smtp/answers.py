"""When a conversation may go on: the answer is the one that was due, and nothing else came with it."""

from __future__ import annotations

from aiosmtplib import SMTPResponse, SMTPServerDisconnected

from postwerk.contracts.smtp import Reply, Trouble
from postwerk.smtp.protocol import StrictProtocol
from postwerk.smtp.reply import NotSmtp, as_reply


class Refused(Exception):
    """It does not go on: by the server's reply, or for a reason of our own (`trouble` and `detail`)."""

    def __init__(self, reply: Reply | None, trouble: Trouble | None = None, detail: str = "") -> None:
        super().__init__(detail)
        self.reply = reply
        self.trouble = trouble
        self.detail = detail


def insist(answer: SMTPResponse, due: range) -> None:
    """Go on only with a code that is due (RFC 5321 4.3.2). 4yz and 5yz are the server's word."""
    if answer.code in due:
        return
    reply = as_reply(answer)
    if reply.code >= 400:
        raise Refused(reply)
    raise NotSmtp(f"{reply.code} where {due.start} was due: {reply.text}")


def insist_on_step(protocol: StrictProtocol, *, refusal_may_be_early: bool = False) -> None:
    """Nothing may be left over from before, for it would pass as the answer to the next command.

    A 421 may come at any time (RFC 5321 3.8). While a message is on its way any refusal may.
    """
    if protocol.in_step:
        return
    unasked = protocol.unasked
    if unasked is not None and (unasked.code == 421 or (refusal_may_be_early and unasked.code >= 400)):
        raise Refused(as_reply(unasked))
    if unasked is not None:
        raise NotSmtp(f"a reply that nobody asked for: {unasked.code} {as_reply(unasked).text}")
    raise protocol.fault or SMTPServerDisconnected("the connection is closing")
