"""`Idempotency-Key`: a call that comes again is answered as it was at first, and makes nothing twice.

`once` carries out a call whose body is here, `once_streamed` one that still arrives. What they carry out gets
a `Claim`: the id under which to make what is asked for, and a word to say in each transaction that makes it.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from typing import Annotated

from fastapi import Depends, Header, Request, Response
from sqlalchemy.ext.asyncio import AsyncConnection

from api.claim import Claim
from api.dependencies import Parts, UseParts
from api.errors import InProgress, KeyReused, MalformedCall, answer_to
from api.who import owner_of
from postwerk.archive import idempotency
from postwerk.archive.idempotency import Name, Remembered
from postwerk.errors import PostwerkError
from postwerk.rules.idempotency import (
    Verdict,
    call_fingerprint,
    is_key,
    is_remembered,
    same_call,
)

HEADER = "Idempotency-Key"
_HASHED_AT_ONCE = 1024 * 1024
"""Octets: a millisecond or two; what is larger is hashed beside the others' calls."""


Make = Callable[[Claim], Awaitable[Response]]
MakeStreamed = Callable[[Claim, AsyncIterator[bytes]], Awaitable[Response]]


class Repeatable:
    """A call that may say by its header that it may come again."""

    def __init__(self, request: Request, parts: Parts, key: str | None, owner: str | None = None) -> None:
        """Whose key it is: the caller's own, unless an `owner` is named."""
        self._request = request
        self._parts = parts
        whose = owner_of(request) if owner is None else owner
        self._name = None if key is None else Name(whose, key)

    async def once(
        self, body: bytes, new_resource: Callable[[], str], make: Make, *, same_resource: bool = False
    ) -> Response:
        """Make it, or answer what was answered. Raises KeyReused, InProgress, and what `make` raises.

        After a crash `make` gets a new id, and what was begun under `claim.before` must not be valid without
        `claim.remember` in its last transaction; with `same_resource` it gets the old one, looks first
        whether it is there, and calls `claim.confirm` in the transaction that makes it.
        """
        if self._name is None:
            return await make(Claim(self._parts, new_resource()))
        fingerprint = self._call() + await _digest(body)
        found = await self._claimed(self._name, fingerprint, new_resource, same_resource)
        if isinstance(found, Remembered):
            return _again(found)
        return await self._carried_out(found, make)

    async def once_streamed(self, pieces: AsyncIterator[bytes], make: MakeStreamed) -> Response:
        """The same for a body that still arrives; `make` may go on from `claim.progress` after a crash.

        What is refused before the body was looked at is not remembered.
        """
        if self._name is None:
            return await make(Claim(self._parts, ""), pieces)
        call, body = self._call(), _HashedBody(pieces)
        found = await self._claimed(self._name, call, str, same_resource=True)
        if isinstance(found, Remembered):
            if not same_call(found.fingerprint, call + await body.digest()):
                raise KeyReused
            return _again(found)
        return await self._carried_out(found, lambda claim: make(claim, body.pieces()), body)

    def _call(self) -> str:
        url, kind = self._request.url, self._request.headers.get("content-type", "")
        return call_fingerprint(self._request.method, url.path, url.query, kind)

    async def _claimed(
        self, name: Name, fingerprint: str, new_resource: Callable[[], str], same_resource: bool
    ) -> Claim | Remembered:
        """The turn of this call, or what it was answered. Raises KeyReused, InProgress."""
        now = self._parts.now()
        async with self._parts.archive.reading() as connection:
            known = await idempotency.remembered(connection, name)
        decided = Verdict.TAKE_OVER if known is None else _decided(known, fingerprint, now)
        if known is not None and decided is Verdict.REPLAY:
            return known
        async with self._parts.archive.writing() as connection:
            if decided is Verdict.EXPIRED:
                await idempotency.forget(connection, name, now)
            claim = Claim(self._parts, new_resource(), name)
            first = (name, fingerprint, claim.resource, claim.holder, now)
            if await idempotency.claim(connection, *first):
                return claim
            return await self._taken_over(connection, name, fingerprint, claim, same_resource)

    async def _taken_over(
        self, connection: AsyncConnection, name: Name, fingerprint: str, claim: Claim, same_resource: bool
    ) -> Claim | Remembered:
        now = self._parts.now()
        known = await idempotency.remembered(connection, name)
        if known is None:
            raise InProgress
        if _decided(known, fingerprint, now) is not Verdict.TAKE_OVER:
            return known
        resource = known.resource if same_resource else claim.resource
        mine = Claim(self._parts, resource, name, before=known.resource, progress=known.answer)
        if not await idempotency.take_over(connection, name, known, resource, mine.holder, now):
            raise InProgress
        return mine

    async def _carried_out(self, claim: Claim, make: Make, body: _HashedBody | None = None) -> Response:
        async with claim.kept():
            try:
                response = await self._made(claim, make)
                await self._remembered(claim, response, body)
            except BaseException:
                if not claim.is_answered:
                    await asyncio.shield(claim.give_back())
                raise
        return response

    async def _made(self, claim: Claim, make: Make) -> Response:
        """What is wrong with the call is an answer as any other."""
        try:
            return await make(claim)
        except (InProgress, KeyReused):
            raise
        except PostwerkError as error:
            response = answer_to(self._request, error)
            if claim.is_answered or not is_remembered(response.status_code):
                raise
            return response

    async def _remembered(self, claim: Claim, response: Response, body: _HashedBody | None) -> None:
        if claim.is_answered:
            return
        if body is not None and (body.broke_off or not body.was_read):
            await claim.give_back()  # what cannot be compared is not remembered
            return
        fingerprint = None if body is None else self._call() + await body.digest()
        async with self._parts.archive.writing() as connection:
            await claim.remember(connection, response, fingerprint=fingerprint)


class _HashedBody:
    """A body that is hashed as it passes."""

    def __init__(self, pieces: AsyncIterator[bytes]) -> None:
        self._pieces = pieces
        self._hash = hashlib.sha256()
        self.was_read = False
        self.broke_off = False
        """It cannot be read to its end: too large, or no gzip any more."""

    async def pieces(self) -> AsyncIterator[bytes]:
        self.was_read = True
        try:
            async for piece in self._pieces:
                self._hash.update(piece)
                yield piece
        except Exception:
            self.broke_off = True
            raise

    async def digest(self) -> str:
        """Of the whole body: what nobody has read is read now."""
        async for _piece in self.pieces():
            pass
        return self._hash.hexdigest()


def _decided(known: Remembered, fingerprint: str, now: datetime) -> Verdict:
    """REPLAY, TAKE_OVER or EXPIRED. Raises KeyReused, InProgress."""
    found = known.verdict(fingerprint, now)
    if found is Verdict.REUSED:
        raise KeyReused
    if found is Verdict.IN_PROGRESS:
        raise InProgress
    return found


def _again(known: Remembered) -> Response:
    assert known.status is not None
    headers = {**(known.headers or {}), "Idempotency-Replayed": "true"}
    return Response(known.answer, known.status, headers)


async def _digest(body: bytes) -> str:
    if len(body) <= _HASHED_AT_ONCE:
        return hashlib.sha256(body).hexdigest()
    return (await asyncio.to_thread(hashlib.sha256, body)).hexdigest()


def _repeatable(
    request: Request,
    parts: UseParts,
    idempotency_key: Annotated[
        str | None,
        Header(description="1 to 255 visible ASCII characters; the same call with the same key is made once"),
    ] = None,
) -> Repeatable:
    """Raises MalformedCall for a header that is no key."""
    given = request.headers.getlist(HEADER)
    if len(given) > 1 or (idempotency_key is not None and not is_key(idempotency_key)):
        raise MalformedCall(
            f"{HEADER} takes one key of 1 to 255 visible ASCII characters.",
            pointer=HEADER,
            code="invalid_idempotency_key",
        )
    return Repeatable(request, parts, idempotency_key)


MayRepeat = Annotated[Repeatable, Depends(_repeatable)]
