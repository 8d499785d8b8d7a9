"""Mails that come back, written by hand after what the servers in question send."""

from __future__ import annotations

import smtplib
import socket
from dataclasses import dataclass
from textwrap import dedent


@dataclass(frozen=True, slots=True)
class Sample:
    """A mail and what is to be read in it."""

    name: str
    kind: str
    raw: bytes
    recipient: str = ""
    status: str = ""
    reason: str = ""
    suppress: bool = False


def mail(text: str) -> bytes:
    """The bytes of a mail that a test wrote with indented lines."""
    return dedent(text).lstrip("\n").replace("\n", "\r\n").encode()


def a_dsn(
    to: str = "gone@example.com",
    *,
    action: str = "failed",
    status: str = "5.1.1",
    diagnostic: str = "smtp; 550 5.1.1 <gone@example.com>: Recipient address rejected: User unknown",
    auto_submitted: str = "auto-replied",
    note: str = "",
) -> bytes:
    """A notification as Postfix writes it."""
    return mail(f"""
        Return-Path: <>
        Date: Sun, 22 Nov 2026 10:00:00 +0000 (UTC)
        From: MAILER-DAEMON@mx.example.net (Mail Delivery System)
        Subject: Undelivered Mail Returned to Sender
        To: sender@bounce.example
        Auto-Submitted: {auto_submitted}
        MIME-Version: 1.0
        Content-Type: multipart/report; report-type=delivery-status;
        \tboundary="4Bx7.1763805600/mx.example.net"
        Message-Id: <20261122100000.4Bx7@mx.example.net>

        This is a MIME-encapsulated message.

        --4Bx7.1763805600/mx.example.net
        Content-Description: Notification
        Content-Type: text/plain; charset=us-ascii

        This is the mail system at host mx.example.net. {note}

        <{to}>: it did not work out.

        --4Bx7.1763805600/mx.example.net
        Content-Description: Delivery report
        Content-Type: message/delivery-status

        Reporting-MTA: dns; mx.example.net
        X-Postfix-Queue-ID: 4Bx7
        Arrival-Date: Sun, 22 Nov 2026 09:59:58 +0000 (UTC)

        Final-Recipient: rfc822; {to}
        Original-Recipient: rfc822;{to}
        Action: {action}
        Status: {status}
        Remote-MTA: dns; mailbox.example.com
        Diagnostic-Code: {diagnostic}

        --4Bx7.1763805600/mx.example.net
        Content-Description: Undelivered Message Headers
        Content-Type: text/rfc822-headers

        Return-Path: <someone@bounce.example>
        Message-ID: <bulk.1@shop.example>
        From: Shop <news@shop.example>
        To: {to}
        Subject: Hello

        --4Bx7.1763805600/mx.example.net--
        """)


def a_complaint(*, original: str = "Subject: Hello", feedback: str = "abuse") -> bytes:
    """A feedback report (RFC 5965) with these lines in the mail it is about."""
    return mail(f"""
        From: <feedback@provider.example>
        To: <fbl@bounce.example>
        Subject: FW: Hello
        Date: Sun, 22 Nov 2026 11:00:00 +0000
        MIME-Version: 1.0
        Content-Type: multipart/report; report-type=feedback-report;
             boundary="part1_13d.2e68ed54_boundary"

        --part1_13d.2e68ed54_boundary
        Content-Type: text/plain; charset="US-ASCII"
        Content-Transfer-Encoding: 7bit

        This is an abuse report for a message received from 192.0.2.1.

        --part1_13d.2e68ed54_boundary
        Content-Type: message/feedback-report

        Feedback-Type: {feedback}
        User-Agent: SomeGenerator/1.0
        Version: 1
        Reporting-MTA: dns; mail.provider.example

        --part1_13d.2e68ed54_boundary
        Content-Type: message/rfc822
        Content-Disposition: inline

        From: <news@shop.example>
        To: <redacted@provider.example>
        ORIGINAL

        Dear friend
        --part1_13d.2e68ed54_boundary--
        """).replace(b"ORIGINAL", original.replace("\n", "\r\n").encode())


EXIM = mail("""
    Return-path: <>
    From: Mail Delivery System <Mailer-Daemon@exim.example.net>
    To: sender@bounce.example
    X-Failed-Recipients: full@example.com
    Auto-Submitted: auto-replied
    References: <bulk.2@shop.example>
    Content-Type: multipart/report; report-type=delivery-status; boundary=1700000000-eximdsn-123
    MIME-Version: 1.0
    Subject: Mail delivery failed: returning message to sender
    Message-Id: <E1abcd-0001@exim.example.net>

    --1700000000-eximdsn-123
    Content-type: text/plain; charset=us-ascii

    This message was created automatically by mail delivery software.

    A message that you sent could not be delivered to one or more of its
    recipients. This is a permanent error. The following address(es) failed:

      full@example.com
        host mx.example.com [192.0.2.7]
        SMTP error from remote mail server after RCPT TO:<full@example.com>:
        552 5.2.2 <full@example.com>: Recipient address rejected: Mailbox is full

    --1700000000-eximdsn-123
    Content-type: message/delivery-status

    Reporting-MTA: dns; exim.example.net

    Action: failed
    Final-Recipient: rfc822;full@example.com
    Status: 5.0.0
    Remote-MTA: dns; mx.example.com
    Diagnostic-Code: smtp; 552 5.2.2 <full@example.com>: Recipient address rejected: Mailbox is full

    --1700000000-eximdsn-123
    Content-type: message/rfc822

    Return-path: <x@bounce.example>
    Message-ID: <bulk.2@shop.example>
    Subject: Hello

    Dear friend
    --1700000000-eximdsn-123--
    """)
EXCHANGE = mail("""
    From: Microsoft Outlook <MicrosoftExchange329e71ec88ae4615bbc36ab6ce41109e@corp.example>
    To: <sender@bounce.example>
    Date: Sun, 22 Nov 2026 12:00:00 +0000
    Content-Type: multipart/report; report-type=delivery-status;
    \tboundary="_4ba94c1c-2a6f-4e0c-9fd5-2f1b3a0c_"
    Content-Language: en-US
    Message-ID: <c1c2@EX01.corp.example>
    Auto-Submitted: auto-replied
    Subject: Undeliverable: Hello
    MIME-Version: 1.0

    --_4ba94c1c-2a6f-4e0c-9fd5-2f1b3a0c_
    Content-Type: multipart/alternative; differences=Content-Type;
    \tboundary="_inner_"

    --_inner_
    Content-Type: text/plain; charset="us-ascii"
    Content-Transfer-Encoding: quoted-printable

    Delivery has failed to these recipients or groups:

    nobody@corp.example<mailto:nobody@corp.example>
    The email address you entered couldn't be found.=20

    --_inner_
    Content-Type: text/html; charset="us-ascii"
    Content-Transfer-Encoding: base64

    PGh0bWw+PC9odG1sPg==

    --_inner_--

    --_4ba94c1c-2a6f-4e0c-9fd5-2f1b3a0c_
    Content-Type: message/delivery-status

    Reporting-MTA: dns;EX01.corp.example
    Received-From-MTA: dns;relay.shop.example
    Arrival-Date: Sun, 22 Nov 2026 11:59:58 +0000

    Original-Recipient: rfc822;nobody@corp.example
    Final-Recipient: rfc822;nobody@corp.example
    Action: failed
    Status: 5.1.10
    Diagnostic-Code: smtp;550 5.1.10 RESOLVER.ADR.RecipientNotFound; not found by SMTP address lookup
    X-Display-Name: nobody@corp.example

    --_4ba94c1c-2a6f-4e0c-9fd5-2f1b3a0c_
    Content-Type: message/rfc822

    Message-ID: <bulk.3@shop.example>
    Subject: Hello
    Content-Type: text/plain

    Dear friend
    --_4ba94c1c-2a6f-4e0c-9fd5-2f1b3a0c_--
    """)
GMAIL = mail("""
    From: Mail Delivery Subsystem <mailer-daemon@googlemail.example>
    To: sender@bounce.example
    Auto-Submitted: auto-replied
    Subject: Delivery Status Notification (Failure)
    References: <bulk.4@shop.example>
    Message-ID: <64f.abc@mx.google.example>
    Date: Sun, 22 Nov 2026 04:00:00 -0800 (PST)
    Content-Type: multipart/report; boundary="0000000000004f"; report-type=delivery-status
    X-Failed-Recipients: noone@gmail.example

    --0000000000004f
    Content-Type: multipart/related; boundary="0000000000005e"

    --0000000000005e
    Content-Type: multipart/alternative; boundary="0000000000006a"

    --0000000000006a
    Content-Type: text/plain; charset="UTF-8"

    ** Address not found **

    Your message wasn't delivered to noone@gmail.example because the address couldn't be found.

    --0000000000006a--
    --0000000000005e
    Content-Type: image/png; name="icon.png"
    Content-Transfer-Encoding: base64

    iVBORw0KGgo=
    --0000000000005e--
    --0000000000004f
    Content-Type: message/delivery-status

    Reporting-MTA: dns; googlemail.example
    Arrival-Date: Sun, 22 Nov 2026 04:00:00 -0800 (PST)
    X-Original-Message-ID: <bulk.4@shop.example>

    Final-Recipient: rfc822; noone@gmail.example
    Action: failed
    Status: 5.1.1
    Remote-MTA: dns; gmail-smtp-in.l.google.example. (192.0.2.9, the server for the domain.)
    Diagnostic-Code: smtp; 550-5.1.1 The email account that you tried to reach does not exist. Please try
     550-5.1.1 double-checking the recipient's email address for typos or
     550-5.1.1 unnecessary spaces. For more information, go to
     550 5.1.1  https://support.example/mail/?p=NoSuchUser a1-20020a17 - gsmtp
    Last-Attempt-Date: Sun, 22 Nov 2026 04:00:01 -0800 (PST)

    --0000000000004f
    Content-Type: message/rfc822

    Message-ID: <bulk.4@shop.example>
    Subject: Hello

    Dear friend
    --0000000000004f--
    """)
QMAIL = mail("""
    Return-Path: <>
    Date: 22 Nov 2026 10:00:00 -0000
    From: MAILER-DAEMON@qmail.example.net
    To: sender@bounce.example
    Subject: failure notice

    Hi. This is the qmail-send program at qmail.example.net.
    I'm afraid I wasn't able to deliver your message to the following addresses.
    This is a permanent error; I've given up. Sorry it didn't work out.

    <left@example.com>:
    192.0.2.8 does not like recipient.
    Remote host said: 550 5.1.1 <left@example.com>... User unknown
    Giving up on 192.0.2.8.

    --- Below this line is a copy of the message.

    Return-Path: <sender@bounce.example>
    Subject: Hello

    Dear friend
    """)
VACATION = mail("""
    Return-Path: <>
    From: Ada <ada@example.com>
    To: sender@bounce.example
    Subject: Out of office: Hello
    Auto-Submitted: auto-replied (vacation)
    Precedence: bulk

    I am away. If the user is unknown to you, write to <bob@example.com>: 550 5.1.1 is his extension.
    """)
LETTER = mail("""
    From: Ada <ada@example.com>
    To: sender@bounce.example
    Subject: Re: Hello

    Thank you for your letter.
    """)
TRIED_FOR_DAYS = a_dsn(
    "slow@example.com",
    status="4.4.1",
    diagnostic="X-Postfix; connect to mailbox.example.com[192.0.2.1]:25: Connection timed out",
)

SAMPLES = [
    Sample("postfix", "bounce", a_dsn(), "gone@example.com", "5.1.1", "user_unknown", True),
    Sample("exim", "bounce", EXIM, "full@example.com", "5.0.0", "mailbox_full"),
    Sample("exchange", "bounce", EXCHANGE, "nobody@corp.example", "5.1.10", "user_unknown", True),
    Sample("gmail", "bounce", GMAIL, "noone@gmail.example", "5.1.1", "user_unknown", True),
    Sample("qmail", "bounce", QMAIL, "left@example.com", "5.1.1", "user_unknown", True),
    Sample("tried for days", "bounce", TRIED_FOR_DAYS, "slow@example.com", "4.4.1", "refused_for_now"),
    Sample("delayed", "delay", a_dsn(action="delayed", status="4.4.1"), "gone@example.com", "4.4.1"),
    Sample("delivered", "other", a_dsn(action="delivered", status="2.0.0"), "gone@example.com", "2.0.0"),
    Sample("complaint", "complaint", a_complaint()),
    Sample("vacation", "auto_reply", VACATION),
    Sample("letter", "other", LETTER),
]


def hand_over(address: str, raw: bytes, to: str, *, sender: str = "", protocol: str = "lmtp") -> None:
    """Give a mail to the listener. Raises smtplib's errors."""
    host, _, port = address.rpartition(":")
    client = smtplib.LMTP if protocol == "lmtp" else smtplib.SMTP
    with client(host, int(port), timeout=30) as door:  # type: ignore[call-arg]
        door.sendmail(sender, [to], raw)


class RawDoor:
    """A conversation with the listener, byte by byte."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self._socket = socket.create_connection((host, int(port)), timeout=30)
        self._file = self._socket.makefile("rb")

    def __enter__(self) -> RawDoor:
        return self

    def __exit__(self, *_error: object) -> None:
        self._file.close()
        self._socket.close()

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def answer(self) -> str:
        """One whole reply; empty when the connection was closed."""
        lines = []
        while line := self._file.readline().decode():
            lines.append(line.strip())
            if line[3:4] != "-":
                break
        return "\n".join(lines)

    def say(self, command: str) -> str:
        self.send(f"{command}\r\n".encode())
        return self.answer()
