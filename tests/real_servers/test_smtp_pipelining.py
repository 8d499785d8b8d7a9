"""MAIL and RCPT in one write (RFC 2920), where the server offers it: faster, and no less careful."""

from __future__ import annotations

from pathlib import Path

import pytest

from postwerk.contracts.smtp import Exchange, Stage, Trouble
from postwerk.smtp import Conversation, open_conversation
from tests.support.scripted_server import EHLO, LETTER, ScriptedServer

PIPELINING = EHLO.replace("250 8BITMIME", "250-8BITMIME\r\n250 PIPELINING")


async def yes() -> bool:
    return True


async def a_conversation(server: ScriptedServer, **settings: object) -> Conversation:
    opened = await open_conversation(server.relay(**settings))
    assert isinstance(opened, Conversation)
    return opened


async def send(conversation: Conversation) -> Exchange:
    return await conversation.send("news@example.org", "anna@example.net", LETTER, yes)


async def test_a_message_is_delivered_and_the_next_one_too(tmp_path: Path) -> None:
    with ScriptedServer(tmp_path, {"ehlo": PIPELINING}) as server:
        conversation = await a_conversation(server)
        first, second = await send(conversation), await send(conversation)
        await conversation.quit()

    assert first.reply is not None
    assert second.reply is not None
    assert (first.reply.code, second.reply.code) == (250, 250)
    assert server.verbs == ["EHLO", "MAIL", "RCPT", "DATA", "MAIL", "RCPT", "DATA", "QUIT"]
    assert len(server.messages) == 2


async def test_a_refused_recipient_leaves_the_connection_good_for_the_next(tmp_path: Path) -> None:
    script = {"ehlo": PIPELINING, "rcpt": ["550 5.1.1 no such user", "250 ok"]}
    with ScriptedServer(tmp_path, script) as server:
        conversation = await a_conversation(server)
        refused, taken = await send(conversation), await send(conversation)
        await conversation.quit()

    assert refused.reply is not None
    assert (refused.stage, refused.reply.code) == (Stage.RCPT, 550)
    assert taken.reply is not None
    assert (taken.stage, taken.reply.code) == (Stage.DOT, 250)
    assert "RSET" in server.verbs


@pytest.mark.parametrize("rcpt", ["250 ok", "503 5.5.1 MAIL first", "hang", "close"])
async def test_a_refused_sender_is_told_whatever_rcpt_is_answered(tmp_path: Path, rcpt: str) -> None:
    script = {"ehlo": PIPELINING, "mail": "553 5.1.8 who are you", "rcpt": rcpt}
    with ScriptedServer(tmp_path, script) as server:
        conversation = await a_conversation(server, limits={"quit": 0.3})
        exchange = await send(conversation)
        conversation.abort()

    assert exchange.reply is not None
    assert (exchange.stage, exchange.reply.code) == (Stage.MAIL, 553)
    assert server.messages == []


async def test_a_second_reply_to_mail_is_never_held_against_the_recipient(tmp_path: Path) -> None:
    script = {"ehlo": PIPELINING, "mail": "250 ok\r\n550 5.1.1 no such user"}
    with ScriptedServer(tmp_path, script) as server:
        conversation = await a_conversation(server)
        exchange = await send(conversation)

    assert (exchange.reply, exchange.trouble) == (None, Trouble.PROTOCOL)
    assert not conversation.usable
    assert server.messages == []


async def test_a_second_good_reply_to_mail_never_becomes_delivered(tmp_path: Path) -> None:
    """Its recipient is refused in truth, one reply later."""
    script = {"ehlo": PIPELINING, "mail": "250 ok\r\n250 ok again", "rcpt": "550 5.1.1 no such user"}
    with ScriptedServer(tmp_path, script) as server:
        conversation = await a_conversation(server)
        exchange = await send(conversation)

    assert exchange.dot_written is False
    assert exchange.trouble is Trouble.PROTOCOL or (exchange.reply and exchange.reply.code == 550)
    assert server.messages == []


@pytest.mark.parametrize("at", ["mail", "rcpt"])
@pytest.mark.parametrize(
    ("does", "trouble"), [("hang", Trouble.TIMEOUT), ("close", Trouble.LOST), ("reset", Trouble.LOST)]
)
async def test_whatever_breaks_before_the_dot_is_surely_not_delivered(
    tmp_path: Path, at: str, does: str, trouble: Trouble
) -> None:
    with ScriptedServer(tmp_path, {"ehlo": PIPELINING, at: does}) as server:
        conversation = await a_conversation(server, limits={"mail": 0.3, "rcpt": 0.3})
        exchange = await send(conversation)

    assert (exchange.stage, exchange.trouble, exchange.dot_written) == (Stage(at), trouble, False)
    assert not conversation.usable


async def test_a_421_to_mail_closes_the_connection_and_is_told(tmp_path: Path) -> None:
    script = {"ehlo": PIPELINING, "mail": {"say": "421 4.7.0 too many messages", "then": "close"}}
    with ScriptedServer(tmp_path, script) as server:
        conversation = await a_conversation(server)
        exchange = await send(conversation)

    assert exchange.reply is not None
    assert (exchange.stage, exchange.reply.code) == (Stage.MAIL, 421)
    assert not conversation.usable


async def test_it_can_be_switched_off(tmp_path: Path) -> None:
    with ScriptedServer(tmp_path, {"ehlo": PIPELINING, "mail": "550 5.7.1 no"}) as server:
        conversation = await a_conversation(server, pipelining=False)
        await send(conversation)
        conversation.abort()

    assert "RCPT" not in server.verbs
