"""The sandbox's SMTP side, as a real process and over real sockets."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from email.message import EmailMessage

import aiosmtplib
import pytest

from tests.support.sandbox import ROOT, SandboxProcess, Talk, eventually


@pytest.fixture(scope="module")
def sandbox() -> Iterator[SandboxProcess]:
    with SandboxProcess("--max-message-bytes", "20000", "--greylist-seconds", "0.3") as running:
        yield running


@pytest.fixture
def talk(sandbox: SandboxProcess) -> Iterator[Talk]:
    with sandbox.talk() as client:
        yield client


# What an address asks for.


@pytest.mark.parametrize(
    "name", ["ok", "ok+7", "somebody", "Defer-me-not", "deferral", "slow0", '"quoted @ +"']
)
def test_an_ordinary_or_unknown_address_is_accepted(talk: Talk, name: str) -> None:
    assert talk.submit(f"{name}@example.com").startswith("250 2.0.0")


@pytest.mark.parametrize(
    ("name", "reply"),
    [
        ("defer", "451 4.7.1"),  # always
        ("defer+17", "451 4.7.1"),
        ("defer3", "451 4.3.0"),  # three times, this is the first
        ("greylist+a", "450 4.2.0"),
        ("bounce+a", "550 5.1.1"),
        ("BOUNCE", "550 5.1.1"),  # in any case
        ("full+a", "452 4.2.2"),
        ("reject-after-dot+a", "554 5.6.0"),
    ],
)
def test_an_address_is_refused_as_it_asks(talk: Talk, name: str, reply: str) -> None:
    assert talk.submit(f"{name}@example.com").startswith(reply)


def test_defer2_is_deferred_twice_and_then_accepted(sandbox: SandboxProcess, talk: Talk) -> None:
    codes = [talk.submit("defer2+t@example.com")[:3] for _ in range(4)]

    assert codes == ["451", "451", "250", "250"]
    told = sandbox.recipient("defer2+t@example.com")
    assert told is not None
    assert [(try_["attempt"], try_["code"]) for try_ in told["history"]] == [
        (1, 451),
        (2, 451),
        (3, 250),
        (4, 250),
    ]
    assert told["attempts"] == 4
    assert told["copies"] == 2


def test_a_greylisted_address_is_accepted_once_its_time_has_come(talk: Talk) -> None:
    began = time.monotonic()
    assert talk.submit("greylist+t@example.com").startswith("450")

    eventually(lambda: talk.submit("greylist+t@example.com").startswith("250"))

    assert time.monotonic() - began >= 0.3


def test_a_slow_address_is_answered_late_but_is_in_the_ledger_at_once(
    sandbox: SandboxProcess, talk: Talk
) -> None:
    talk.begin_data("slow1+t@example.com")
    began = time.monotonic()
    talk.send(b"Subject: s\r\n\r\n.\r\n")

    eventually(lambda: sandbox.messages("slow1+t@example.com"))
    assert time.monotonic() - began < 1
    assert talk.reply().startswith("250")
    assert time.monotonic() - began >= 1


def test_hang_after_dot_takes_the_message_and_never_replies(sandbox: SandboxProcess, talk: Talk) -> None:
    talk.begin_data("hang-after-dot+t@example.com")
    talk.send(b"Subject: s\r\n\r\n.\r\nNOOP\r\n")

    (row,) = eventually(lambda: sandbox.messages("hang-after-dot+t@example.com"))
    assert row["verdict"] == "dot seen, no reply"
    talk.socket.settimeout(0.2)
    with pytest.raises(TimeoutError):
        talk.reply()


def test_drop_after_dot1_closes_without_a_reply_only_the_first_time(sandbox: SandboxProcess) -> None:
    address, message = "drop-after-dot1+t@example.com", b"Message-ID: <a@b>\r\n\r\nx\r\n"
    with sandbox.talk() as first:
        assert first.submit(address, message) == ""
    with sandbox.talk() as second:
        assert second.submit(address, message).startswith("250")

    told = sandbox.recipient(address)
    assert told is not None
    assert told["message_ids"] == ["<a@b>", "<a@b>"]
    assert [row["verdict"] for row in sandbox.messages(address)] == ["dot seen, no reply", "accepted"]


def test_drop_at_data_closes_without_a_reply_and_takes_nothing(sandbox: SandboxProcess, talk: Talk) -> None:
    assert talk.submit("drop-at-data+t@example.com") == ""

    told = sandbox.recipient("drop-at-data+t@example.com")
    assert told is not None
    assert (told["copies"], told["attempts"], told["history"][0]["code"]) == (0, 1, 0)


# What may stand in a message.


@pytest.mark.parametrize(
    "end",
    [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r\n.\r", b"\n\n.\r\n"],
)
def test_nothing_but_crlf_dot_crlf_ends_a_message(sandbox: SandboxProcess, talk: Talk, end: bytes) -> None:
    """Mail is smuggled where two servers disagree about this (CVE-2023-51764)."""
    talk.begin_data("ok+smuggled@example.com")
    talk.send(
        b"Subject: s\r\n\r\nx" + end + b"MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n.\r\n"
    )

    assert talk.reply().startswith("554 5.6.11")
    assert talk.say("NOOP").startswith("250")
    assert not sandbox.messages("ok+smuggled@example.com")


@pytest.mark.parametrize(
    ("message", "reply"),
    [
        (b"a" * 998 + b"\r\n", "250"),
        (b"a" * 999 + b"\r\n", "554 5.6.0"),
        (b".." + b"a" * 997 + b"\r\n", "250"),  # the stuffed dot does not count
        (b"a\nb\r\n", "554 5.6.11"),
        (b"a\rb\r\n", "554 5.6.11"),
        (b"", "250"),
    ],
)
def test_lines_end_with_crlf_and_hold_at_most_a_thousand_octets(
    talk: Talk, message: bytes, reply: str
) -> None:
    assert talk.submit("ok@example.com", message).startswith(reply)


def test_dots_are_unstuffed_and_the_bytes_kept_exactly(sandbox: SandboxProcess, talk: Talk) -> None:
    number = talk.submit("ok@example.com", b"..\r\nA: \xc3\xa9\r\n...\r\n..x\r\n\r\n").rpartition(" ")[2]

    assert sandbox.raw(int(number)) == b".\r\nA: \xc3\xa9\r\n..\r\n.x\r\n\r\n"


def test_a_message_may_arrive_byte_by_byte(sandbox: SandboxProcess, talk: Talk) -> None:
    talk.begin_data("ok@example.com")
    for byte in b"Subject: s\r\n\r\n..\r\n.\r\n":
        talk.send(bytes([byte]))

    number = talk.reply().rpartition(" ")[2]
    assert sandbox.raw(int(number)) == b"Subject: s\r\n\r\n.\r\n"


def test_a_message_above_size_is_refused_when_declared_and_when_not(talk: Talk) -> None:
    assert talk.say("MAIL FROM:<a@b.example> SIZE=20001").startswith("552 5.3.4")
    assert talk.submit("ok@example.com", b"x" * 78 + b"\r\n" * 10_000).startswith("552 5.3.4")
    assert talk.submit("ok@example.com", (b"x" * 98 + b"\r\n") * 3_000).startswith("552 5.3.4")
    assert talk.submit("ok@example.com", (b"x" * 98 + b"\r\n") * 200).startswith("250")


# The dialogue.


def test_ehlo_offers_what_is_kept(sandbox: SandboxProcess) -> None:
    talk = sandbox.talk()
    assert talk.reply().startswith("220 ")
    offered = {line[4:].strip() for line in talk.say("eHlO test").splitlines()[1:]}
    talk.close()

    assert offered == {"PIPELINING", "SIZE 20000", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES"}


@pytest.mark.parametrize(
    ("commands", "reply"),
    [
        (["MAIL FROM:<a@b.example>"], "503"),  # before any greeting
        (["EHLO"], "501"),
        (["HELO test"], "250 "),
        (["EHLO test", "RCPT TO:<a@b.example>"], "503"),
        (["EHLO test", "DATA"], "503"),
        (["EHLO test", "MAIL FROM:<>", "DATA"], "554"),
        (["EHLO test", "MAIL FROM:<>", "MAIL FROM:<>"], "503"),
        (["EHLO test", "MAIL FROM:<>", "RSET", "MAIL FROM:<>"], "250"),
        (["EHLO test", "MAIL FROM:<>", "EHLO test", "MAIL FROM:<>"], "250"),
        (["EHLO test", "mail from:<a@b.example> body=8bitmime smtputf8"], "250"),
        (["EHLO test", "MAIL FROM: <a@b.example>"], "250"),
        (["EHLO test", "MAIL FROM:a@b.example"], "501"),
        (["EHLO test", "MAIL FROM:<a@b.example> SIZE=x"], "501"),
        (["EHLO test", "MAIL FROM:<a@b.example> NEW=1"], "555"),
        (["EHLO test", "MAIL FROM:<a@b.example> RET=HDRS ENVID=1"], "250"),  # DSN is read over
        (["EHLO test", "MAIL FROM:<>", "RCPT TO:<a@b.example> NOTIFY=NEVER ORCPT=rfc822;x"], "250"),
        (["EHLO test", "MAIL FROM:<>", "RCPT TO:<>"], "501"),
        (["EHLO test", "MAIL FROM:<>", "RCPT TO:<ü@b.example>"], "553 5.6.7"),
        (["EHLO test", "MAIL FROM:<> SMTPUTF8", "RCPT TO:<ü@b.example>"], "250"),
        (["NOOP anything"], "250"),
        (["VRFY somebody"], "252"),
        (["QUIT"], "221"),
        (["STARTTLS"], "502"),
        (["AUTH PLAIN xyz"], "502"),
        (["XYZZY"], "500"),
        ([""], "500"),
        (["NOOP\nNOOP"], "500 5.5.2"),  # a bare LF ends no command
        (["NOOP " + "x" * 3000], "500"),
    ],
)
def test_each_command_has_its_time_and_its_reply(
    sandbox: SandboxProcess, commands: list[str], reply: str
) -> None:
    talk = sandbox.talk()
    talk.reply()
    replies = [talk.say(command) for command in commands]
    talk.close()

    assert replies[-1].startswith(reply), replies


def test_bytes_that_are_no_utf8_are_a_syntax_error(talk: Talk) -> None:
    talk.send(b"MAIL FROM:<\xff@b.example>\r\n")

    assert talk.reply().startswith("501")


def test_a_pipelined_client_gets_all_replies_in_order(talk: Talk) -> None:
    one = b"MAIL FROM:<a@b.example>\r\nRCPT TO:<%s@example.com>\r\nDATA\r\n"
    talk.send(
        one % b"ok+1" + b"A: b\r\n\r\n.\r\n" + one % b"slow0" + b".\r\n" + one % b"bounce" + b"QUIT\r\n"
    )

    codes = [talk.reply()[:3] for _ in range(12)]
    assert codes == ["250", "250", "354", "250", "250", "250", "354", "250", "250", "550", "554", "221"]
    assert talk.reply() == ""


def test_two_recipients_of_one_message_are_two_rows_with_the_same_bytes(
    sandbox: SandboxProcess, talk: Talk
) -> None:
    talk.begin_data("ok+one@example.com", "ok+two@example.com")
    talk.send(b"Subject: both\r\n\r\n.\r\n")
    assert talk.reply().startswith("250")

    (one,), (two,) = sandbox.messages("ok+one@example.com"), sandbox.messages("ok+two@example.com")
    assert one["sha256"] == two["sha256"]
    assert sandbox.raw(one["id"]) == sandbox.raw(two["id"]) == b"Subject: both\r\n\r\n"


async def test_aiosmtplib_can_talk_to_it(sandbox: SandboxProcess) -> None:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "a@b.example", "ok+aio@example.com", "Grüße"
    message["Message-ID"] = "<1@b.example>"
    message.set_content("ä\n.\n")
    async with aiosmtplib.SMTP(hostname=sandbox.host, port=sandbox.smtp_port, start_tls=False) as client:
        await client.send_message(message)
        with pytest.raises(aiosmtplib.SMTPRecipientsRefused):
            await client.sendmail("a@b.example", ["bounce@example.com"], b"x\r\n")

    (row,) = sandbox.messages("ok+aio@example.com")
    assert (row["subject"], row["message_id"], row["mail_from"]) == ("Grüße", "<1@b.example>", "a@b.example")


# Limits.


def test_a_domain_above_its_rate_is_told_450_while_others_are_not() -> None:
    with SandboxProcess("--rate-per-domain", "2/h") as sandbox, sandbox.talk() as talk:
        replies = talk.offer("a@one.example", "b@ONE.example", "c@two.example")

    assert [reply[:9] for reply in replies] == ["250 2.1.5", "450 4.7.1", "250 2.1.5"]


def test_a_connection_above_its_rate_is_told_421_and_closed() -> None:
    with SandboxProcess("--rate-per-connection", "1/h") as sandbox, sandbox.talk() as talk:
        assert talk.submit("ok@example.com").startswith("250")

        assert talk.say("MAIL FROM:<a@b.example>").startswith("421 4.7.0")
        assert talk.reply() == ""
        assert sandbox.counts()["refused"] == {"421": 1}


def test_one_connection_too_many_is_told_421_at_the_banner() -> None:
    with SandboxProcess("--max-connections", "1") as sandbox:
        with sandbox.talk():
            second = sandbox.talk()
            assert second.reply().startswith("421 4.7.0")
            assert second.reply() == ""
            second.close()
        eventually(lambda: sandbox.counts()["open_connections"] == 0)
        with sandbox.talk() as third:
            assert third.submit("ok@example.com").startswith("250")


# The process.


def test_a_port_that_is_taken_is_one_clear_line_and_exit_code_2(sandbox: SandboxProcess) -> None:
    command = [sys.executable, "-m", "postwerk.sandbox", "--smtp-port", str(sandbox.smtp_port)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=20, check=False)

    assert ended.returncode == 2
    assert (
        ended.stderr == f"sandbox: cannot listen on 127.0.0.1:{sandbox.smtp_port}: Address already in use\n"
    )


@pytest.mark.parametrize(
    "option",
    [
        ["--rate-per-domain", "fast"],
        ["--max-connections", "0"],
        ["--ack-delay", "-1"],
        ["--ledger", "/nowhere/ledger.sqlite"],
    ],
)
def test_a_setting_that_makes_no_sense_is_one_clear_line_and_exit_code_2(option: list[str]) -> None:
    command = [sys.executable, "-m", "postwerk.sandbox", "--smtp-port", "0", "--http-port", "0", *option]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=20, check=False)

    assert ended.returncode == 2
    assert ended.stderr.startswith("sandbox: ")
    assert ended.stderr.count("\n") == 1


def test_told_to_stop_it_says_goodbye_and_ends_with_0() -> None:
    sandbox = SandboxProcess().start()
    with sandbox.talk() as talk:
        assert sandbox.stop() == 0
        assert talk.reply().startswith("421 4.3.2")
