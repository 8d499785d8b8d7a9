"""API keys in tests: made where the archive is, and used by a client of their own."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
from starlette.types import ASGIApp, Receive, Scope, Send

from api.app import create_app
from postwerk.archive import key_orders
from postwerk.archive.audit import Actor
from postwerk.archive.engine import Archive
from postwerk.archive.key_orders import KeyWish, NewKey
from postwerk.contracts import keys
from postwerk.rules.key_text import PREFIX_OCTETS, SECRET_OCTETS, new_key, prefix_of
from tests.support.api import Door

ELSEWHERE = "192.0.2.7"


async def a_key(archive: Archive, *scopes: str, name: str = "", **wish: Any) -> NewKey:
    """A key that may be used, of any name unless told; `expires_at` may lie in the past."""
    now = datetime.now(UTC)
    made = KeyWish(
        name=name or f"key of {now.timestamp()}", scopes=tuple(keys.Scope(one) for one in scopes), **wish
    )
    async with archive.writing() as connection:
        return await key_orders.create_key(connection, made, Actor("tests"), now)


async def a_revoked_key(archive: Archive, *scopes: str) -> NewKey:
    made = await a_key(archive, *scopes)
    async with archive.writing() as connection:
        await key_orders.revoke_key(connection, made.key, Actor("tests"), datetime.now(UTC))
    return made


async def an_expired_key(archive: Archive, *scopes: str) -> NewKey:
    return await a_key(archive, *scopes, expires_at=datetime.now(UTC) - timedelta(seconds=1))


def a_key_never_made() -> str:
    """Its form is right, and no archive has it."""
    return new_key(secrets.token_bytes(PREFIX_OCTETS), secrets.token_bytes(SECRET_OCTETS))


def with_another_secret(made: NewKey) -> str:
    """A key of the same prefix, checksum and all, as only somebody who guesses has it."""
    alphabet = "0123456789abcdefghjkmnpqrstvwxyz"
    public = 0
    for letter in made.key.prefix.removeprefix("pw_"):
        public = public * 32 + alphabet.index(letter)
    text = new_key(public.to_bytes(PREFIX_OCTETS), secrets.token_bytes(SECRET_OCTETS))
    assert prefix_of(text) == made.key.prefix
    return text


def caller(door: Door, key: str = "", *, peer: str = ELSEWHERE, **headers: str) -> httpx2.AsyncClient:
    """A client that calls from elsewhere, with a key or without."""
    if key:
        headers["authorization"] = f"Bearer {key}"
    transport = httpx2.ASGITransport(create_app(door.parts), client=(peer, 5000))
    return httpx2.AsyncClient(transport=transport, base_url="http://mail.example", headers=headers)


def problem_of(answer: httpx2.Response, status: int, code: str) -> dict[str, Any]:
    """The problem document of an answer that must be one."""
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    return dict(answer.json())


class FromThisMachine:
    """An application as it is called from this machine itself, whatever client a test tool has."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = [(name, value) for name, value in scope["headers"] if name != b"host"]
            own = {"server": ("127.0.0.1", 80), "client": ("127.0.0.1", 50_000)}
            scope = {**scope, **own, "headers": [*headers, (b"host", b"127.0.0.1")]}
        await self._app(scope, receive, send)
