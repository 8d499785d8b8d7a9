"""How the operator's commands behave, whatever they do: start at once, exit codes, one line, no harm."""

from __future__ import annotations

import argparse
import json
import os
import pty
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from postwerk.cli.main import COMMANDS, full_parser
from tests.support.api import a_bulk_send
from tests.support.cli import ROOT, Cli, Desk, an_operators_desk

HEAVY = (
    *("pydantic", "pydantic_settings", "postwerk.settings", "temporalio", "sqlalchemy", "sqlmodel", "httpx2"),
    *("rich", "asyncio", "yaml", "shtab", "fastapi", "msgspec", "orjson"),
)
OURS = [command.name for command in COMMANDS if command.of_operator]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with an_operators_desk(tmp_path) as desk:
        yield desk


@pytest.fixture
def alone(tmp_path: Path) -> Cli:
    """The command line, where no API listens."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    return Cli(f"http://127.0.0.1:{port}", tmp_path)


def heavy_after(cli: Cli, *arguments: str, **environment: str) -> str:
    """Which heavy modules a command has imported."""
    look = (
        "import sys; from postwerk.cli.main import run\n"
        f"try: assert run({list(arguments)!r}) == 0\n"
        "except SystemExit as end: assert not end.code\n"
        f"print('imported', sorted(set({HEAVY!r}) & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", look],
        cwd=ROOT,
        env=cli.environment(**environment),
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["queue", "--help"], ["queue", "list", "--help"], *([name, "-h"] for name in OURS)],
)
def test_help_imports_nothing_heavy(alone: Cli, arguments: list[str]) -> None:
    assert heavy_after(alone, *arguments) == "imported []"


@pytest.mark.parametrize(
    "arguments",
    [
        ["queue", "list"],
        ["queue", "count"],
        ["queue", "shape"],
        ["bulk", "list"],
        ["lanes"],
        ["top", "--once"],
    ],
)
def test_a_question_imports_nothing_heavy(desk: Desk, arguments: list[str]) -> None:
    assert heavy_after(desk.cli, *arguments) == "imported []"


@pytest.mark.parametrize("name", OURS)
def test_every_command_explains_itself(alone: Cli, name: str) -> None:
    assert alone(name, "--help").stdout.startswith("usage: ")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["queue", "hold"], "--all"),
        (["queue", "hold", "--all"], "--reason"),
        (["queue", "retry", "--all", "--bulk", "x"], "--all"),
        (["queue", "cancel", "--all", "--reason", "x"], "--yes"),
        (["queue", "expire", "--bulk", "b", "--reason", "x"], "--yes"),
        (["queue", "list", "--limit", "-1"], "0 or more"),
        (["queue", "shape", "--buckets", "a,b"], "--buckets"),
        (["bulk", "cancel", "x"], "--yes"),
        (["bulk", "change", "x"], "--rate"),
        (["lanes", "set", "gmx.de", "--reason", "x"], "--none"),
        (["suspend", "gmx.de"], "--for"),
        (["suspend"], "--provider"),
        (["suspend", "gmx.de", "--provider", "gmx.de", "--for", "1m", "--reason", "x"], "--provider"),
        (["nonsense"], "invalid choice"),
        (["bulk", "list", "--api", "ftp://x"], "http://"),
        (["bulk", "list", "--user", "a\nb"], "printable"),
        (["send", "--header", "X"], "Name: value"),
    ],
)
def test_what_makes_no_sense_ends_with_2_and_one_line(alone: Cli, arguments: list[str], told: str) -> None:
    done = alone(*arguments, code=2)
    assert told in done.stderr.splitlines()[-1]
    assert done.stdout == ""


@pytest.mark.parametrize(
    "arguments",
    [["queue", "list"], ["lanes"], ["top", "--once"], ["send", "--to", "x@y.example"], ["bulk", "show", "x"]],
)
def test_no_api_ends_with_3_and_says_how_to_name_one(alone: Cli, arguments: list[str]) -> None:
    (line,) = alone(*arguments, code=3).stderr.splitlines()
    assert alone.url in line
    assert "POSTWERK_API_URL" in line


def test_a_refusal_ends_with_4_and_the_place(desk: Desk) -> None:
    (line,) = desk.cli(
        "lanes", "set", "gmx.de", "--rate", "fast", "--reason", "x", code=4
    ).stderr.splitlines()
    assert line.startswith("postwerk lanes: This is not a rate")
    assert line.endswith("(#/rate)")
    (line,) = desk.cli("bulk", "show", "bulk_nothing", code=4).stderr.splitlines()
    assert "There is no bulk send" in line


@pytest.mark.parametrize("body", [b"<html>\x1b[2J", b"", b"[1]", b'"x"'])
@pytest.mark.parametrize("status", [200, 302, 404, 500, 502])
def test_what_is_no_postwerk_is_told_in_one_line(tmp_path: Path, status: int, body: bytes) -> None:
    class Stranger(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.send_header("location", "http://127.0.0.1:1/")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_words: object) -> None:
            """Not a word."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Stranger)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        done = Cli(f"http://127.0.0.1:{server.server_port}", tmp_path)("bulk", "list", code=None)
    finally:
        server.shutdown()
        server.server_close()
    assert done.returncode in (3, 4)
    assert len(done.stderr.splitlines()) == 1
    assert "\x1b" not in done.stderr


def test_a_reader_who_has_seen_enough_is_no_error(desk: Desk) -> None:
    addresses = [{"to": f"user{n}@example.com"} for n in range(3000)]
    desk.api.http.post("/v1/suppressions", json={"addresses": [one["to"] for one in addresses]})
    command = " ".join(desk.cli.command("suppressions", "list", "--limit", "0"))
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command} | head -n 1"],
        cwd=desk.folder,
        env=desk.cli.environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("address")


EVIL = "Spring \x1b]0;owned\x07\x1b[2J\u202e sale"


def test_nobodys_words_reach_the_terminal_as_they_are(desk: Desk) -> None:
    """The API takes no such title; a send of another way into the archive might have one."""
    bulk_id = desk.api.http.post("/v1/bulk-sends", json=a_bulk_send()).json()["id"]
    desk.api.do(_renamed(desk, bulk_id, EVIL))
    for arguments in (["bulk", "list"], ["bulk", "show", bulk_id], ["top", "--once"]):
        done = desk.cli(*arguments)
        assert "owned" in done.stdout
        assert re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", done.stdout) is None
    (view,) = desk.cli.json_lines("bulk", "list")
    assert view["name"] == EVIL
    assert desk.cli("bulk", "list", "--json").stdout.isascii()


async def _renamed(desk: Desk, bulk_id: str, name: str) -> None:
    from sqlalchemy import text

    async with desk.api.archive.writing() as connection:
        words = {"name": name, "id": bulk_id}
        await connection.execute(text("UPDATE bulk_send SET name = :name WHERE id = :id"), words)


def at_a_terminal(desk: Desk, *arguments: str, typed: str = "", **environment: str) -> tuple[int, str]:
    """Exit code and what is seen, at a terminal of 80 columns."""
    leader, follower = pty.openpty()
    subprocess.run(["stty", "cols", "80", "rows", "24"], stdin=follower, check=True)
    process = subprocess.Popen(
        desk.cli.command(*arguments),
        cwd=desk.folder,
        env=desk.cli.environment(**({"TERM": "xterm"} | environment)),
        stdin=follower,
        stdout=follower,
        stderr=follower,
    )
    os.close(follower)
    os.write(leader, typed.encode())
    seen = b""
    try:
        while piece := os.read(leader, 65536):
            seen += piece
    except OSError:  # how Linux says that the other side is closed
        pass
    os.close(leader)
    return process.wait(30), seen.decode()


def test_tables_fit_a_terminal_and_have_colours_only_there(desk: Desk) -> None:
    bulk_id = desk.api.http.post("/v1/bulk-sends", json=a_bulk_send(name="x" * 190)).json()["id"]
    desk.api.http.post(f"/v1/bulk-sends/{bulk_id}/cancel")
    desk.cli("lanes", "rest", "gmx.de", "--for", "1h", "--reason", "y" * 100)
    for arguments in (["bulk", "list"], ["lanes"], ["top", "--once"]):
        _, seen = at_a_terminal(desk, *arguments)
        lines = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in seen.splitlines()]
        assert max(map(len, lines)) <= 80, arguments
    assert "\x1b[31m" in at_a_terminal(desk, "lanes")[1]
    assert "\x1b" not in at_a_terminal(desk, "lanes", NO_COLOR="1")[1]
    assert "\x1b" not in desk.cli("lanes").stdout
    assert "x" * 190 in desk.cli("bulk", "list").stdout  # into a file nothing is cut


def test_a_cancel_at_a_terminal_asks_first(desk: Desk) -> None:
    bulk_id = desk.api.http.post("/v1/bulk-sends", json=a_bulk_send(name="spring")).json()["id"]
    code, seen = at_a_terminal(desk, "bulk", "cancel", bulk_id, typed="n\n")
    assert code == 1
    assert "(spring) with 1 open message? [y/N]" in seen
    assert desk.bulk(bulk_id)["state"] == "queued"
    code, _ = at_a_terminal(desk, "bulk", "cancel", bulk_id, typed="y\n")
    assert code == 0
    assert desk.bulk(bulk_id)["state"] == "cancelling"


@pytest.mark.parametrize(
    ("shell", "check"), [("bash", ["bash", "-n"]), ("zsh", ["zsh", "-n"]), ("fish", ["fish", "-n"])]
)
def test_completion_knows_the_commands(alone: Cli, shell: str, check: list[str], tmp_path: Path) -> None:
    script = alone("completion", shell).stdout
    for word in ("queue", "retry-failed", "older-than", "suppressions"):
        assert word in script
    (tmp_path / "script").write_text(script)
    try:
        done = subprocess.run([*check, str(tmp_path / "script")], capture_output=True, text=True, timeout=30)
    except FileNotFoundError:
        return  # this shell is not installed here; that the script names everything is what can be seen
    assert done.returncode == 0, done.stderr


def test_bash_completes_a_command(alone: Cli, tmp_path: Path) -> None:
    (tmp_path / "script").write_text(alone("completion", "bash").stdout)
    ask = (
        'source ./script; COMP_WORDS=(postwerk queue re); COMP_CWORD=2; COMP_LINE="postwerk queue re"; '
        'COMP_POINT=${#COMP_LINE}; $(complete -p postwerk | sed "s/.*-F \\([^ ]*\\).*/\\1/"); '
        'echo "${COMPREPLY[@]}"'
    )
    done = subprocess.run(["bash", "-c", ask], cwd=tmp_path, capture_output=True, text=True, timeout=30)
    assert done.stdout.split() == ["retry", "release"], done.stderr


def test_json_of_one_thing_is_one_document(desk: Desk) -> None:
    bulk_id = desk.api.http.post("/v1/bulk-sends", json=a_bulk_send()).json()["id"]
    assert json.loads(desk.cli("--user", "x", "bulk", "show", bulk_id, "--json").stdout)["id"] == bulk_id
    assert desk.cli.json("relay")["object"] == desk.cli.json("relay", "show")["object"] == "relay"


def _options(parser: argparse.ArgumentParser) -> set[str]:
    """Every long option of a parser and of its commands."""
    found = {word for action in parser._actions for word in action.option_strings if word.startswith("--")}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            found = found.union(*(_options(one) for one in action.choices.values()))
    return found


def test_the_documentation_names_every_command_and_option() -> None:
    told = (ROOT / "docs" / "cli.md").read_text()
    of_setup = {"--data", "--recipients", "--once", "--help"}  # of dev and demo, told by their own --help
    missing = [option for option in _options(full_parser("postwerk")) - of_setup if option not in told]
    assert missing == []
    for name in OURS:
        assert f"`{name}" in told
