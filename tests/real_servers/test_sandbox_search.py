"""The sandbox's inbox searched, page by page, and deleted by what was found."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from postwerk.sandbox import tables
from tests.support.inbox import rich_mail
from tests.support.sandbox import SandboxProcess


@pytest.fixture(scope="module")
def filled() -> Iterator[SandboxProcess]:
    """In this order: taken, 451, taken at the second attempt, 550, taken, given up."""
    plain = b"From: =?utf-8?q?Gr=C3=BC=C3=9Fe?= <news@example.com>\r\nSubject: Digest one\r\n\r\nneedle\r\n"
    encoded = b"Subject: Digest_two\r\nContent-Transfer-Encoding: base64\r\n\r\naGlkZGVuIG5lZWRsZQ==\r\n"
    with SandboxProcess() as sandbox, sandbox.talk() as talk:
        talk.submit("ok@one.example", plain)
        talk.submit("defer1@two.example", encoded)
        talk.submit("defer1@two.example", encoded)
        talk.submit("bounce@one.example")
        talk.submit("ok+rich@three.example", rich_mail())
        talk.offer("ok+gone@three.example")
        talk.say("RSET")
        yield sandbox


def found(sandbox: SandboxProcess, query: str, **others: Any) -> list[str]:
    answer = sandbox.get("/api/messages", params={"query": query, **others})
    assert answer.status_code == 200, answer.text
    return [one["ref"] for one in answer.json()["messages"]]


@pytest.mark.parametrize(
    ("query", "refs"),
    [
        ("", ["a1", "3", "r2", "2", "r1", "1"]),
        ("digest", ["2", "1"]),
        ('"digest one"', ["1"]),
        ("subject:digest -to:two", ["1"]),
        ("digest_", ["2"]),
        ("to:one.example", ["r2", "1"]),
        ("from:sender@", ["a1", "3", "r2", "2", "r1", "1"]),
        ("from:GRÜSS", []),
        ("from:grüße", ["1"]),
        ("from:müller", ["3"]),
        ("köln", ["3"]),
        ("code:451", ["r1"]),
        ("code:5", ["r2"]),
        ("code:2 to:two", ["2"]),
        ("no such user", ["r2"]),
        ("is:refused", ["r2", "r1"]),
        ("-is:accepted", ["a1", "r2", "r1"]),
        ("is:abandoned", ["a1"]),
        ("stage:rcpt", ["a1", "r2", "r1"]),
        ("has:attachment", ["3"]),
        ("-has:attachment is:accepted", ["2", "1"]),
        ("text:needle", ["2", "1"]),
        ("text:frühling", ["3"]),
        ("-text:needle is:accepted", ["3"]),
        ("larger:500", ["3"]),
        ("smaller:500", ["2", "1"]),
        ("message-id:rich", ["3"]),
        ("after:2026-01-01 before:2200-01-01 -digest is:accepted", ["3"]),
        ("before:2026-01-01", []),
    ],
)
def test_a_search_finds_what_it_says(filled: SandboxProcess, query: str, refs: list[str]) -> None:
    assert found(filled, query) == refs


def test_each_line_has_the_answer_that_was_given(filled: SandboxProcess) -> None:
    lines = filled.get("/api/messages?query=").json()["messages"]

    assert {line["ref"]: (line["code"], line["answer"][:25]) for line in lines} == {
        "a1": (0, "given up by the client"),
        "3": (250, "250 2.0.0 Ok, taken as 3"),
        "r2": (550, "550 5.1.1 No such user he"),
        "2": (250, "250 2.0.0 Ok, taken as 2"),
        "r1": (451, "451 4.3.0 Try again later"),
        "1": (250, "250 2.0.0 Ok, taken as 1"),
    }


def test_a_list_of_all_kinds_is_read_to_its_end_page_by_page(filled: SandboxProcess) -> None:
    refs, cursor = [], ""
    while cursor is not None:
        page = filled.get(
            f"/api/messages?query=&limit=2&before={cursor}" if cursor else "/api/messages?query=&limit=2"
        )
        refs.append([one["ref"] for one in page.json()["messages"]])
        cursor = page.json()["next"]

    assert refs == [["a1", "3"], ["r2", "2"], ["r1", "1"]]
    assert page.json()["count"] == 6


@pytest.mark.parametrize(
    "query", ["query=code:x", "query=&before=1.2", "query=&limit=0", "query=&before=x.y.z"]
)
def test_a_search_that_cannot_be_read_is_refused(filled: SandboxProcess, query: str) -> None:
    assert filled.get(f"/api/messages?{query}").status_code == 400


def test_the_conversation_around_a_mail_is_told(filled: SandboxProcess) -> None:
    told = filled.get("/api/messages/2").json()

    assert told["client"].startswith("127.0.0.1:")
    assert told["greeting"] == "EHLO test"
    assert [(one["ref"], one["attempt"], one["code"]) for one in told["tries"]] == [
        ("2", 2, 250),
        ("r1", 1, 451),
    ]
    assert filled.get("/api/messages/r1").json()["greeting"] == "EHLO test"


def test_neighbours_are_those_of_the_search(filled: SandboxProcess) -> None:
    page = filled.get("/messages/r2?q=to:one.example").text

    assert 'id="older" rel="next" href="/messages/1?q=to%3Aone.example"' in page
    assert 'id="newer"' not in page
    assert 'href="/messages/3"' in filled.get("/messages/r2").text
    assert 'href="/messages/2"' in filled.get("/messages/r2").text


def test_deleting_takes_one_or_what_matches_and_nothing_by_mistake(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with SandboxProcess(ledger=path) as sandbox, sandbox.talk() as talk:
        both = talk.offer("ok+a@one.example", "ok+b@two.example")
        assert [answer[:3] for answer in both] == ["250", "250"]
        talk.say("DATA")
        talk.send(b"Subject: shared\r\n\r\n.\r\n")
        assert talk.reply().startswith("250")
        talk.submit("ok+c@one.example", b"Subject: own\r\n\r\n")
        talk.submit("bounce@one.example")

        for wrong in ("?q=x", "?query=", "?query=code:x"):
            assert sandbox.request("DELETE", f"/api/messages{wrong}").status_code == 400
        assert len(found(sandbox, "")) == 4
        assert sandbox.request("DELETE", "/api/messages/1").status_code == 204
        assert sandbox.request("DELETE", "/api/messages/1").status_code == 404
        assert sandbox.raw(2) == b"Subject: shared\r\n\r\n"
        assert sandbox.request("DELETE", "/api/messages?query=is:refused").status_code == 204
        assert sandbox.request("DELETE", "/api/messages?query=to:two").status_code == 204
        assert found(sandbox, "") == ["3"]
        assert (sandbox.counts()["accepted"], sandbox.counts()["refused"]) == (1, {})
    with sqlite3.connect(path) as database:
        bodies = database.execute("SELECT id FROM body").fetchall()
    database.close()
    assert bodies == [(3,)], "the bytes of what nobody has any more go too"


def test_a_ledger_of_an_earlier_version_is_shown_and_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    _write_as_before(path)

    with SandboxProcess(ledger=path) as sandbox, sandbox.talk() as talk:
        assert found(sandbox, "from:sender@ subject:old") == ["7"]
        assert sandbox.get("/messages/7").status_code == 200
        talk.submit("ok@example.com", rich_mail())
        assert found(sandbox, "from:müller") == ["8"]
        sandbox.clear()
        talk.submit("ok@example.com")
        assert sandbox.get("/api/messages/9").json()["greeting"] == "EHLO test", "also after a clear"


def _write_as_before(path: Path) -> None:
    """A ledger with one mail, without the columns and the table that came later."""
    database = sqlite3.connect(path)
    database.executescript(tables.TABLES)
    for column in ("message.sender", "message.conversation", "refusal.mail_from", "refusal.conversation"):
        table, _, name = column.partition(".")
        database.execute(f"ALTER TABLE {table} DROP COLUMN {name}")
    database.execute("DROP TABLE conversation")
    row = (7, 1.0, "sender@example.com", "ok@example.com", 1, "accepted", "<1@x>", "old", 3, "aa", 7)
    database.execute(f"INSERT INTO message VALUES ({','.join('?' * len(row))})", row)
    database.execute("INSERT INTO body VALUES (7, ?)", (zlib.compress(b"\r\n"),))
    database.commit()
    database.close()
