"""`python -m postwerk keys`: API keys, made and ended where the archive is; no API need run.

A new key goes to stdout alone, so that it can be piped: `postwerk keys create shop --scope send > shop.key`.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Literal

from postwerk.archive import api_keys, key_orders
from postwerk.archive.api_keys import ApiKey
from postwerk.archive.audit import Actor
from postwerk.archive.engine import Archive
from postwerk.archive.key_orders import KeyWish, NewKey
from postwerk.archive.migrate import check_schema
from postwerk.archive.quotas import quota_left
from postwerk.cli.client.options import login
from postwerk.cli.client.output import print_json, print_json_line, print_lines
from postwerk.cli.client.tables import columns, facts, table
from postwerk.cli.client.terminal import by_state, room, safe, say
from postwerk.errors import InvalidRequest
from postwerk.rules.api_keys import read_domains, read_end, read_grace, read_name, read_quota, read_scopes
from postwerk.settings import load_settings

_PAGE = 1000
_HEADS = columns("prefix", "~name", "state", "scopes", "~domains", "quota", "expires", "last used")


def run(given: argparse.Namespace) -> int:
    """Do what the verb says. Raises PostwerkError: nothing was done."""
    archive = Archive(load_settings().archive_config("full"))
    verbs: dict[str, Callable[[Archive, argparse.Namespace], Awaitable[None]]] = {
        "create": _create,
        "list": _list,
        "show": _show,
        "rotate": _rotate,
        "revoke": _revoke,
        "edit": _edit,
    }
    asyncio.run(_done(archive, verbs[given.verb], given))
    return 0


async def _done(
    archive: Archive,
    verb: Callable[[Archive, argparse.Namespace], Awaitable[None]],
    given: argparse.Namespace,
) -> None:
    try:
        await check_schema(archive)
        await verb(archive, given)
    finally:
        await archive.close()


async def _create(archive: Archive, given: argparse.Namespace) -> None:
    now = _now()
    wish = KeyWish(
        name=read_name(given.name),
        scopes=read_scopes(given.scope),
        domains=read_domains(given.domain),
        quota=read_quota(given.quota),
        expires_at=read_end(given.expires, now),
    )
    async with archive.writing() as connection:
        made = await key_orders.create_key(connection, wish, _actor(given), now)
    _show_once(made)


async def _list(archive: Archive, given: argparse.Namespace) -> None:
    now, after, found = _now(), None, list[ApiKey]()
    async with archive.reading() as connection:
        while page := await api_keys.api_keys(connection, limit=_PAGE, after=after):
            found += page
            after = page[-1].id
    wanted = [key for key in found if given.all or key.state(now) == "active"]
    if given.json:
        for key in wanted:
            print_json_line(_document(key, now))
        return
    lines = table(_HEADS, [_row(key, now) for key in wanted], room())
    print(lines[0])
    for key, line in zip(wanted, lines[1:], strict=True):
        print(by_state(line, {"active": "", "expired": "expired", "revoked": "failed"}[key.state(now)]))


async def _show(archive: Archive, given: argparse.Namespace) -> None:
    now = _now()
    async with archive.reading() as connection:
        key = await api_keys.key_called(connection, given.key, now)
        left = await quota_left(connection, key.owner, key.quota, now) if key.quota else None
    _tell(given, key, now, left)


async def _rotate(archive: Archive, given: argparse.Namespace) -> None:
    now, grace = _now(), read_grace(given.grace)
    expires_at: datetime | Literal["as_before"] | None = "as_before"
    if given.expires is not None:
        expires_at = read_end(None if given.expires == "never" else given.expires, now)
    async with archive.writing() as connection:
        old = await api_keys.key_called(connection, given.key, now)
        made = await key_orders.rotate_key(
            connection, old, grace=grace, expires_at=expires_at, actor=_actor(given), now=now
        )
    say(f"{safe(old.prefix)} ends {_until(min(filter(None, (old.expires_at, now + grace))))}.")
    _show_once(made)


async def _revoke(archive: Archive, given: argparse.Namespace) -> None:
    now = _now()
    async with archive.writing() as connection:
        key = await api_keys.key_called(connection, given.key, now)
        key = await key_orders.revoke_key(connection, key, _actor(given), now)
    _tell(given, key, now)


async def _edit(archive: Archive, given: argparse.Namespace) -> None:
    now, changes = _now(), _changes(given)
    if not changes:
        raise InvalidRequest("Say what is to be another: --name, --domain, --quota or --expires.")
    async with archive.writing() as connection:
        key = await api_keys.key_called(connection, given.key, now)
        key = await key_orders.edit_key(connection, key, changes, _actor(given), now)
    _tell(given, key, now)


def _changes(given: argparse.Namespace) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    if given.name is not None:
        changes["name"] = read_name(given.name)
    if given.domain is not None:
        changes["domains"] = read_domains(None if given.domain == ["any"] else given.domain)
    if given.quota is not None:
        changes["quota"] = read_quota("" if given.quota == "any" else given.quota)
    if given.expires is not None:
        changes["expires_at"] = read_end(None if given.expires == "never" else given.expires, _now())
    return changes


def _show_once(made: NewKey) -> None:
    say(f"{safe(made.key.name)}: {' '.join(made.key.scopes)}. The key is shown this once:")
    sys.stderr.flush()
    print(made.text, flush=True)


def _tell(given: argparse.Namespace, key: ApiKey, now: datetime, left: int | None = None) -> None:
    if given.json:
        print_json(_document(key, now, left))
        return
    pairs = [(name.replace("_", " "), value) for name, value in _document(key, now, left).items()]
    print_lines(
        facts((name, ", ".join(value) if isinstance(value, list) else value) for name, value in pairs)
    )


def _document(key: ApiKey, now: datetime, left: int | None = None) -> dict[str, Any]:
    """As the API shows it."""
    return {
        "id": key.id,
        "name": key.name,
        "prefix": key.prefix,
        "state": key.state(now),
        "scopes": [scope.value for scope in key.scopes],
        "domains": None if key.domains is None else list(key.domains),
        "quota": key.quota or None,
        "quota_left": left,
        "owner": key.owner,
        "rotates": key.rotates or None,
        "created_at": _iso(key.created_at),
        "created_by": key.created_by,
        "expires_at": _iso(key.expires_at),
        "revoked_at": _iso(key.revoked_at),
        "last_used_at": _iso(key.last_used_at),
    }


def _row(key: ApiKey, now: datetime) -> list[object]:
    domains = "any" if key.domains is None else " ".join(key.domains)
    return [
        key.prefix,
        key.name,
        key.state(now),
        ",".join(key.scopes),
        domains,
        key.quota or "any",
        "never" if key.expires_at is None else _until(key.expires_at),
        None if key.last_used_at is None else _until(key.last_used_at),
    ]


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _until(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M")


def _actor(given: argparse.Namespace) -> Actor:
    return Actor(by=given.by or login(), via="cli")


def _now() -> datetime:
    return datetime.now(UTC)
