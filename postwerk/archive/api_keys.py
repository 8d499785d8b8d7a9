"""API keys as they are stored: by prefix, by name, by whose they are. The key itself is stored nowhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal, NamedTuple

from sqlalchemy import Select, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import SQLModel

from postwerk.archive.sender_tables import ApiKeyRow
from postwerk.contracts.keys import Scope
from postwerk.errors import Conflict, NotFound
from postwerk.rules.api_keys import rights_of

_KEY = SQLModel.metadata.tables[ApiKeyRow.__tablename__].c
USE_NOTED_EVERY = timedelta(minutes=1)
"""`last_used_at` is written no oftener: a call costs no commit."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as it stands."""

    id: str
    name: str
    prefix: str
    scopes: tuple[Scope, ...]
    domains: tuple[str, ...] | None
    quota: str
    rotates: str
    owner: str
    created_at: datetime
    created_by: str
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None

    def state(self, now: datetime) -> Literal["active", "expired", "revoked"]:
        if self.revoked_at is not None and self.revoked_at <= now:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= now else "active"

    @property
    def rights(self) -> frozenset[Scope]:
        return rights_of(self.scopes)


@dataclass(frozen=True, slots=True)
class KeyOnFile:
    """A key and what its text is compared with."""

    key: ApiKey
    digest: str = field(repr=False)


class OwnerRights(NamedTuple):
    """What an owner may send: the rights of its newest key."""

    domains: tuple[str, ...] | None
    quota: str


_COLUMNS = tuple(_KEY[name] for name in ApiKey.__slots__)


async def is_any_key(connection: AsyncConnection) -> bool:
    """Whether a key was ever made; revoked ones count, they do not open the door again."""
    return (await connection.execute(select(_KEY.id).limit(1))).first() is not None


async def key_on_file(connection: AsyncConnection, prefix: str) -> KeyOnFile | None:
    """The key with this prefix, in whatever state it is."""
    query = select(*_COLUMNS, _KEY.digest).where(_KEY.prefix == prefix)
    row = (await connection.execute(query)).one_or_none()
    if row is None:
        return None
    values = dict(row._mapping)
    digest = values.pop("digest")
    return KeyOnFile(_api_key(values), digest)


async def api_key(connection: AsyncConnection, key_id: str) -> ApiKey:
    """Raises NotFound."""
    row = (await connection.execute(_select().where(_KEY.id == key_id))).one_or_none()
    if row is None:
        raise NotFound("There is no API key with this id.")
    return _api_key(dict(row._mapping))


async def key_called(connection: AsyncConnection, text: str, now: datetime) -> ApiKey:
    """The key by its id, its prefix or its name. Raises NotFound, Conflict when a name means several."""
    query = _select().where(or_(_KEY.id == text, _KEY.prefix == text, _KEY.name == text))
    found = [_api_key(dict(row._mapping)) for row in await connection.execute(query)]
    active = [key for key in found if key.state(now) == "active"]
    if len(active) > 1 or (not active and len(found) > 1):
        raise Conflict(
            f"There are several API keys of this name; say which by its id: {_ids(active or found)}."
        )
    if not found:
        raise NotFound("There is no API key with this id, prefix or name.")
    return (active or found)[0]


def _ids(keys: Sequence[ApiKey]) -> str:
    return ", ".join(key.id for key in keys)


async def api_keys(
    connection: AsyncConnection, *, limit: int = 100, after: str | None = None
) -> list[ApiKey]:
    """The newest first, ended ones too; `after` is the id of the last one seen."""
    query = _select().order_by(_KEY.id.desc()).limit(limit)
    if after is not None:
        query = query.where(_KEY.id < after)
    return [_api_key(dict(row._mapping)) for row in await connection.execute(query)]


async def store_key(connection: AsyncConnection, key: ApiKey, digest: str, now: datetime) -> None:
    """Raises Conflict when another owner's active key has this name."""
    await check_name_is_free(connection, key.name, key.owner, now)
    values = {name: getattr(key, name) for name in ApiKey.__slots__}
    await connection.execute(insert(ApiKeyRow).values(**values, digest=digest))


async def check_name_is_free(connection: AsyncConnection, name: str, owner: str, now: datetime) -> None:
    """A name signs what is done: two keys of one name are one key and its successor. Raises Conflict."""
    rows = await connection.execute(_select().where(_KEY.name == name, _KEY.owner != owner))
    if any(_api_key(dict(row._mapping)).state(now) == "active" for row in rows):
        raise Conflict("There is an API key of this name already.")


async def has_successor(connection: AsyncConnection, key_id: str, now: datetime) -> bool:
    """Whether a key that is to replace this one may be used."""
    rows = await connection.execute(_select().where(_KEY.rotates == key_id))
    return any(_api_key(dict(row._mapping)).state(now) == "active" for row in rows)


async def has_active_key(connection: AsyncConnection, owner: str, now: datetime) -> bool:
    """Whether an owner has any key that may be used."""
    rows = await connection.execute(_select().where(_KEY.owner == owner))
    return any(_api_key(dict(row._mapping)).state(now) == "active" for row in rows)


async def change_key(connection: AsyncConnection, key_id: str, values: dict[str, Any]) -> None:
    """Set some columns of one key."""
    await connection.execute(update(ApiKeyRow).where(_KEY.id == key_id).values(**values))


async def note_use(connection: AsyncConnection, key_id: str, now: datetime) -> None:
    """It was used; written no oftener than every USE_NOTED_EVERY, by whichever process is first."""
    await connection.execute(
        update(ApiKeyRow)
        .where(
            _KEY.id == key_id,
            or_(_KEY.last_used_at.is_(None), _KEY.last_used_at <= now - USE_NOTED_EVERY),
        )
        .values(last_used_at=now)
    )


async def rights_of_owner(
    connection: AsyncConnection, owner: str, *, locked: bool = False
) -> OwnerRights | None:
    """What this owner may send; None for one without a key. `locked`: nobody else asks until the commit."""
    if locked:
        await connection.execute(select(_KEY.id).where(_KEY.id == owner).with_for_update())
    query = select(_KEY.domains, _KEY.quota).where(_KEY.owner == owner).order_by(_KEY.id.desc()).limit(1)
    row = (await connection.execute(query)).one_or_none()
    return None if row is None else OwnerRights(_tuple(row.domains), row.quota)


def _select() -> Select[Any]:
    return select(*_COLUMNS)


def _api_key(values: dict[str, Any]) -> ApiKey:
    return ApiKey(
        **values
        | {
            "scopes": tuple(Scope(one) for one in values["scopes"]),
            "domains": _tuple(values["domains"]),
        }
    )


def _tuple(values: list[str] | None) -> tuple[str, ...] | None:
    return None if values is None else tuple(values)
