"""The door for mail that comes back: LMTP (RFC 2033) or SMTP, one domain, stored before it says 250.

It answers no mail with mail, and passes none on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, AnyStr, cast

from aiosmtpd.lmtp import LMTP
from aiosmtpd.smtp import SMTP, Envelope, Session

from postwerk.archive.engine import Archive
from postwerk.archive.inbound import NewInbound, store_inbound
from postwerk.inbound.config import InboundConfig
from postwerk.observe import log
from postwerk.smtp.reply import clean_line

MOST_RECIPIENTS = 10
_LONGEST_LINE = 64 * 1024
"""Bounces quote what they like: a line longer than RFC 5321 allows is taken as it is."""
_STORE_SECONDS = 45.0
_TOO_LARGE = "552 5.3.4 Message too large"
_BUSY = b"421 4.7.0 Too many connections, try again later\r\n"
_ENDS = (b"552 Error: Too much mail data", b"500 Line too long")
"""How aiosmtpd refuses a mail behind its final dot."""

log.silence("mail.log", "mail.debug")


class Gate:
    """How many connections there are, and how fast they come."""

    def __init__(self, config: InboundConfig) -> None:
        self._config = config
        self._free_at = 0.0
        self.open: set[Any] = set()

    def admits(self, now: float) -> bool:
        """Whether one more may come in; `now` in seconds of a steady clock."""
        if len(self.open) >= self._config.connections:
            return False
        rate = self._config.rate
        if rate is None:
            return True
        interval = rate.interval / 1_000_000
        earliest = max(self._free_at, now)
        if earliest - now > interval * (rate.burst - 1) + 1e-9:
            return False
        self._free_at = earliest + interval
        return True


class Intake:
    """aiosmtpd's handler: what is answered to RCPT, and the storing behind the final dot."""

    def __init__(self, archive: Archive, config: InboundConfig, stored: Callable[[], None]) -> None:
        self._archive = archive
        self._config = config
        self._stored = stored

    async def handle_RCPT(
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        domain = address.rpartition("@")[2].rstrip(".").lower()
        if domain != self._config.domain.lower() and address.lower() != "postmaster":
            return "550 5.7.1 Relaying denied: not a domain of this server"
        if len(envelope.rcpt_tos) >= MOST_RECIPIENTS:
            return "452 4.5.3 Too many recipients"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server: SMTP, _session: Session, envelope: Envelope) -> str:
        try:
            async with asyncio.timeout(_STORE_SECONDS):
                await self._store(envelope)
        except Exception as error:  # noqa: BLE001  whatever it was: it is not stored, and its sender keeps it
            log.inbound_not_stored(error)
            answer = "451 4.3.0 It cannot be stored now, try again later"
        else:
            self._stored()
            answer = "250 2.0.0 OK, stored"
        return for_each(server, answer, len(envelope.rcpt_tos))

    async def _store(self, envelope: Envelope) -> None:
        content = envelope.content
        assert isinstance(content, bytes)
        now = datetime.now(UTC)
        async with self._archive.writing() as connection:
            for address in envelope.rcpt_tos:
                sender = clean_line(envelope.mail_from or "").strip("<>")[:500]  # aiosmtpd calls nobody "<>"
                new = NewInbound(self._config.protocol, sender, clean_line(address)[:500], content)
                await store_inbound(connection, new, now)


def for_each(server: SMTP, answer: str, recipients: int) -> str:
    """In LMTP each recipient gets an answer of its own to the final dot (RFC 2033 4.2)."""
    return "\r\n".join([answer] * max(recipients, 1)) if isinstance(server, LMTP) else answer


class _Bounded(SMTP):
    """What aiosmtpd leaves open: how many connections, how long, and how much on each."""

    line_length_limit = _LONGEST_LINE

    def __init__(self, intake: Intake, gate: Gate, config: InboundConfig, **options: Any) -> None:
        super().__init__(
            intake,
            data_size_limit=config.max_bytes,
            enable_SMTPUTF8=True,
            hostname=config.hostname,
            ident="Postwerk",
            timeout=config.timeout_seconds,
            **options,
        )
        self._gate = gate
        self._most_unanswered = 2 * config.max_bytes + _LONGEST_LINE
        self._unanswered = 0
        self._session_seconds = config.session_seconds
        self._refused = False
        self._end: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if not self._gate.admits(self.loop.time()):
            self._refused = True
            cast(asyncio.Transport, transport).write(_BUSY)
            transport.close()
            return
        self._gate.open.add(self)
        self._end = self.loop.call_later(self._session_seconds, transport.close)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        if self._refused:
            return
        self._gate.open.discard(self)
        if self._end is not None:
            self._end.cancel()
        super().connection_lost(error)

    def eof_received(self) -> bool | None:
        return None if self._refused else super().eof_received()

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        # A line without an end would be kept in memory whatever the limit says.
        self._unanswered += len(data)
        if self._unanswered > self._most_unanswered:
            self._hang_up(_TOO_LARGE)
            return
        super().data_received(data)

    async def push(self, status: AnyStr) -> None:
        self._unanswered = 0
        said = status.encode() if isinstance(status, str) else status
        if said.startswith(_ENDS) and self.envelope is not None:
            await super().push(for_each(self, _TOO_LARGE, len(self.envelope.rcpt_tos)))
        else:
            await super().push(status)

    def _hang_up(self, answer: str) -> None:
        transport = self.transport
        if transport is not None and not transport.is_closing():
            cast(asyncio.Transport, transport).write(f"{answer}\r\n".encode())
            transport.close()

    async def handle_exception(self, error: Exception) -> str:
        log.inbound_not_stored(error)
        return "451 4.3.0 Something went wrong here, try again later"


class _LmtpDoor(_Bounded, LMTP):
    """LMTP within bounds."""


class Listener:
    """`async with Listener(...) as listener:` mail comes in at `listener.address`."""

    def __init__(self, archive: Archive, config: InboundConfig, stored: Callable[[], None]) -> None:
        self._config = config
        self._intake = Intake(archive, config, stored)
        self._gate = Gate(config)
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Listener:
        door = _LmtpDoor if self._config.protocol == "lmtp" else _Bounded
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: door(self._intake, self._gate, self._config, loop=loop),
            self._config.host,
            self._config.port,
        )
        return self

    async def __aexit__(self, *_error: object) -> None:
        assert self._server is not None
        self._server.close()
        for session in tuple(self._gate.open):
            if session.transport is not None:
                session.transport.close()

    @property
    def address(self) -> str:
        assert self._server is not None
        host, port = self._server.sockets[0].getsockname()[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
