"""A reply belongs to the command before it, or it is a fault: nothing unasked ever counts as an answer."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from postwerk.contracts.smtp import Exchange, Stage, Trouble
from postwerk.rules.reply_class import Decision, Effect, classify
from postwerk.smtp import Conversation, StageLimits, open_conversation
from tests.support.scripted_server import EHLO, LETTER, ScriptedServer, send_one


async def yes() -> bool:
    return True


async def a_conversation(server: ScriptedServer, **limits: float) -> Conversation:
    opened = await open_conversation(server.relay(limits=limits))
    assert isinstance(opened, Conversation)
    return opened


async def send(conversation: Conversation, message: bytes = LETTER) -> Exchange:
    return await conversation.send("news@example.org", "anna@example.net", message, yes)


# A3: bytes left over


async def test_a_250_that_nobody_asked_for_never_becomes_delivered(tmp_path: Path) -> None:
    script = {"data": "354 go ahead\r\n250 2.0.0 queued", "dot": "550 5.7.1 refused"}
    with ScriptedServer(tmp_path, script) as server:
        exchange = await send_one(server.relay())

    assert (exchange.stage, exchange.trouble, exchange.dot_written) == (Stage.DATA, Trouble.PROTOCOL, False)
    assert server.messages == []


async def test_a_second_reply_to_mail_is_never_held_against_the_recipient(tmp_path: Path) -> None:
    with ScriptedServer(tmp_path, {"mail": "250 ok\r\n550 5.1.1 no such user"}) as server:
        exchange = await send_one(server.relay())

    assert (exchange.stage, exchange.trouble) == (Stage.RCPT, Trouble.PROTOCOL)
    assert "RCPT" not in server.verbs


@pytest.mark.parametrize("unasked", ["250 ok", "550 no", "garbage", "250-half\r\n", "2~"])
@pytest.mark.parametrize(
    ("said_at", "noticed_at"),
    [
        ("banner", Stage.EHLO),
        ("ehlo", Stage.EHLO),
        ("mail", Stage.RCPT),
        ("rcpt", Stage.DATA),
        ("data", Stage.DATA),
    ],
)
async def test_what_is_left_over_ends_the_conversation_before_the_next_command(
    tmp_path: Path, said_at: str, noticed_at: Stage, unasked: str
) -> None:
    proper = {"banner": "220 hi", "ehlo": EHLO, "data": "354 go"}.get(said_at, "250 ok")
    with ScriptedServer(tmp_path, {said_at: f"{proper}\r\n{unasked}"}) as server:
        exchange = await send_one(server.relay())

    assert (exchange.stage, exchange.trouble, exchange.dot_written) == (noticed_at, Trouble.PROTOCOL, False)
    assert server.messages == []


@pytest.mark.parametrize("both", ["250 ok\r\n550 no", "550 no\r\n250 ok", "250 ok\r\ngarbage"])
async def test_two_replies_to_the_dot_are_ambiguous(tmp_path: Path, both: str) -> None:
    with ScriptedServer(tmp_path, {"dot": both}) as server:
        exchange = await send_one(server.relay())

    assert (exchange.stage, exchange.trouble, exchange.dot_written) == (Stage.DOT, Trouble.PROTOCOL, True)


async def test_a_reply_between_two_messages_makes_the_connection_unusable(tmp_path: Path) -> None:
    late = {"say": ["250 queued", "250 again"], "pause": 0.05}
    with ScriptedServer(tmp_path, {"dot": late}) as server:
        conversation = await a_conversation(server)
        first = await send(conversation)
        while conversation.usable:
            await asyncio.sleep(0.01)
        second = await send(conversation)

    assert first.reply is not None
    assert first.reply.code == 250
    assert (second.stage, second.trouble, second.dot_written) == (Stage.MAIL, Trouble.PROTOCOL, False)
    assert server.verbs.count("MAIL") == 1


# A4: what a reply may hold


@pytest.mark.parametrize(
    ("said", "text"),
    [
        ("550 caf\xe9", "caf\ufffd"),
        ("550 a\x00b\x1b[2Jc", "ab[2Jc"),
        ("550-one\r\n550 two", "one\ntwo"),
        ("550 " + "x" * 5000, "x" * 1024),
        ("550-" + "\r\n550-".join("abcdefghijkl") + "\r\n550 end", "\n".join("abcdefghij")),
    ],
)
async def test_a_reply_is_stored_clean_and_short(tmp_path: Path, said: str, text: str) -> None:
    with ScriptedServer(tmp_path, {"rcpt": said}) as server:
        exchange = await send_one(server.relay())

    assert exchange.reply is not None
    assert (exchange.reply.code, exchange.reply.text) == (550, text)


# A10: RFC 5321 4.2.5
@pytest.mark.parametrize("code", [200, 211, 250, 251, 252, 299])
async def test_any_2yz_after_the_dot_is_success(tmp_path: Path, code: int) -> None:
    with ScriptedServer(tmp_path, {"dot": f"{code} fine"}) as server:
        exchange = await send_one(server.relay())

    assert exchange.reply is not None
    assert (exchange.stage, exchange.reply.code, exchange.trouble) == (Stage.DOT, code, None)
    assert classify(exchange).effect is Effect.DELIVER


@pytest.mark.parametrize("code", [300, 334, 354, 399])
async def test_a_3yz_after_the_dot_is_ambiguous(tmp_path: Path, code: int) -> None:
    with ScriptedServer(tmp_path, {"dot": f"{code} what"}) as server:
        exchange = await send_one(server.relay())

    assert (exchange.stage, exchange.trouble, exchange.dot_written) == (Stage.DOT, Trouble.PROTOCOL, True)


@pytest.mark.parametrize(
    ("stage", "code"), [("banner", 250), ("ehlo", 354), ("mail", 354), ("rcpt", 354), ("data", 250)]
)
async def test_a_reply_of_the_wrong_kind_is_none(tmp_path: Path, stage: str, code: int) -> None:
    with ScriptedServer(tmp_path, {stage: f"{code} hm"}) as server:
        exchange = await send_one(server.relay())

    assert (exchange.stage, exchange.trouble, exchange.dot_written) == (Stage(stage), Trouble.PROTOCOL, False)


# A11, A12

GARBAGE = [
    *("2_5 ok", "+25 ok", " 25 ok", "-1 ok", "999 ok", "600 ok", "25 ok", "250x", "2500 ok", "hello"),
    *("550-no\r\n250 ok", "250-ok\r\n550 no"),
    *("250 " + "x" * 9000, "x" * 40000 + "~", "\x16\x03\x01~\n"),
]


@pytest.mark.parametrize("garbage", GARBAGE)
@pytest.mark.parametrize("stage", ["banner", "rcpt", "dot"])
async def test_garbage_is_no_reply_and_ends_the_connection(tmp_path: Path, stage: str, garbage: str) -> None:
    with ScriptedServer(tmp_path, {stage: garbage}) as server:
        exchange = await send_one(server.relay())

    assert (exchange.stage, exchange.trouble) == (Stage(stage), Trouble.PROTOCOL)
    assert exchange.dot_written == (stage == "dot")
    assert "QUIT" not in server.verbs
    assert exchange.detail.isprintable()


# A16


async def test_a_421_between_messages_is_noticed_without_a_failure(tmp_path: Path) -> None:
    goodbye = {"say": ["250 queued", "421 4.4.2 idle too long"], "pause": 0.05, "then": "close"}
    with ScriptedServer(tmp_path, {"dot": goodbye}) as server:
        conversation = await a_conversation(server)
        exchange = await send(conversation)
        while conversation.usable:
            await asyncio.sleep(0.01)
        conversation.abort()

    assert exchange.reply is not None
    assert exchange.reply.code == 250


async def test_a_421_in_the_same_segment_as_the_250_does_not_spoil_it(tmp_path: Path) -> None:
    with ScriptedServer(tmp_path, {"dot": "250 queued\r\n421 and goodbye"}) as server:
        conversation = await a_conversation(server)
        exchange = await send(conversation)
        usable = conversation.usable
        conversation.abort()

    assert exchange.reply is not None
    assert (exchange.reply.code, exchange.trouble) == (250, None)
    assert not usable


async def test_a_421_before_the_next_command_is_its_reply(tmp_path: Path) -> None:
    with ScriptedServer(tmp_path, {"rcpt": "250 ok\r\n421 4.3.2 shutting down"}) as server:
        exchange = await send_one(server.relay())

    assert exchange.reply is not None
    assert (exchange.stage, exchange.reply.code, exchange.dot_written) == (Stage.DATA, 421, False)


@pytest.mark.parametrize("stage", ["mail", "rcpt", "data", "dot"])
async def test_a_421_closes_the_connection_even_if_the_server_does_not(tmp_path: Path, stage: str) -> None:
    with ScriptedServer(tmp_path, {stage: "421 4.7.0 try later"}) as server:
        conversation = await a_conversation(server)
        exchange = await send(conversation)
        usable = conversation.usable
        conversation.abort()

    assert exchange.reply is not None
    assert (exchange.stage, exchange.reply.code) == (Stage(stage), 421)
    assert not usable


# A24, what aiosmtplib does well and must go on doing


@pytest.mark.parametrize("stage", ["mail", "dot"])
@pytest.mark.parametrize("said", [{"say": "250 ok\n"}, {"say": "250-split\r\n250 reply", "drip": 0.002}])
async def test_odd_but_readable_replies_are_read(tmp_path: Path, stage: str, said: dict[str, Any]) -> None:
    with ScriptedServer(tmp_path, {stage: said}) as server:
        exchange = await send_one(server.relay())

    assert exchange.reply is not None
    assert (exchange.stage, exchange.reply.code) == (Stage.DOT, 250)


@pytest.mark.parametrize("said", ["250 " + "x" * 500, "250-x\r\n" * 200])
async def test_a_reply_that_drips_is_cut_at_the_limit(tmp_path: Path, said: str) -> None:
    with ScriptedServer(tmp_path, {"mail": {"say": said, "drip": 0.02}}) as server:
        exchange = await send_one(server.relay(limits={"mail": 0.3}))

    assert (exchange.stage, exchange.trouble) == (Stage.MAIL, Trouble.TIMEOUT)
    assert exchange.milliseconds < 3000


# Long, dirty and cut off: what the reply is worth is decided all the same

DIRTY = "".join(chr(byte) for byte in range(256) if chr(byte) not in "\r\n")


def lines_of(code: int, count: int) -> str:
    return "".join(f"{code}-line {number}\r\n" for number in range(1, count)) + f"{code} last"


@pytest.mark.parametrize(
    ("said", "text"),
    [
        *((lines_of(550, count), "\n".join(f"line {n}" for n in range(1, 11))) for count in (50, 301, 701)),
        (f"550 {DIRTY}", None),
        ("550 \xef\xbb\xbfno", "no"),  # a byte order mark
        ("550", ""),
        ("550 ", ""),
        ("550-\r\n550", ""),
        ({"say": "550 5.7.1 caf\xe9", "drip": 0.002}, "5.7.1 caf\ufffd"),
    ],
)
async def test_a_refusal_stays_one_however_it_is_said(tmp_path: Path, said: Any, text: str | None) -> None:
    with ScriptedServer(tmp_path, {"rcpt": said}) as server:
        exchange = await send_one(server.relay())

    assert exchange.reply is not None
    assert classify(exchange).effect is Effect.BOUNCE
    assert len(exchange.reply.text.encode()) <= 1024
    assert exchange.reply.text.replace("\n", "").isprintable()
    assert text is None or exchange.reply.text == text


@pytest.mark.parametrize(
    "said",
    [*(lines_of(250, count) for count in (50, 301, 701)), f"250 {DIRTY}", "250", "250 ", "299 \xff\xfe"],
)
async def test_a_delivery_stays_one_however_it_is_said(tmp_path: Path, said: str) -> None:
    with ScriptedServer(tmp_path, {"dot": said}) as server:
        exchange = await send_one(server.relay())

    assert classify(exchange).effect is Effect.DELIVER


UNREADABLE = [
    *("000 ok", "550-no\r\n250 ok", "250-ok\r\n550 no", "\xef\xbb\xbf250 ok", DIRTY),
    "x" * 100_000 + "~",  # a line without end
    "250-and so on\r\n" * 5_000,  # lines without end
]


@pytest.mark.parametrize("said", UNREADABLE)
@pytest.mark.parametrize(("stage", "effect"), [("rcpt", Effect.RETRY), ("dot", Effect.AMBIGUOUS)])
async def test_nobody_bounces_or_is_delivered_to_by_a_reply_that_is_none(
    tmp_path: Path, stage: str, effect: Effect, said: str
) -> None:
    with ScriptedServer(tmp_path, {stage: said}) as server:
        exchange = await send_one(server.relay())

    assert (exchange.stage, exchange.trouble) == (Stage(stage), Trouble.PROTOCOL)
    assert classify(exchange).effect is effect
    assert len(exchange.detail.encode()) <= 1024
    assert exchange.detail.isprintable()


@pytest.mark.parametrize(("stage", "effect"), [("rcpt", Effect.RETRY), ("dot", Effect.AMBIGUOUS)])
async def test_a_reply_that_ends_in_a_lone_cr_has_not_ended(
    tmp_path: Path, stage: str, effect: Effect
) -> None:
    with ScriptedServer(tmp_path, {stage: "550 no\r"}) as server:
        exchange = await send_one(server.relay(limits={stage: 0.3}))

    assert (exchange.stage, exchange.trouble) == (Stage(stage), Trouble.TIMEOUT)
    assert classify(exchange).effect is effect


# A2, with the limits of production


async def refused_and_left_hanging(folder: Path, stage: str) -> tuple[Exchange, float]:
    """The exchange, and the seconds until the connection was closed."""
    with ScriptedServer(folder, {stage: "550 5.1.1 no such user", "rset": "hang", "quit": "hang"}) as server:
        conversation = await open_conversation(replace(server.relay(), limits=StageLimits()))
        assert isinstance(conversation, Conversation)
        started = time.monotonic()
        exchange = await send(conversation)
        await conversation.quit()
        return exchange, time.monotonic() - started


async def test_a_refusal_is_final_within_six_seconds_though_the_goodbye_hangs(tmp_path: Path) -> None:
    folders = {stage: tmp_path / stage for stage in ("rcpt", "dot")}
    for folder in folders.values():
        folder.mkdir()
    ended = await asyncio.gather(*(refused_and_left_hanging(folders[stage], stage) for stage in folders))

    for exchange, seconds in ended:
        assert classify(exchange) == Decision(Effect.BOUNCE, "user_unknown", suppress=True)
        assert exchange.milliseconds < 1000
        assert seconds < 6
