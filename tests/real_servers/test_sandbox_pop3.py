"""The sandbox's mail fetched by POP3, with Python's own client and by hand."""

from __future__ import annotations

import asyncio
import poplib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from postwerk.errors import ConfigurationError
from postwerk.sandbox.config import SandboxConfig
from postwerk.sandbox.inbox_reader import InboxReader
from postwerk.sandbox.ledger import Ledger
from postwerk.sandbox.pop3 import Pop3Server
from tests.support.sandbox import SandboxProcess

DOTS = b"Subject: dots\r\n\r\n.one\r\n..two\r\n.\r\nend\r\n"


@pytest.fixture(scope="module")
def running() -> Iterator[SandboxProcess]:
    with SandboxProcess("--pop3-port", "0") as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(running: SandboxProcess) -> SandboxProcess:
    """With three mails, one of them for two recipients, and a refusal."""
    running.clear()
    with running.talk() as talk:
        talk.submit("ok+a@one.example", b"Subject: first\r\n\r\n1\r\n2\r\n3\r\n")
        talk.submit("ok+b@Two.Example", DOTS.replace(b"\r\n.", b"\r\n.."))
        talk.submit("bounce@one.example")
        talk.submit("ok+a_b@one.example", b"Subject: third\r\n\r\n")
    return running


def log_in(sandbox: SandboxProcess, user: str) -> poplib.POP3:
    client = poplib.POP3(sandbox.host, sandbox.pop3_port, timeout=10)
    client.user(user)
    client.pass_("whatever")
    return client


@pytest.mark.parametrize(
    ("user", "subjects"),
    [
        ("all", ["first", "dots", "third"]),
        ("ALL", ["first", "dots", "third"]),
        ("one.example", ["first", "third"]),
        ("two.example", ["dots"]),
        ("OK+A@one.example", ["first"]),
        ("ok+a_b@one.example", ["third"]),
        ("%@one.example", []),
        ("nobody", []),
    ],
)
def test_the_user_name_chooses_whose_mail(sandbox: SandboxProcess, user: str, subjects: list[str]) -> None:
    client = log_in(sandbox, user)
    found = [client.retr(number + 1)[1][0] for number in range(client.stat()[0])]
    client.quit()

    assert found == [f"Subject: {subject}".encode() for subject in subjects]


def test_lists_sizes_ids_and_tops_are_those_of_the_mails(sandbox: SandboxProcess) -> None:
    client = log_in(sandbox, "all")
    sizes = [row["size"] for row in sandbox.messages()]
    ids = [line.split()[1] for line in client.uidl()[1]]

    assert client.stat() == (3, sum(sizes))
    assert client.list()[1] == [f"{n} {size}".encode() for n, size in enumerate(sizes, 1)]
    assert client.list(2) == f"+OK 2 {sizes[1]}".encode()
    assert client.retr(2)[1] == DOTS.split(b"\r\n")[:-1]
    assert [client.top(1, n)[1] for n in (0, 2, 99)] == [
        [b"Subject: first", b""],
        [b"Subject: first", b"", b"1", b"2"],
        [b"Subject: first", b"", b"1", b"2", b"3"],
    ]
    assert {"TOP", "UIDL", "USER"} <= client.capa().keys()
    client.quit()
    assert len(set(ids)) == 3
    again = log_in(sandbox, "all")
    assert [line.split()[1] for line in again.uidl()[1]] == ids
    again.close()


def test_what_is_marked_goes_at_quit_and_not_before(sandbox: SandboxProcess) -> None:
    client = log_in(sandbox, "all")
    client.dele(1)
    client.rset()
    client.dele(2)
    assert client.stat()[0] == 2
    with pytest.raises(poplib.error_proto):
        client.retr(2)
    client.close()
    assert len(sandbox.messages()) == 3, "a session that is cut off deletes nothing"

    client = log_in(sandbox, "one.example")
    client.dele(1)
    client.quit()

    assert [row["subject"] for row in sandbox.messages()] == ["dots", "third"]


def test_a_mail_that_was_cleared_meanwhile_is_said_to_be_gone(sandbox: SandboxProcess) -> None:
    client = log_in(sandbox, "all")
    sandbox.clear()
    with pytest.raises(poplib.error_proto, match="deleted meanwhile"):
        client.retr(1)
    client.dele(2)
    assert client.quit() == b"+OK Bye, 0 deleted"


def test_wrong_commands_are_answered_and_a_line_too_long_ends_it(sandbox: SandboxProcess) -> None:
    with socket.create_connection((sandbox.host, sandbox.pop3_port), timeout=10) as client:
        lines = client.makefile("rb")
        client.sendall(b"PASS x\r\nSTAT\r\nUSER\r\nuser all\r\npass\r\n")
        client.sendall(b"USER x\r\nRETR 9\r\nTOP 1\r\nDELE x\r\nTOP 1 -1\r\nLIST 0\r\n")
        answers = [lines.readline()[:4] for _ in range(12)]
        client.sendall(b"FOO\r\n" + b"A" * 300 + b"\r\nNOOP\r\n")
        rest = lines.read()
        lines.close()

    assert answers == [b"+OK ", *[b"-ERR"] * 3, *[b"+OK "] * 2, *[b"-ERR"] * 6]
    assert rest.splitlines() == [b"-ERR Command not known here", b"-ERR Command line too long"]


async def test_who_says_nothing_is_let_go(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    inbox = InboxReader(tmp_path / "ledger.sqlite")
    with socket.create_server(("127.0.0.1", 0)) as door:
        door.setblocking(False)
        async with Pop3Server(inbox, ledger, idle_seconds=0.05).listening(door):
            reader, writer = await asyncio.open_connection(*door.getsockname())
            assert (await reader.readline()).startswith(b"+OK")
            assert await asyncio.wait_for(reader.read(), 10) == b""
            writer.close()
    await inbox.close()
    await ledger.close()


def test_it_is_offered_on_loopback_only() -> None:
    with pytest.raises(ConfigurationError, match="loopback"):
        SandboxConfig(host="0.0.0.0", pop3_port=1110)
    with pytest.raises(ConfigurationError, match="pop3_port"):
        SandboxConfig(pop3_port=70000)
