"""One POST to a receiver that may be anybody: bounded in time and octets, to a checked address.

By httpx2's own core, below its client: nothing there follows a redirection, keeps a cookie, unpacks a body,
or looks for a proxy in the environment.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpcore2
import httpx2

from postwerk.errors import InvalidRequest
from postwerk.rules.webhook_targets import read_target
from postwerk.webhooks.addresses import (
    NotPublic,
    Resolve,
    ResolverAway,
    Unresolved,
    by_system,
    checked_addresses,
)

SECONDS = 15.0
"""For a whole request: connecting, sending it, and reading the answer."""
_SECONDS_AN_ADDRESS = 5.0
_SHARE_OF_BODY = 0.2
"""Of the time, for the answer's body; it is only shown, so who takes longer has answered all the same."""
MOST_OCTETS = 64 * 1024
"""Of an answer's body; what comes behind is not read."""
_SHOWN_CHARACTERS = 500
_KEPT_SECONDS = 15.0
_MOST_CONNECTIONS = 500


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a request."""

    status: int | None = None
    """None: there was no answer."""
    detail: str = ""
    """The beginning of the answer's body, made printable; or why there was none."""
    trouble: str = ""
    """When there was no answer: timeout, no_connection, tls, not_public, unresolved,
    broken_off or not_allowed."""
    retry_after: str | None = None
    """The header, as it came."""
    milliseconds: int = 0
    at: float = field(default_factory=time.time)


class Wire:
    """Keeps connections to receivers. `private`: may call this installation's own networks."""

    def __init__(
        self,
        *,
        private: bool = False,
        resolve: Resolve = by_system,
        trust: ssl.SSLContext | None = None,
        seconds: float = SECONDS,
    ) -> None:
        self.resolve = resolve
        self.private = private
        self._seconds = seconds
        self._trust = trust
        self._pool: httpcore2.AsyncConnectionPool | None = None

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Never raises: whatever goes wrong at the other end is an answer too."""
        began = time.monotonic()
        answer = await self._tried(url, body, headers)
        return Answer(
            answer.status,
            answer.detail,
            answer.trouble,
            answer.retry_after,
            round((time.monotonic() - began) * 1000),
        )

    async def _tried(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        try:
            url = read_target(
                url, private=self.private
            ).url  # the settings may be others than when it was made
            async with asyncio.timeout(self._seconds):
                return await self._asked(url, body, headers)
        except (TimeoutError, httpcore2.TimeoutException):
            return Answer(trouble="timeout", detail=f"No answer within {self._seconds:g} seconds.")
        except InvalidRequest as error:
            return Answer(trouble="not_allowed", detail=error.message)
        except (NotPublic, Unresolved, ResolverAway) as error:
            return Answer(trouble=_WORDS[type(error)], detail=error.message)
        except httpcore2.ConnectError as error:
            return _not_connected(error)
        except (httpcore2.NetworkError, httpcore2.ProtocolError, OSError) as error:
            return Answer(trouble="broken_off", detail=f"The connection broke off ({type(error).__name__}).")

    async def _asked(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        fields: list[tuple[bytes | str, bytes | str]] = [("Host", urlsplit(url).netloc), *headers.items()]
        async with self._opened().stream("POST", url, headers=fields, content=body) as response:
            shown = await _beginning(response, self._seconds * _SHARE_OF_BODY)
            asked = next((value for name, value in response.headers if name.lower() == b"retry-after"), None)
            return Answer(response.status, shown, retry_after=asked.decode("latin-1") if asked else None)

    def _opened(self) -> httpcore2.AsyncConnectionPool:
        if self._pool is None:
            self._pool = httpcore2.AsyncConnectionPool(
                ssl_context=self._trust or httpx2.create_ssl_context(trust_env=False),
                max_connections=_MOST_CONNECTIONS,
                max_keepalive_connections=_MOST_CONNECTIONS,
                keepalive_expiry=_KEPT_SECONDS,
                network_backend=_Checked(self),
            )
        return self._pool

    async def close(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            await pool.aclose()


class _Checked(httpcore2.AsyncNetworkBackend):
    """Connects to addresses that were checked, never to a name: nobody can answer something else in between.

    TLS is spoken with the name all the same, and so is the Host header: the pool knows only the name.
    """

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._network = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002  the whole request is timed
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        wire = self._wire
        addresses = await checked_addresses(host.strip("[]"), wire.resolve, private=wire.private)
        trouble: Exception | None = None
        for address in addresses:
            try:
                return await self._network.connect_tcp(
                    address, port, _SECONDS_AN_ADDRESS, local_address, socket_options
                )
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                trouble = error
        raise httpcore2.ConnectError("none of its addresses") from trouble

    async def connect_unix_socket(
        self,
        path: str,  # noqa: ARG002
        timeout: float | None = None,  # noqa: ARG002
        socket_options: Any = None,  # noqa: ARG002
    ) -> httpcore2.AsyncNetworkStream:
        raise NotPublic

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


_WORDS = {NotPublic: "not_public", Unresolved: "unresolved", ResolverAway: "unresolved"}


def _not_connected(error: httpcore2.ConnectError) -> Answer:
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLError):
        cause = cause.__cause__ or cause.__context__
    if isinstance(cause, ssl.SSLCertVerificationError):
        return Answer(trouble="tls", detail=f"Its certificate is not trusted: {cause.verify_message}.")
    if cause is not None:
        return Answer(trouble="tls", detail="TLS failed.")
    return Answer(trouble="no_connection", detail="It takes no connection.")


async def _beginning(response: httpcore2.Response, seconds: float) -> str:
    """The beginning of its body; an answer that never ends, or breaks off, is an answer by its status."""
    taken = b""
    try:
        async with asyncio.timeout(seconds):
            async for piece in response.aiter_stream():
                taken += piece
                if len(taken) >= MOST_OCTETS:
                    break
    except (TimeoutError, httpcore2.NetworkError, httpcore2.ProtocolError):
        taken += b" ..."
    text = taken[: _SHOWN_CHARACTERS * 4].decode("utf-8", "replace")
    return "".join(sign if sign.isprintable() else " " for sign in text)[:_SHOWN_CHARACTERS].strip()
