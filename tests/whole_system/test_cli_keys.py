"""`postwerk keys` works on the archive itself; the other commands send a key and say what is amiss."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from postwerk.archive.audit import AuditEntry, audit_entries
from postwerk.archive.engine import Archive, ArchiveConfig
from postwerk.archive.migrate import migrate
from postwerk.rules.key_text import KEY_PATTERN
from tests.support.cli import Cli, Desk, an_operators_desk


@pytest.fixture
def keys(tmp_path: Path) -> Cli:
    """The command line beside an archive; no API runs."""
    asyncio.run(_migrated(tmp_path))
    return Cli("http://127.0.0.1:1", tmp_path)


def _url(folder: Path) -> str:
    return f"sqlite+aiosqlite:///{folder}/archive.db"


async def _migrated(folder: Path) -> None:
    archive = Archive(ArchiveConfig(_url(folder)))
    await migrate(archive)
    await archive.close()


def _run(cli: Cli, *arguments: str, code: int = 0) -> tuple[str, str]:
    done = cli("keys", *arguments, code=code, POSTWERK_DATABASE_URL=_url(cli.folder))
    return done.stdout, done.stderr


def _json(cli: Cli, *arguments: str) -> dict[str, object]:
    return dict(json.loads(_run(cli, *arguments, "--json")[0]))


def test_a_new_key_goes_to_stdout_alone(keys: Cli) -> None:
    arguments = ["--scope", "send", "--scope", "read", "--domain", "shop.example", "--quota", "10000/d"]
    out, said = _run(keys, "create", "shop", *arguments, "--expires", "90d")
    shown = _json(keys, "show", "shop")

    assert re.fullmatch(KEY_PATTERN + "\n", out)
    assert out[14:].strip() not in said
    assert out.startswith(str(shown["prefix"]))
    assert {name: shown[name] for name in ("scopes", "domains", "quota", "quota_left", "state")} == {
        "scopes": ["send", "read"],
        "domains": ["shop.example"],
        "quota": "10000/d",
        "quota_left": 10_000,
        "state": "active",
    }


def test_a_key_is_listed_rotated_changed_and_revoked(keys: Cli) -> None:
    first = _run(keys, "create", "shop", "--scope", "send")[0].strip()
    second, said = _run(keys, "rotate", "shop", "--grace", "1h")
    assert first[:13] in said
    assert _run(keys, "revoke", "shop", code=2)[1].startswith("postwerk keys: There are several")
    assert _json(keys, "revoke", first[:13])["state"] == "revoked"

    changed = _json(keys, "edit", "shop", "--domain", ".shop.example", "--quota", "5/h", "--name", "store")
    assert [changed[name] for name in ("prefix", "name", "domains", "quota")] == [
        *(second[:13], "store", [".shop.example"], "5/h")
    ]
    freed = _json(keys, "edit", "store", "--domain", "any", "--quota", "any", "--expires", "never")
    assert [freed[name] for name in ("domains", "quota", "expires_at")] == [None, None, None]

    listed, everything = _run(keys, "list")[0], _run(keys, "list", "--all")[0]
    assert second[:13] in listed
    assert first[:13] not in listed
    assert first[:13] in everything
    assert second.strip() not in everything


def test_what_is_done_stands_in_the_audit_trail_without_the_key(keys: Cli) -> None:
    key = _run(keys, "create", "ops", "--scope", "admin", "--by", "ada")[0].strip()
    _run(keys, "revoke", "ops", "--by", "zoe")

    entries = asyncio.run(_audit(keys.folder))

    assert [(one.action, one.by, one.via) for one in entries] == [
        ("key.revoke", "zoe", "cli"),
        ("key.create", "ada", "cli"),
    ]
    assert key[14:] not in str(entries)


async def _audit(folder: Path) -> list[AuditEntry]:
    archive = Archive(ArchiveConfig(_url(folder)))
    try:
        async with archive.reading() as connection:
            return await audit_entries(connection)
    finally:
        await archive.close()


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["create", "a (b)", "--scope", "send"], "A name"),
        (["create", "x", "--scope", "send", "--quota", "5/s"], "quota"),
        (["create", "x", "--scope", "send", "--domain", "-"], "domain"),
        (["create", "x", "--scope", "root"], "root"),
        (["show", "nobody"], "There is no API key"),
        (["edit", "nobody"], "Say what"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(keys: Cli, arguments: list[str], word: str) -> None:
    out, said = _run(keys, *arguments, code=2)
    assert out == ""
    assert word in said.splitlines()[-1]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with an_operators_desk(tmp_path) as desk:
        yield desk


def test_commands_send_the_key_and_say_what_is_missing(desk: Desk) -> None:
    ops = _run(desk.cli, "create", "ops", "--scope", "operate")[0].strip()
    shop = _run(desk.cli, "create", "shop", "--scope", "send")[0].strip()
    file = desk.file("ops.key", f"{ops}\n")

    assert desk.cli("queue", "list", "--api-key-file", file).returncode == 0
    assert desk.cli("queue", "list", POSTWERK_API_KEY_FILE=file).returncode == 0
    assert desk.cli("--api-key-file", file, "queue", "list", POSTWERK_API_KEY=shop).returncode == 0
    lacking = desk.cli("queue", "list", code=4, POSTWERK_API_KEY=shop)
    wrong = desk.cli("queue", "list", code=4, POSTWERK_API_KEY=shop[:-1] + "?")
    refused = desk.cli("lanes", "set", "gmail.com", "--rate", "1/s", "--reason", "x", "--api-key-file", file)
    assert refused.returncode == 0

    assert lacking.stderr.splitlines() == ["postwerk queue: This API key lacks the scope read."]
    (line,) = wrong.stderr.splitlines()
    assert "is not taken" in line
    assert shop not in line
    missing = desk.cli("queue", "list", "--api-key-file", "no.key", code=2)
    assert "no.key" in missing.stderr


def test_without_a_key_it_says_where_one_is_put(desk: Desk) -> None:
    _run(desk.cli, "create", "ops", "--scope", "operate")
    deadline = time.monotonic() + 1.5
    while desk.api.http.get("/v1/version").status_code == 200:
        assert time.monotonic() < deadline
    done = desk.cli("queue", "list", code=4)

    (line,) = done.stderr.splitlines()
    assert "POSTWERK_API_KEY" in line
    assert "--api-key-file" in line
