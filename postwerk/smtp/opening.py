"""Opens a conversation: connect, banner, EHLO, TLS, AUTH. A failure here is never about a recipient."""

from __future__ import annotations

import asyncio
import time
from typing import cast

import aiosmtplib

from postwerk.contracts.smtp import Exchange, Reply, Stage, Trouble
from postwerk.smtp.answers import Refused, insist, insist_on_step
from postwerk.smtp.conversation import Conversation
from postwerk.smtp.envelope import Offer
from postwerk.smtp.protocol import StrictProtocol
from postwerk.smtp.relay import RelayConfig, Security
from postwerk.smtp.trouble import WIRE_ERRORS, trouble_of


async def open_conversation(relay: RelayConfig) -> Conversation | Exchange:
    """A conversation that is ready for MAIL, or how far it came."""
    opening = _Opening(relay)
    try:
        async with asyncio.timeout(relay.limits.opening.total_seconds()):
            return await opening.run()
    except Refused as refused:
        return opening.ended(reply=refused.reply, trouble=refused.trouble, detail=refused.detail)
    except WIRE_ERRORS as error:
        trouble, detail = trouble_of(error, opening.stage)
        return opening.ended(trouble=trouble, detail=detail)
    finally:
        opening.leave()


class _Opening:
    """One attempt; knows its stage."""

    def __init__(self, relay: RelayConfig) -> None:
        self.stage = Stage.CONNECT
        self._relay = relay
        self._limits = relay.limits
        self._started = time.perf_counter()
        self._protocol = StrictProtocol()
        self._tls = ""
        self._done = False
        # aiosmtplib's client, on a connection of ours: its own connect() tells neither stage nor cause.
        self._client = aiosmtplib.SMTP(
            hostname=relay.host,
            port=relay.port,
            local_hostname=relay.ehlo_name,
            start_tls=False,
            timeout=relay.limits.ehlo.total_seconds(),
        )

    async def run(self) -> Conversation:
        await self._connect()
        if self._relay.security is Security.IMPLICIT:
            await self._upgrade()
        await self._banner()
        await self._ehlo()
        if self._relay.security is Security.STARTTLS:
            await self._starttls()
            await self._ehlo()
        if self._relay.username:
            await self._auth()
        insist_on_step(self._protocol)
        self._done = True
        return Conversation(self._relay, self._protocol, Offer.of(self._client.esmtp_extensions), self._tls)

    def ended(self, *, reply: Reply | None = None, trouble: Trouble | None, detail: str) -> Exchange:
        return Exchange(
            stage=self.stage,
            reply=reply,
            trouble=trouble,
            detail=detail,
            host=self._relay.host,
            tls=self._tls,
            milliseconds=int((time.perf_counter() - self._started) * 1000),
        )

    def leave(self) -> None:
        """Close what did not become a conversation, at once: close() would wait for the other side."""
        if not self._done:
            self._protocol.abort()

    async def _connect(self) -> None:
        async with asyncio.timeout(self._limits.connect.total_seconds()):
            await asyncio.get_running_loop().create_connection(
                lambda: self._protocol, self._relay.host, self._relay.port
            )
        self._client.protocol = self._protocol
        self._client.transport = self._protocol.transport

    async def _upgrade(self) -> None:
        """The TLS handshake, for both kinds of TLS."""
        self.stage = Stage.STARTTLS
        if self._protocol.fault is not None:
            raise self._protocol.fault
        limit = self._limits.tls.total_seconds()
        async with asyncio.timeout(limit):
            transport = await asyncio.get_running_loop().start_tls(
                cast(asyncio.WriteTransport, self._protocol.transport),
                self._protocol,
                self._relay.tls_context,
                server_hostname=self._relay.host,
                ssl_handshake_timeout=2 * limit,  # the loop's own limit would look like a lost connection
            )
        if transport is None:
            raise aiosmtplib.SMTPServerDisconnected("lost in the handshake")
        self._protocol.transport = self._client.transport = transport
        self._tls = transport.get_extra_info("ssl_object").version() or ""

    async def _banner(self) -> None:
        self.stage = Stage.BANNER
        banner = await self._protocol.read_response(self._limits.banner.total_seconds())
        insist(banner, _only(220))

    async def _ehlo(self) -> None:
        """No fall-back to HELO: without EHLO there is neither SIZE nor TLS nor AUTH to be had."""
        self.stage = Stage.EHLO
        insist_on_step(self._protocol)
        try:
            await self._client.ehlo(timeout=self._limits.ehlo.total_seconds())
        except aiosmtplib.SMTPResponseException as refusal:
            insist(aiosmtplib.SMTPResponse(refusal.code, refusal.message), _only(250))

    async def _starttls(self) -> None:
        """RFC 3207, driven here and not by aiosmtplib, so that what was injected after 220 is noticed."""
        self.stage = Stage.STARTTLS
        insist_on_step(self._protocol)
        if not self._client.supports_extension("starttls"):
            raise Refused(None, Trouble.TLS, "the server does not offer STARTTLS")
        answer = await self._protocol.execute_command(b"STARTTLS", timeout=self._limits.tls.total_seconds())
        insist(answer, _only(220))
        insist_on_step(self._protocol)
        await self._upgrade()

    async def _auth(self) -> None:
        """One mechanism, one attempt: three wrong passwords in a row may lock the account."""
        self.stage = Stage.AUTH
        insist_on_step(self._protocol)
        offered = self._client.supported_auth_methods
        if not {"plain", "login"} & set(offered):
            raise Refused(None, Trouble.LOCAL, "the server offers neither AUTH PLAIN nor AUTH LOGIN")
        log_in = self._client.auth_plain if "plain" in offered else self._client.auth_login
        try:
            await log_in(
                self._relay.username, self._relay.password, timeout=self._limits.auth.total_seconds()
            )
        except aiosmtplib.SMTPResponseException as refusal:
            insist(aiosmtplib.SMTPResponse(refusal.code, refusal.message), _only(235))


def _only(code: int) -> range:
    return range(code, code + 1)
