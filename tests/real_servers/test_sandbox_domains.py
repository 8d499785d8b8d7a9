"""The sandbox as a mailbox provider on a bad day: rules by domain, and the counts that tests of pace need."""

from __future__ import annotations

import base64
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiosmtplib
import pytest

from postwerk.sandbox.behaviour import Answer, Kind, behaviour_of, refusal_at_rcpt
from postwerk.sandbox.domain_rule import presets, read_rule
from tests.support.sandbox import ROOT, SandboxProcess, Talk, eventually


@pytest.fixture(scope="module")
def running() -> Iterator[SandboxProcess]:
    with SandboxProcess() as process:
        yield process


@pytest.fixture
def sandbox(running: SandboxProcess) -> SandboxProcess:
    running.clear_domain()
    running.clear()
    return running


@pytest.fixture
def talk(sandbox: SandboxProcess) -> Iterator[Talk]:
    with sandbox.talk() as client:
        yield client


def is_silent(talk: Talk) -> bool:
    """Nothing comes, and the connection stays open."""
    talk.socket.settimeout(0.2)
    try:
        talk.socket.recv(1)
    except TimeoutError:
        return True
    return False


# What a rule makes a domain say.


def test_a_rule_is_about_its_domain_alone_and_holds_until_it_is_taken_back(
    sandbox: SandboxProcess, talk: Talk
) -> None:
    sandbox.set_domain("Slow.Example", answer="450 4.7.1 Slow down")

    assert talk.submit("ok@slow.example") == "450 4.7.1 Slow down"
    assert talk.submit("ok@SLOW.example") == "450 4.7.1 Slow down"
    assert talk.submit("ok@sub.slow.example").startswith("250")
    assert talk.submit("ok@other.example").startswith("250")
    sandbox.clear_domain("slow.example")
    assert talk.submit("ok@slow.example").startswith("250")


def test_a_421_closes_the_connection_after_it_was_said(sandbox: SandboxProcess, talk: Talk) -> None:
    sandbox.set_domain("yahoo.com", preset="yahoo-tss04")

    (answer,) = talk.offer("ok@yahoo.com")

    assert answer.startswith("421 4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred")
    assert talk.reply() == ""


def test_close_closes_behind_any_answer_and_without_one_in_silence(sandbox: SandboxProcess) -> None:
    sandbox.set_domain("a.example", answer="450 4.7.1 Bye", close=True)
    sandbox.set_domain("b.example", close=True)

    with sandbox.talk() as talk:
        assert talk.offer("ok@a.example") == ["450 4.7.1 Bye"]
        assert talk.reply() == ""
    with sandbox.talk() as talk:
        assert talk.offer("ok@b.example") == [""]


def test_an_answer_may_have_several_lines(sandbox: SandboxProcess, talk: Talk) -> None:
    sandbox.set_domain("gmail.com", preset="gmail-rate")

    (answer,) = talk.offer("ok@gmail.com")

    lines = answer.splitlines()
    assert len(lines) == 6
    assert all(line.startswith("421-4.7.28 ") for line in lines[:-1])
    assert lines[-1].startswith("421 4.7.28 ")


@pytest.mark.parametrize(
    ("stage", "before"),
    [
        ("ehlo", []),
        ("mail", ["EHLO test"]),
        ("rcpt", ["EHLO test", "MAIL FROM:<a@b.example>"]),
        ("data", ["EHLO test", "MAIL FROM:<a@b.example>", "RCPT TO:<c@d.example>"]),
        ("dot", ["EHLO test", "MAIL FROM:<a@b.example>", "RCPT TO:<c@d.example>", "DATA"]),
        ("quit", ["EHLO test"]),
    ],
)
def test_a_rule_for_every_domain_answers_at_any_stage(
    sandbox: SandboxProcess, stage: str, before: list[str]
) -> None:
    last = {"ehlo": "EHLO test", "mail": "MAIL FROM:<>", "rcpt": "RCPT TO:<c@d.example>", "data": "DATA"}
    last |= {"dot": "Subject: s\r\n\r\n.", "quit": "QUIT"}
    sandbox.set_domain("*", stage=stage, answer="451 4.3.0 A bad day")
    talk = sandbox.talk()
    talk.reply()

    assert all(talk.say(line)[0] in "23" for line in before)
    assert talk.say(last[stage]) == "451 4.3.0 A bad day"

    talk.close()
    assert sandbox.counts()["refused"] == {"451": 1}
    assert not sandbox.messages()


def test_a_rule_at_the_banner_answers_instead_of_it(sandbox: SandboxProcess) -> None:
    sandbox.set_domain("*", stage="banner", answer="554 5.7.1 No mail from you")

    talk = sandbox.talk()
    assert talk.reply() == "554 5.7.1 No mail from you"
    talk.close()

    assert [one["code"] for one in sandbox.connections()] == [554]


@pytest.mark.parametrize("stage", ["banner", "ehlo", "mail", "rcpt", "data", "dot", "quit"])
def test_a_hang_says_nothing_and_keeps_the_connection_open(sandbox: SandboxProcess, stage: str) -> None:
    sandbox.set_domain("*", stage=stage, hang=True)
    said = {"banner": 0, "ehlo": 1, "mail": 2, "rcpt": 3, "data": 4, "dot": 5, "quit": 6}[stage]
    talk = sandbox.talk()
    lines = ["EHLO test", "MAIL FROM:<a@b.example>", "RCPT TO:<c@d.example>", "DATA", "A: b\r\n\r\n.", "QUIT"]
    for line in [None, *lines][:said]:
        if line:
            talk.send(line.encode() + b"\r\n")
        assert talk.reply()[0] in "23"
    if said:
        talk.send(lines[said - 1].encode() + b"\r\nNOOP\r\n")

    assert is_silent(talk)
    talk.close()
    eventually(lambda: sandbox.counts()["open_connections"] == 0)


def test_silence_at_the_dot_is_a_message_taken_without_a_reply(sandbox: SandboxProcess) -> None:
    sandbox.set_domain("a.example", stage="dot", hang=True)
    sandbox.set_domain("b.example", stage="dot", close=True)

    with sandbox.talk() as hung, sandbox.talk() as dropped:
        hung.begin_data("ok@a.example")
        hung.send(b"A: b\r\n\r\n.\r\n")
        assert is_silent(hung)
        assert dropped.submit("ok@b.example") == ""

    assert [row["verdict"] for row in sandbox.messages()] == ["dot seen, no reply"] * 2
    assert [(one["verdict"], one["code"]) for one in sandbox.attempts()] == [("dot seen, no reply", 0)] * 2


@pytest.mark.parametrize("stage", ["rcpt", "data", "dot"])
def test_a_delay_alone_makes_the_usual_answer_late(sandbox: SandboxProcess, talk: Talk, stage: str) -> None:
    sandbox.set_domain("late.example", stage=stage, delay=0.3)

    began = time.monotonic()
    assert talk.submit("ok@other.example").startswith("250")
    assert time.monotonic() - began < 0.3
    began = time.monotonic()
    assert talk.submit("ok@late.example").startswith("250")
    assert 0.3 <= time.monotonic() - began < 1


def test_a_delay_makes_a_refusal_late_and_what_was_pipelined_waits(
    sandbox: SandboxProcess, talk: Talk
) -> None:
    sandbox.set_domain("late.example", answer="450 4.7.1 Slow down", delay=0.3)
    began = time.monotonic()

    talk.send(b"MAIL FROM:<a@b.example>\r\nRCPT TO:<c@late.example>\r\nRCPT TO:<c@d.example>\r\nRSET\r\n")

    assert [talk.reply()[:3] for _ in range(4)] == ["250", "450", "250", "250"]
    assert time.monotonic() - began >= 0.29  # a timer of the loop may be a millisecond early


def test_only_a_share_meets_a_rule(sandbox: SandboxProcess, talk: Talk) -> None:
    sandbox.set_domain("half.example", answer="450 4.7.1 Slow down", share=0.5)
    talk.send(b"MAIL FROM:<a@b.example>\r\n" + b"RCPT TO:<ok@half.example>\r\n" * 400)
    talk.reply()

    codes = [talk.reply()[:3] for _ in range(400)]

    assert 120 < codes.count("450") < 280  # eight standard deviations
    assert sandbox.domains()["half.example"]["met"] == codes.count("450")


def test_only_what_is_above_the_rate_meets_a_rule(sandbox: SandboxProcess, talk: Talk) -> None:
    sandbox.set_domain("yahoo.com", answer="450 4.7.1 Slow down", rate="2/s")

    codes = [talk.submit("ok@yahoo.com")[:3] for _ in range(4)]
    assert codes == ["250", "250", "450", "450"]
    assert talk.submit("ok@other.example").startswith("250")
    eventually(lambda: talk.submit("ok@yahoo.com").startswith("250"), 2)


def test_a_domains_own_rule_stands_above_the_one_for_every_domain(
    sandbox: SandboxProcess, talk: Talk
) -> None:
    sandbox.set_domain("*", answer="450 4.7.1 All")
    sandbox.set_domain("own.example", answer="450 4.7.1 Own")
    sandbox.set_domain("spared.example", answer="450 4.7.1 Never", share=0)

    replies = talk.offer("ok@own.example", "ok@spared.example", "ok@other.example")

    assert replies == ["450 4.7.1 Own", "250 2.1.5 Ok", "450 4.7.1 All"]


# How rules are written.


def test_rules_are_told_with_every_field(sandbox: SandboxProcess) -> None:
    rule = sandbox.set_domain("Outlook.com", preset="outlook-rate", stage="dot", rate="30/min", delay=1)

    assert rule == {
        "stage": "dot",
        "answer": "451 4.7.650 The mail server [192.0.2.1] has been temporarily rate limited due to IP "
        "reputation. For e-mail delivery information, see https://aka.ms/postmaster (S775)",
        "hang": False,
        "close": False,
        "share": 1.0,
        "rate": "30/min",
        "delay": 1.0,
    }
    assert sandbox.domains() == {"outlook.com": rule | {"met": 0}}
    assert sandbox.set_domain("outlook.com", **rule) == rule


@pytest.mark.parametrize(
    ("domain", "rule", "sentence"),
    [
        ("a.example", {}, "answer: is missing"),
        ("a.example", {"answer": "slow"}, "answer: must be a code from 400 to 599"),
        ("a.example", {"answer": "250 2.0.0 Ok"}, "answer: must be a code"),
        ("a.example", {"answer": "450 4.7.1 a\r\n250 b"}, "answer: must be a code"),
        ("a.example", {"answer": "450 " + "a" * 50_000 + "\t"}, "answer: must be a code"),  # at once
        ("a.example", {"answer": 450}, "answer: must be a code"),
        ("a.example", {"answer": "450 x", "stage": "body"}, "stage: must be one of banner"),
        ("a.example", {"answer": "450 x", "stage": "mail"}, "stage: mail comes before any recipient"),
        ("a.example", {"preset": "auth-535"}, "stage: auth comes before any recipient"),
        ("a.example", {"answer": "450 x", "share": 1.5}, "share: must be a number from 0 to 1"),
        ("a.example", {"answer": "450 x", "share": "half"}, "share: must be a number from 0 to 1"),
        ("a.example", {"answer": "450 x", "rate": "fast"}, "rate: must be a rate like"),
        ("a.example", {"answer": "450 x", "delay": -1}, "delay: must be a number of seconds"),
        ("a.example", {"answer": "450 x", "close": "yes"}, "close: must be true or false"),
        ("a.example", {"answer": "450 x", "hang": True}, "hang: nothing else can be said"),
        ("a.example", {"preset": "nobody"}, "preset: must be one of yahoo-tss04, "),
        ("a.example", {"preset": ["hang"]}, "preset: must be one of"),
        ("a.example", {"preset": "hang", "answer": "450 x"}, "preset: says what is answered already"),
        ("a.example", {"answer": "450 x", "code": 1}, "code: is no field of a rule"),
        ("a.example", [], "body: must be a JSON object"),
        ("a b", {"answer": "450 x"}, "domain: must be the part of an address behind the @"),
        ("a@b.example", {"answer": "450 x"}, "domain: must be"),
    ],
)
def test_a_rule_that_makes_no_sense_is_422_and_names_the_field(
    sandbox: SandboxProcess, domain: str, rule: Any, sentence: str
) -> None:
    answer = sandbox.request("PUT", f"/api/domains/{domain}", json=rule)

    assert answer.status_code == 422
    assert answer.json()["detail"].startswith(sentence)
    assert sandbox.domains() == {}


def test_a_body_that_is_no_json_or_too_large_is_refused(sandbox: SandboxProcess) -> None:
    path = "/api/domains/a.example"

    assert sandbox.request("PUT", path, content=b"{").json()["detail"].startswith("body: must be JSON")
    assert sandbox.request("PUT", path, content=b" " * 70_000).status_code == 413


def test_a_rule_that_is_not_there_cannot_be_taken_back(sandbox: SandboxProcess) -> None:
    assert sandbox.request("DELETE", "/api/domains/a.example").status_code == 404


def test_no_page_of_another_site_can_set_a_rule(sandbox: SandboxProcess) -> None:
    headers = {"sec-fetch-site": "cross-site"}

    answer = sandbox.request("PUT", "/api/domains/*", json={"hang": True}, headers=headers)

    assert answer.status_code == 403


@pytest.mark.parametrize("name", presets())
def test_every_preset_is_a_rule(name: str) -> None:
    rule = read_rule("*", {"preset": name})

    assert rule.answer is not None or rule.delay
    # RFC 5321 4.5.3.1.5: a reply line has at most 512 octets.
    assert max(map(len, rule.answer.wire.splitlines())) <= 510 if rule.answer and rule.answer.code else True


def test_the_presets_are_told(sandbox: SandboxProcess) -> None:
    assert sandbox.get("/api/domains/presets").json()["auth-535"] == {
        "stage": "auth",
        "answer": "535 5.7.8 Error: authentication failed: authentication failure",
    }


def test_rules_can_be_there_from_the_start(tmp_path: Path) -> None:
    (tmp_path / "rules.toml").write_text(
        '["Yahoo.com"]\npreset = "yahoo-tss04"\n["*"]\nstage = "dot"\nanswer = "451 4.3.0 x"\n'
    )
    with SandboxProcess("--domains", str(tmp_path / "rules.toml")) as sandbox, sandbox.talk() as talk:
        assert list(sandbox.domains()) == ["yahoo.com", "*"]
        assert talk.submit("ok@other.example") == "451 4.3.0 x"
        assert talk.offer("ok@yahoo.com")[0].startswith("421 4.7.0 [TSS04]")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('["a.example"]\nshare = 0.5\n', '["a.example"] answer: is missing'),
        ('["a.example"]\nanswer = "450 x"\nshare = nan\n', '["a.example"] share: must be'),
        ("[a.example]\nhang = true\n", '["a"] example: is no field'),  # a name with dots needs quotes
        ("[", "is no TOML"),
        (None, "cannot read the domain rules"),
    ],
)
def test_a_file_of_rules_that_makes_no_sense_is_one_clear_line_and_exit_code_2(
    tmp_path: Path, text: str | None, complaint: str
) -> None:
    if text is not None:
        (tmp_path / "rules.toml").write_text(text)
    command = [sys.executable, "-m", "postwerk.sandbox", "--smtp-port", "0", "--http-port", "0"]
    command += ["--domains", str(tmp_path / "rules.toml")]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=20, check=False)

    assert ended.returncode == 2
    assert complaint in ended.stderr
    assert ended.stderr.count("\n") == 1


# What addresses ask for.


@pytest.mark.parametrize(
    ("name", "first", "second"),
    [
        ("rate+x", "421 4.7.28", "421 4.7.28"),
        ("rate1+x", "421 4.7.28", "250"),
        ("disabled+x", "550 5.2.1", "550 5.2.1"),
        ("policy+x", "554 5.7.1", "554 5.7.1"),
        ("hint120+x", "451 4.7.1 Greylisted, try again in 120 seconds", "250"),
        ("hint+x", "451 4.7.1 Greylisted, try again in 60 seconds", "250"),
        ("random4-100+x", "4", "250"),
        ("random4-0+x", "250", "250"),
        ("random4+x", "250", "250"),  # without a number it is a name like any other
    ],
)
def test_an_address_asks_for_what_providers_say(
    sandbox: SandboxProcess, name: str, first: str, second: str
) -> None:
    for expected in (first, second):
        with sandbox.talk() as talk:
            assert talk.offer(f"{name}@example.com")[0].startswith(expected)


def test_rate_closes_the_connection(talk: Talk) -> None:
    assert talk.offer("rate+x@example.com")[0].startswith("421")
    assert talk.reply() == ""


def test_random4_defers_its_percentage_of_addresses_and_the_same_ones_each_time() -> None:
    def first_answer(number: int) -> Answer | None:
        address = f"random4-30+{number}@example.com"
        return refusal_at_rcpt(behaviour_of(address), 1, False, address)

    drawn = [first_answer(number) for number in range(1000)]

    assert drawn == [first_answer(number) for number in range(1000)]
    assert 240 < sum(answer is not None for answer in drawn) < 360
    assert {answer.code for answer in drawn if answer} == {421, 450, 451, 452}
    assert behaviour_of("random4-30@x").kind is Kind.RANDOM4


# What can be counted.


def test_every_attempt_is_told_with_its_moment_its_domain_and_its_verdict(
    sandbox: SandboxProcess, talk: Talk
) -> None:
    sandbox.set_domain("yahoo.com", answer="451 4.7.0 Later")
    began = time.time()
    for name in ("ok@Yahoo.COM", "ok@other.example", "bounce@other.example", "reject-after-dot@a.example"):
        talk.submit(name)
    ended = time.time()

    told = sandbox.attempts()

    assert [(one["domain"], one["verdict"], one["stage"], one["code"]) for one in told] == [
        ("yahoo.com", "refused", "rcpt", 451),
        ("other.example", "accepted", "dot", 250),
        ("other.example", "refused", "rcpt", 550),
        ("a.example", "refused", "dot", 554),
    ]
    moments = [one["at"] for one in told]
    assert moments == sorted(moments)
    assert began <= moments[0] <= moments[-1] <= ended
    assert [one["code"] for one in sandbox.attempts("Yahoo.com")] == [451]
    assert [one["code"] for one in sandbox.attempts("other.example", since=moments[2])] == [550]
    assert sandbox.attempts("r.example") == []
    assert sandbox.attempts("%") == []


def test_attempts_are_counted_by_the_second_and_the_minute(sandbox: SandboxProcess, talk: Talk) -> None:
    for _ in range(3):
        talk.submit("bounce@a.example")
    moments = [one["at"] for one in sandbox.attempts()]

    minutes = sandbox.attempts_per("minute", "a.example")
    seconds = sandbox.attempts_per("second")

    assert sum(one["count"] for one in minutes) == sum(one["count"] for one in seconds) == 3
    assert minutes[0]["at"] == moments[0] // 60 * 60
    assert seconds[0] == {
        "at": int(moments[0]),
        "domain": "a.example",
        "verdict": "refused",
        "code": 550,
        "count": sum(int(moment) == int(moments[0]) for moment in moments),
    }


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["MAIL FROM:<a@b.example>"], [("", "abandoned", "mail")]),
        (["MAIL FROM:<a@b.example>", "RSET"], [("", "abandoned", "mail")]),
        (["MAIL FROM:<a@b.example>", "RCPT TO:<c@d.example>"], [("d.example", "abandoned", "rcpt")]),
        (["MAIL FROM:<>", "RCPT TO:<c@d.example>", "EHLO x"], [("d.example", "abandoned", "rcpt")]),
        (["MAIL FROM:<>", "RCPT TO:<c@d.example>", "QUIT"], [("d.example", "abandoned", "rcpt")]),
        (["MAIL FROM:<>", "RCPT TO:<c@d.example>", "DATA"], [("d.example", "abandoned", "data")]),
        (["MAIL FROM:<>", "RCPT TO:<bounce@d.example>", "DATA", "RSET"], [("d.example", "refused", "rcpt")]),
        (["MAIL FROM:<> SIZE=x"], [("", "refused", "mail")]),
        (["NOOP"], []),
    ],
)
def test_every_transaction_that_reached_mail_is_an_attempt(
    sandbox: SandboxProcess, lines: list[str], expected: list[tuple[str, str, str]]
) -> None:
    with sandbox.talk() as talk:
        for line in lines:
            talk.say(line)
    eventually(lambda: sandbox.counts()["open_connections"] == 0)

    assert [(one["domain"], one["verdict"], one["stage"]) for one in sandbox.attempts()] == expected


def test_what_is_abandoned_is_neither_refused_nor_a_try_of_the_address(
    sandbox: SandboxProcess, talk: Talk
) -> None:
    talk.offer("ok@a.example")
    talk.say("RSET")

    assert sandbox.counts()["refused"] == {}
    assert sandbox.recipient("ok@a.example") is None
    sandbox.clear()
    assert sandbox.attempts() == []


def test_what_is_refused_before_mail_is_no_attempt_but_can_be_asked_for(sandbox: SandboxProcess) -> None:
    sandbox.set_domain("*", stage="ehlo", answer="421 4.3.2 Busy")
    talk = sandbox.talk()
    talk.reply()
    assert talk.say("EHLO test") == "421 4.3.2 Busy"
    talk.close()

    assert sandbox.attempts() == []
    assert [one["code"] for one in sandbox.attempts(stage="ehlo")] == [421]


def test_every_connection_is_told_with_its_moment_and_its_greeting(sandbox: SandboxProcess) -> None:
    began = time.time()
    with sandbox.talk():
        pass
    between = time.time()
    sandbox.set_domain("*", stage="banner", preset="busy")
    talk = sandbox.talk()
    assert talk.reply().startswith("421 4.3.2")
    talk.close()

    told = sandbox.connections()

    assert [one["code"] for one in told] == [220, 421]
    assert began <= told[0]["at"] <= between <= told[1]["at"] <= time.time()
    assert sandbox.connections(since=between) == told[1:]
    sandbox.clear()
    assert sandbox.connections() == []


@pytest.mark.parametrize(
    "path", ["/api/attempts?since=now", "/api/attempts?per=hour", "/api/connections?since=nan"]
)
def test_a_question_that_makes_no_sense_is_400(sandbox: SandboxProcess, path: str) -> None:
    assert sandbox.get(path).status_code == 400


# Who may send.


@pytest.fixture(scope="module")
def guarded() -> Iterator[SandboxProcess]:
    with SandboxProcess("--credentials", "relay:pass:word") as process:
        yield process


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


RIGHT, WRONG = encoded("\0relay\0pass:word"), encoded("\0relay\0wrong")


@pytest.mark.parametrize(
    ("lines", "replies"),
    [
        (["AUTH PLAIN " + RIGHT, "MAIL FROM:<>"], ["235 2.7.0", "250"]),
        (["auth plain", encoded("any\0relay\0pass:word"), "MAIL FROM:<>"], ["334", "235 2.7.0", "250"]),
        (
            ["AUTH LOGIN", encoded("relay"), encoded("pass:word"), "MAIL FROM:<>"],
            ["334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6", "235", "250"],
        ),
        ([f"AUTH LOGIN {encoded('relay')}", encoded("pass:word")], ["334 UGFzc3dvcmQ6", "235"]),
        (["AUTH PLAIN " + WRONG, "MAIL FROM:<>"], ["535 5.7.8", "530 5.7.0"]),
        (["AUTH LOGIN", encoded("relay"), encoded("wrong")], ["334", "334", "535 5.7.8"]),
        (["AUTH PLAIN ="], ["535 5.7.8"]),
        (["AUTH PLAIN", "*", "NOOP"], ["334", "501 5.7.0", "250"]),
        (["AUTH PLAIN", "no base64", "NOOP"], ["334", "501 5.5.2", "250"]),
        (["AUTH CRAM-MD5"], ["504 5.5.4"]),
        (["AUTH PLAIN " + RIGHT, "AUTH PLAIN"], ["235", "503"]),
        (["MAIL FROM:<>"], ["530 5.7.0"]),
    ],
)
def test_only_who_knows_the_password_may_send(
    guarded: SandboxProcess, lines: list[str], replies: list[str]
) -> None:
    with guarded.talk() as talk:
        told = [talk.say(line) for line in lines]

    assert [reply[: len(start)] for reply, start in zip(told, replies, strict=True)] == replies


async def test_a_rule_refuses_even_the_right_password(guarded: SandboxProcess) -> None:
    client = aiosmtplib.SMTP(hostname=guarded.host, port=guarded.smtp_port, start_tls=False)
    async with client:
        await client.login("relay", "pass:word")
    guarded.set_domain("*", preset="auth-535")
    async with client:
        with pytest.raises(aiosmtplib.SMTPAuthenticationError, match="authentication failure"):
            await client.login("relay", "pass:word")
    guarded.clear_domain()

    assert guarded.attempts(stage="auth")[-1]["code"] == 535


@pytest.mark.parametrize(
    "options", [["--credentials", "relay"], ["--credentials", "a:b", "--host", "0.0.0.0"]]
)
def test_credentials_are_whole_and_never_cross_a_network(options: list[str]) -> None:
    command = [sys.executable, "-m", "postwerk.sandbox", "--smtp-port", "0", "--http-port", "0", *options]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=20, check=False)

    assert ended.returncode == 2
    assert ended.stderr.startswith("sandbox: credentials ")
