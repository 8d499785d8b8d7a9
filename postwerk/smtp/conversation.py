"""One SMTP connection that sends message after message and always knows how far it has come."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

from aiosmtplib import SMTPResponse

from postwerk.contracts.mail import Mail
from postwerk.contracts.smtp import Exchange, Reply, Stage, Trouble
from postwerk.smtp.answers import Refused, insist, insist_on_step
from postwerk.smtp.envelope import Envelope, Offer, Unsendable, address_envelope, stuff_dots
from postwerk.smtp.protocol import CHUNK_BYTES, StrictProtocol
from postwerk.smtp.relay import RelayConfig
from postwerk.smtp.reply import NotSmtp, as_reply
from postwerk.smtp.trouble import WIRE_ERRORS, trouble_of

NO_LONGER_OURS = "no longer ours"
IDLE_TOO_LONG = "4.4.2"
_DOT = b".\r\n"
_SILENCE_SECONDS = 0.05
"""A reply too many follows its neighbours at once."""
_COMPLETED = range(200, 300)
_START_INPUT = range(354, 355)


class Conversation:
    """An open connection to a relay, for one message after the other. Made by `open_conversation`.

    It is used by one task at a time. If that task is cancelled in `send`

    - before the dot is written: the connection is aborted at once and CancelledError comes out. The server
      cannot have taken the message.
    - after the dot was written: `send` waits for the reply, at most as long as the limit for the dot, and
      RETURNS the Exchange. The cancellation is swallowed; whoever awaited `send` records the result and then
      looks at `asyncio.current_task().cancelling()`, which is still above zero.
    """

    def __init__(self, relay: RelayConfig, protocol: StrictProtocol, offer: Offer, tls: str) -> None:
        self.messages = 0
        """Transactions begun on this connection."""
        self.stale = False
        """The last `send` found the connection ended before its MAIL was answered: a new one may be tried."""
        self._relay = relay
        self._limits = relay.limits
        self._protocol = protocol
        self._offer = offer
        self._tls = tls
        self._stage = Stage.MAIL
        self._dot_written = False
        self._busy = False
        self._claiming = False
        self._needs_reset = False
        self._closed = False

    @property
    def alive(self) -> bool:
        """Whether the connection stands, be it busy or not."""
        return not self._closed and self._protocol.is_connected

    @property
    def size_limit(self) -> int | None:
        """Octets of the largest message that the server takes; None when it names no limit (RFC 1870 4)."""
        return self._offer.size_limit or None

    @property
    def usable(self) -> bool:
        """Whether another message can be sent here."""
        return not self._closed and not self._busy and self._protocol.in_step

    async def send(
        self, sender: str, recipient: str, message: Mail | bytes, before_data: Callable[[], Awaitable[bool]]
    ) -> Exchange:
        """Carry one message to one recipient, and say how it ended.

        `message` is complete, with CRLF line ends. `before_data` runs when the recipient is accepted; only if
        it says True the message goes out. See the class about cancellation.
        """
        started = time.perf_counter()
        self._begin()
        try:
            mail = message if isinstance(message, Mail) else Mail(message)
            exchange = await self._outcome(sender, recipient, mail, before_data, started)
            self._busy = False
            return exchange
        finally:
            if self._busy:  # cancelled, or before_data failed: the server waits for something else
                self.abort()

    async def quit(self) -> None:
        """Say goodbye, within five seconds and without a word about how it went; then close."""
        try:
            if self.usable:
                with suppress(*WIRE_ERRORS):  # every outcome is recorded already, nothing depends on this
                    await self._protocol.execute_command(b"QUIT", timeout=self._limits.quit.total_seconds())
        finally:
            self.abort()

    def abort(self) -> None:
        """Close at once, whatever is still unsent or unread."""
        self._closed = True
        self._protocol.abort()

    def _begin(self) -> None:
        if self._busy or self._closed:
            raise RuntimeError("this conversation is busy or closed")
        self._busy, self._dot_written, self.stale = True, False, False
        self._stage = Stage.MAIL

    async def _outcome(
        self,
        sender: str,
        recipient: str,
        mail: Mail,
        before_data: Callable[[], Awaitable[bool]],
        started: float,
    ) -> Exchange:
        """Every way in which a transaction ends, as a value."""
        try:
            envelope = address_envelope(sender, recipient, mail, self._offer)
            reply = await self._transact(envelope, mail, before_data)
            return self._exchange(started, reply)
        except Unsendable as reason:
            return self._exchange(started, None, reason.trouble, str(reason))
        except Refused as end:
            if not self._protocol.in_step or (end.reply and end.reply.code == 421):
                self.abort()
            return self._exchange(started, end.reply, end.trouble, end.detail)
        except WIRE_ERRORS as error:
            if self._claiming:  # the journal's disk or database failed, not the wire
                raise
            self.abort()
            trouble, detail = trouble_of(error, self._stage)
            self.stale = self.stale and trouble is not Trouble.TIMEOUT  # one long wait is enough
            return self._exchange(started, None, trouble, detail)

    async def _transact(
        self, envelope: Envelope, mail: Mail, before_data: Callable[[], Awaitable[bool]]
    ) -> Reply:
        if self._offer.pipelining and self._relay.pipelining:
            await self._mail_and_rcpt(envelope)
        else:
            await self._mail(envelope)
            await self._rcpt(envelope)
        await self._claim(before_data)
        await self._data()
        return await self._body(stuff_dots(mail.own), mail.shared)

    async def _mail(self, envelope: Envelope) -> None:
        await self._start_over()
        answer = await self._command(b"MAIL", *envelope.mail, seconds=self._limits.mail.total_seconds())
        insist(self._mail_answered(answer), _COMPLETED)

    async def _start_over(self) -> None:
        self.stale, self.messages = self.messages > 0, self.messages + 1  # until MAIL has an answer
        if self._needs_reset:
            insist(await self._command(b"RSET", seconds=self._limits.mail.total_seconds()), _COMPLETED)
            self._needs_reset = False

    def _mail_answered(self, answer: SMTPResponse) -> SMTPResponse:
        self.stale = self.stale and answer.code == 421 and as_reply(answer).enhanced == IDLE_TOO_LONG
        self._needs_reset = True
        return answer

    async def _mail_and_rcpt(self, envelope: Envelope) -> None:
        """Both in one write (RFC 2920 3.1); their answers come in order, and both are read."""
        await self._start_over()
        insist_on_step(self._protocol)
        self._protocol.write(b"MAIL %b\r\nRCPT %b\r\n" % (b" ".join(envelope.mail), envelope.rcpt), replies=2)
        sender = self._mail_answered(await self._protocol.read_response(self._limits.mail.total_seconds()))
        if sender.code not in _COMPLETED:
            await self._swallow_answer()
            insist(sender, _COMPLETED)
        self._stage = Stage.RCPT
        recipient = await self._protocol.read_response(self._limits.rcpt.total_seconds())
        if recipient.code >= 500 and not await self._protocol.stays_silent(_SILENCE_SECONDS):
            # A second reply to MAIL would have passed for RCPT's: a recipient must not bounce for that.
            raise NotSmtp("more replies than commands")
        insist(recipient, _COMPLETED)

    async def _swallow_answer(self) -> None:
        """RCPT's, when MAIL was refused: it says nothing new, and must not hide what MAIL was told."""
        with suppress(*WIRE_ERRORS):  # out of step or closed now, which `_outcome` sees
            await self._protocol.read_response(self._limits.quit.total_seconds())

    async def _rcpt(self, envelope: Envelope) -> None:
        self._stage = Stage.RCPT
        answer = await self._command(b"RCPT", envelope.rcpt, seconds=self._limits.rcpt.total_seconds())
        insist(answer, _COMPLETED)

    async def _claim(self, before_data: Callable[[], Awaitable[bool]]) -> None:
        """The last moment to stay at home: someone may have cancelled the message meanwhile."""
        self._stage = Stage.DATA
        self._claiming = True
        ours = await before_data()
        self._claiming = False
        if not ours:
            raise Refused(None, Trouble.LOCAL, NO_LONGER_OURS)

    async def _data(self) -> None:
        answer = await self._command(b"DATA", seconds=self._limits.data.total_seconds())
        insist(answer, _START_INPUT)

    async def _body(self, own: bytes, shared: bytes) -> Reply:
        """Everything up to the dot may fail without harm; from the dot on only a reply tells."""
        size = len(own) + len(shared)
        rest = own + shared if size <= CHUNK_BYTES else await self._upload(own, shared)
        insist_on_step(self._protocol, refusal_may_be_early=size > CHUNK_BYTES)
        self._protocol.write(rest + _DOT)
        self._stage, self._dot_written = Stage.DOT, True
        answer = await self._protocol.read_to_the_end(self._limits.for_dot(size))
        self._needs_reset = False
        return self._final(answer)

    async def _upload(self, own: bytes, shared: bytes) -> bytes:
        """Send all but the last piece, which goes with the dot: a server that stops reading never sees it.

        What is shared is never copied: a thousand messages under way hold one attachment.
        """
        pieces = [own, shared] if shared else [own]
        cut = (len(pieces[-1]) - 1) // CHUNK_BYTES * CHUNK_BYTES
        views = [memoryview(piece) for piece in pieces[:-1]] + [memoryview(pieces[-1])[:cut]]
        standstill, total = (
            self._limits.block.total_seconds(),
            self._limits.for_upload(len(own) + len(shared)),
        )
        await self._protocol.upload(views, standstill=standstill, total=total)
        return pieces[-1][cut:]

    def _final(self, answer: SMTPResponse) -> Reply:
        """RFC 5321 4.2.5: any 2yz after the dot means the server has taken the message."""
        if 300 <= answer.code < 400:
            raise NotSmtp(f"{answer.code} in reply to the dot")
        if self._protocol.said_too_much:
            raise NotSmtp("more than one reply to the dot")  # nobody can say which one is its own
        if answer.code == 421:
            self.abort()
        return as_reply(answer)

    async def _command(self, *words: bytes, seconds: float) -> SMTPResponse:
        insist_on_step(self._protocol)
        return await self._protocol.execute_command(*words, timeout=seconds)

    def _exchange(
        self, started: float, reply: Reply | None, trouble: Trouble | None = None, detail: str = ""
    ) -> Exchange:
        return Exchange(
            self._stage,
            reply,
            trouble,
            detail,
            self._dot_written,
            self._relay.host,
            self._tls,
            int((time.perf_counter() - started) * 1000),
        )
