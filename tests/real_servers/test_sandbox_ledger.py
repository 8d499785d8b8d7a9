"""The ledger: what a 250 promises, and what is remembered when the sandbox starts again."""

from __future__ import annotations

import hashlib
import select
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.support.sandbox import SandboxProcess, Talk, eventually


def test_the_ledger_has_the_message_before_the_reply_goes_out() -> None:
    with SandboxProcess("--ack-delay", "0.5") as sandbox, sandbox.talk() as talk:
        talk.begin_data("ok+early@example.com")
        talk.send(b"Subject: early\r\n\r\n.\r\n")

        (row,) = eventually(lambda: sandbox.messages("ok+early@example.com"))
        assert row["verdict"] == "accepted"
        said, _, _ = select.select([talk.socket], [], [], 0)
        assert not said
        assert talk.reply().startswith("250")


def test_a_row_tells_who_what_when_and_the_exact_bytes(tmp_path: Path) -> None:
    message = b"Message-Id:\r\n <one@two>\r\nSUBJECT: =?utf-8?b?R3LDvMOfZQ==?=\r\n and more\r\n\r\nb\xff\r\n"
    with SandboxProcess(ledger=tmp_path / "ledger.sqlite") as sandbox, sandbox.talk() as talk:
        assert talk.submit("ok+1@example.com", message).startswith("250")
        (row,) = sandbox.messages()
        raw = sandbox.raw(row["id"])

    assert raw == message
    assert row.pop("taken_at") > 1_700_000_000
    assert row == {
        "id": 1,
        "mail_from": "sender@example.com",
        "rcpt_to": "ok+1@example.com",
        "attempt": 1,
        "verdict": "accepted",
        "message_id": "<one@two>",
        "subject": "Grüße and more",
        "size": len(message),
        "sha256": hashlib.sha256(message).hexdigest(),
    }


def test_every_message_that_got_a_250_is_in_the_ledger_after_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    sandbox = SandboxProcess(ledger=path).start()
    talks = [sandbox.talk().greet() for _ in range(8)]
    with ThreadPoolExecutor(len(talks)) as pool:
        futures = [pool.submit(_submit_until_closed, talk, number) for number, talk in enumerate(talks)]
        eventually(lambda: sandbox.counts()["accepted"] > 200)
        sandbox.kill()
        acknowledged = {address for future in futures for address in future.result()}

    with sqlite3.connect(path) as database:
        taken = {address for (address,) in database.execute("SELECT rcpt_to FROM message")}
    database.close()
    assert len(acknowledged) > 200
    assert acknowledged <= taken
    assert len(taken - acknowledged) <= len(talks)


def _submit_until_closed(talk: Talk, number: int) -> list[str]:
    acknowledged: list[str] = []
    try:
        while talk.submit(address := f"ok+{number}-{len(acknowledged)}@example.com").startswith("250"):
            acknowledged.append(address)
    except (OSError, AssertionError):
        pass
    finally:
        talk.close()
    return acknowledged


def test_started_again_on_its_ledger_it_remembers_counts_and_attempts(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with SandboxProcess(ledger=path) as sandbox, sandbox.talk() as talk:
        assert talk.submit("defer1+x@example.com").startswith("451")
        assert talk.submit("ok+x@example.com").startswith("250")
        sandbox.kill()

    with SandboxProcess(ledger=path) as sandbox, sandbox.talk() as talk:
        assert sandbox.counts()["accepted"] == 1
        assert sandbox.counts()["refused"] == {"451": 1}
        assert talk.submit("defer1+x@example.com").endswith("taken as 2")
        assert [row["attempt"] for row in sandbox.messages()] == [1, 2]


def test_a_second_copy_of_a_message_is_counted_and_another_message_is_not() -> None:
    with SandboxProcess() as sandbox, sandbox.talk() as talk:
        for number in (1, 1, 2):
            assert talk.submit("ok@example.com", b"Message-ID: <%d@x>\r\n\r\n" % number).startswith("250")
        counts = sandbox.counts()
        told = list(sandbox.recipients())

    assert (counts["copies"], counts["recipients"], counts["duplicates"]) == (3, 1, 1)
    assert [(one["rcpt"], one["copies"], one["attempts"]) for one in told] == [("ok@example.com", 3, 3)]
    assert told[0]["message_ids"] == ["<1@x>", "<1@x>", "<2@x>"]


def test_every_recipient_that_was_tried_is_told_however_many_there_are() -> None:
    with SandboxProcess() as sandbox, sandbox.talk() as talk:
        script = b"".join(b"RCPT TO:<bounce+%05d@example.com>\r\n" % number for number in range(5000))
        talk.send(b"MAIL FROM:<>\r\n" + script)
        assert [talk.reply()[:3] for _ in range(5001)] == ["250"] + ["550"] * 5000

        assert [one["rcpt"] for one in sandbox.recipients()] == [
            f"bounce+{n:05d}@example.com" for n in range(5000)
        ]
