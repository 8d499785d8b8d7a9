"""Making, rotating, changing and revoking API keys: each with its entry in the audit trail."""

from __future__ import annotations

import secrets
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy.ext.asyncio import AsyncConnection

from postwerk.archive.api_keys import ApiKey, change_key, check_name_is_free, has_successor, store_key
from postwerk.archive.audit import Actor, write_audit
from postwerk.archive.ids import new_id
from postwerk.contracts.keys import Scope
from postwerk.errors import Conflict
from postwerk.rules.key_text import PREFIX_OCTETS, SECRET_OCTETS, digest_of, new_key, prefix_of

CHANGEABLE = ("name", "domains", "quota", "expires_at")


@dataclass(frozen=True, slots=True)
class KeyWish:
    """A key that is asked for; every field is checked (rules/api_keys.py)."""

    name: str
    scopes: tuple[Scope, ...]
    domains: tuple[str, ...] | None = None
    quota: str = ""
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was just made. `text` is the key itself: shown now, and never again."""

    key: ApiKey
    text: str = field(repr=False)


async def create_key(connection: AsyncConnection, wish: KeyWish, actor: Actor, now: datetime) -> NewKey:
    """Make a key. Raises Conflict when its name is taken."""
    key_id = new_id("key")
    made = await _stored(connection, wish, key_id, owner=key_id, rotates="", actor=actor, now=now)
    await _tell(connection, actor, "key.create", made.key, now, _shown(asdict(wish)))
    return made


async def rotate_key(
    connection: AsyncConnection,
    old: ApiKey,
    *,
    grace: timedelta,
    expires_at: datetime | Literal["as_before"] | None,
    actor: Actor,
    now: datetime,
) -> NewKey:
    """A new key with the rights and the sends of the old one, which ends after `grace`.

    "as_before": it lives as long as the old one was to live. Raises Conflict for a key that has ended or that
    has a successor.
    """
    if old.state(now) != "active":
        raise Conflict(f"This API key is {old.state(now)}; make a new one.")
    if await has_successor(connection, old.id, now):
        raise Conflict("This API key was rotated already; rotate the one that replaces it.")
    if expires_at == "as_before":
        expires_at = None if old.expires_at is None else now + (old.expires_at - old.created_at)
    wish = KeyWish(old.name, old.scopes, old.domains, old.quota, expires_at)
    made = await _stored(
        connection, wish, new_id("key"), owner=old.owner, rotates=old.id, actor=actor, now=now
    )
    ends = now + grace
    if old.expires_at is None or ends < old.expires_at:
        await change_key(connection, old.id, {"expires_at": ends})
    await _tell(
        connection, actor, "key.rotate", old, now, {"successor": made.key.id, "ends": ends.isoformat()}
    )
    return made


async def edit_key(
    connection: AsyncConnection, key: ApiKey, changes: dict[str, Any], actor: Actor, now: datetime
) -> ApiKey:
    """Change some of CHANGEABLE. Raises Conflict for a revoked key or a name that is taken."""
    assert changes.keys() <= set(CHANGEABLE)
    if key.state(now) == "revoked":
        raise Conflict("This API key is revoked; make a new one.")
    if "name" in changes:
        await check_name_is_free(connection, changes["name"], key.owner, now)
    if changes:
        await change_key(connection, key.id, changes)
        await _tell(connection, actor, "key.change", key, now, _shown(changes))
    return replace(key, **changes)


async def revoke_key(connection: AsyncConnection, key: ApiKey, actor: Actor, now: datetime) -> ApiKey:
    """No call with it is answered from this commit on. One that is revoked stays as it is."""
    if key.revoked_at is not None:
        return key
    await change_key(connection, key.id, {"revoked_at": now})
    await _tell(connection, actor, "key.revoke", key, now)
    return replace(key, revoked_at=now)


async def _stored(
    connection: AsyncConnection,
    wish: KeyWish,
    key_id: str,
    *,
    owner: str,
    rotates: str,
    actor: Actor,
    now: datetime,
) -> NewKey:
    text = new_key(secrets.token_bytes(PREFIX_OCTETS), secrets.token_bytes(SECRET_OCTETS))
    key = ApiKey(
        id=key_id,
        name=wish.name,
        prefix=prefix_of(text) or "",
        scopes=wish.scopes,
        domains=wish.domains,
        quota=wish.quota,
        rotates=rotates,
        owner=owner,
        created_at=now,
        created_by=actor.by,
        expires_at=wish.expires_at,
    )
    await store_key(connection, key, digest_of(text), now)
    return NewKey(key, text)


async def _tell(
    connection: AsyncConnection,
    actor: Actor,
    action: str,
    key: ApiKey,
    now: datetime,
    details: dict[str, Any] | None = None,
) -> None:
    """The entry names the key by its id; never its text."""
    told = {"name": key.name} | (details or {})
    await write_audit(connection, actor, action, at=now, target=key.id, details=told)


def _shown(values: dict[str, Any]) -> dict[str, Any]:
    """As JSON has it; times as texts."""
    return {
        name: value.isoformat() if isinstance(value, datetime) else value for name, value in values.items()
    }
