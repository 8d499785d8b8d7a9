"""Late bounces: a mail that was taken comes back some seconds later, as from a server further on."""

from __future__ import annotations

import asyncio
from email.utils import formatdate

from postwerk.errors import ConfigurationError
from postwerk.sandbox.replies import NAME

_MOST_AT_ONCE = 1000
_TRIES = 5
_HEAD_BYTES = 16 * 1024


def read_target(written: str) -> tuple[str, int]:
    """Host and port of "127.0.0.1:2424". Raises ConfigurationError."""
    host, colon, port = written.strip().rpartition(":")
    if not colon or not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ConfigurationError(f"{written!r} is no host:port to send bounces to")
    return host.strip("[]"), int(port)


class LateBounces:
    """Sends bounces to one server by LMTP; without one, nothing comes back."""

    def __init__(self, target: tuple[str, int] | None) -> None:
        self._target = target
        self._under_way: set[asyncio.Task[None]] = set()

    def plan(self, seconds: float, mail_from: str, recipient: str, message: bytes) -> None:
        """Give it back after so long; to nobody, if it has no sender (RFC 5321 6.1)."""
        if self._target is None or not mail_from or len(self._under_way) >= _MOST_AT_ONCE:
            return
        task = asyncio.create_task(
            self._give_back(self._target, seconds, mail_from, bounce_of(mail_from, recipient, message))
        )
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    def close(self) -> None:
        for task in self._under_way:
            task.cancel()

    async def _give_back(self, target: tuple[str, int], seconds: float, to: str, bounce: bytes) -> None:
        for _ in range(_TRIES):
            await asyncio.sleep(seconds)
            try:
                await asyncio.wait_for(_hand_over(target, to, bounce), 30)
            except (OSError, TimeoutError):
                seconds = 2 * seconds + 1
            else:
                return


async def _hand_over(target: tuple[str, int], to: str, bounce: bytes) -> None:
    """Raises OSError when it is not taken."""
    reader, writer = await asyncio.open_connection(*target)
    try:
        await _heard(reader, 220)
        for command in ("LHLO " + NAME, "MAIL FROM:<>", f"RCPT TO:<{to}>"):
            writer.write(f"{command}\r\n".encode())
            await _heard(reader, 250)
        writer.write(b"DATA\r\n")
        await _heard(reader, 354)
        writer.write(bounce.replace(b"\r\n.", b"\r\n..") + b".\r\n")
        await _heard(reader, 250)
    finally:
        writer.close()


async def _heard(reader: asyncio.StreamReader, code: int) -> None:
    while True:
        line = await reader.readline()
        if line[:3] != str(code).encode():
            raise ConnectionError(f"{line[:100]!r} instead of {code}")
        if line[3:4] != b"-":
            return


def bounce_of(mail_from: str, recipient: str, message: bytes) -> bytes:
    """A delivery status notification (RFC 3464) about this mail: no such user."""
    head = message.partition(b"\r\n\r\n")[0][:_HEAD_BYTES]
    lines = [
        f"From: MAILER-DAEMON@{NAME} (Mail Delivery System)",
        f"To: {mail_from}",
        "Subject: Undelivered Mail Returned to Sender",
        f"Date: {formatdate()}",
        "Auto-Submitted: auto-replied",
        "MIME-Version: 1.0",
        'Content-Type: multipart/report; report-type=delivery-status; boundary="late-bounce"',
        "",
        "--late-bounce",
        "Content-Type: text/plain; charset=utf-8",
        "",
        f"Your mail to {recipient} was taken, and could not be delivered further on.",
        "",
        "--late-bounce",
        "Content-Type: message/delivery-status",
        "",
        f"Reporting-MTA: dns; {NAME}",
        "",
        f"Final-Recipient: rfc822; {recipient}",
        "Action: failed",
        "Status: 5.1.1",
        "Diagnostic-Code: smtp; 550 5.1.1 No such user on the server behind this one",
        "",
        "--late-bounce",
        "Content-Type: text/rfc822-headers",
        "",
        "",
    ]
    return "\r\n".join(lines).encode() + head + b"\r\n\r\n--late-bounce--\r\n"
