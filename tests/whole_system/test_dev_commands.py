"""The commands that end at once, and what `dev` decides before it starts anything."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from postwerk.dev.demo import Rate
from postwerk.dev.demo_mail import demo_recipients
from postwerk.dev.house import Wishes, plan_house, temporal_program
from postwerk.dev.ports import Ports
from postwerk.dev.process import ROOT
from postwerk.errors import ConfigurationError


def run(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "postwerk", *arguments],
        cwd=ROOT,
        env=dict(os.environ) | settings,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_help_imports_nothing_heavy() -> None:
    look = (
        "import sys; from postwerk.cli.main import build_parser; build_parser().format_help(); "
        "print(sorted({'pydantic', 'sqlalchemy', 'httpx2', 'rich', 'asyncio'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", look], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_migrate_says_what_was_reached_and_is_safe_to_repeat(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path / 'archive.db'}"
    first, second = (run("migrate", POSTWERK_DATABASE_URL=url) for _ in range(2))
    assert first.returncode == second.returncode == 0
    assert first.stdout == second.stdout
    assert f"The archive {url} is at revision 0" in first.stdout


@pytest.mark.parametrize(
    ("command", "name", "value"),
    [
        ("migrate", "POSTWERK_DATABASE_URL", "mysql://user:secret@db/x"),
        ("migrate", "POSTWERK_DATABASE_URL", "postgresql+asyncpg://user:secret@127.0.0.1:1/x"),
        ("check-settings", "POSTWERK_DATABASE_URL", "not a url, secret"),
        ("check-settings", "POSTWERK_RELAY_URL", "http://user:secret@mail.example.com"),
        ("check-settings", "POSTWERK_CONNECTIONS_PER_LANE", "0"),
        ("check-settings", "POSTWERK_RETRY_FACTOR", "-1"),
        ("dev", "POSTWERK_RELAY_URL", "http://user:secret@mail.example.com"),
        ("dev", "POSTWERK_DATABASE_URL", "mysql://user:secret@db/x"),
    ],
)
def test_a_wrong_setting_is_one_line_that_names_it(command: str, name: str, value: str) -> None:
    done = run(command, **{name: value})
    assert done.returncode == 2
    assert done.stderr.startswith(f"postwerk {command}: ")
    assert done.stderr.count("\n") == 1
    assert name in done.stderr
    assert "secret" not in done.stderr + done.stdout


def test_check_settings_hides_secrets_and_finds_misspelt_names() -> None:
    done = run(
        "check-settings",
        POSTWERK_RELAY_URL="smtps://me:pass@word@mail.example.com:465",
        POSTWERK_RELAI_URL="smtp://x",
        TEMPORAL_API_KEY="a-secret",
    )
    assert done.returncode == 0
    assert "POSTWERK_RELAY_URL=smtps://me:***@mail.example.com:465" in done.stdout
    assert "POSTWERK_TASK_QUEUE=postwerk   (default)" in done.stdout
    assert "a-secret" not in done.stdout
    assert "POSTWERK_RELAI_URL is no setting" in done.stderr


def test_an_unknown_command_is_refused() -> None:
    done = run("devel")
    assert done.returncode == 2
    assert "invalid choice" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_taken_port_is_replaced_by_a_free_one_and_none_is_given_twice() -> None:
    with socket.create_server(("127.0.0.1", 0)) as door:
        usual = int(door.getsockname()[1])
        ports = Ports()
        other = ports.take(usual)
    assert other != usual
    assert ports.moved == {usual: other}
    assert ports.take(other) != other


def test_everything_is_started_when_nothing_is_there(tmp_path: Path) -> None:
    planned = plan_house(Wishes(data=tmp_path), Ports(usual=False))
    assert [part.name for part in planned.parts] == ["temporal", "sandbox", "api", "worker", "inbound"]
    assert planned.environment["POSTWERK_RELAY_URL"] == planned.relay_url
    assert planned.environment["POSTWERK_DATABASE_URL"] == f"sqlite+aiosqlite:///{tmp_path}/postwerk.db"


def test_what_the_user_has_already_is_not_started(tmp_path: Path) -> None:
    wishes = Wishes(
        data=tmp_path,
        relay_url="smtp://mail.example.com",
        database_url="postgresql+asyncpg://db/x",
        temporal_address="temporal.example.com:7233",
    )
    planned = plan_house(wishes, Ports(usual=False))
    assert [part.name for part in planned.parts] == ["api", "worker"]
    assert planned.environment["TEMPORAL_ADDRESS"] == "temporal.example.com:7233"
    assert planned.environment["POSTWERK_DATABASE_URL"] == "postgresql+asyncpg://db/x"
    assert planned.sandbox_url == ""


@pytest.mark.parametrize(
    ("wished", "settings", "listens"),
    [("bounce.example.com", {}, True), ("", {"POSTWERK_BOUNCE_DOMAIN": "bounce.example.com"}, False)],
)
def test_a_bounce_domain_stays_as_it_is_named_beside_the_users_own_relay(
    tmp_path: Path, wished: str, settings: dict[str, str], listens: bool
) -> None:
    wishes = Wishes(
        data=tmp_path, relay_url="smtp://mail.example.com", bounce_domain=wished, settings=settings
    )
    planned = plan_house(wishes, Ports(usual=False))
    assert planned.environment["POSTWERK_BOUNCE_DOMAIN"] == "bounce.example.com"
    assert (planned.part("inbound") is not None) is listens


def test_other_temporal_settings_do_not_reach_the_server_started_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEMPORAL_API_KEY", "of the cloud")
    planned = plan_house(Wishes(data=tmp_path), Ports(usual=False))
    assert "TEMPORAL_API_KEY" not in planned.environment


def test_without_a_temporal_program_the_way_to_one_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(ConfigurationError, match="dev-server"):
        temporal_program()


def test_the_demo_writes_to_reserved_domains_only() -> None:
    recipients = demo_recipients(1000, seed=7)
    assert len({one["to"] for one in recipients}) == 1000
    assert all(one["to"].endswith((".example", "@example.org")) for one in recipients)
    assert sum(one["to"].startswith("bounce+") for one in recipients) == 25


def test_the_rate_is_that_of_the_last_seconds() -> None:
    rate = Rate()
    assert [rate.add(second, 100 * second) for second in (0, 1, 2)] == [0, 100, 100]
    assert rate.add(10, 200) == 0
