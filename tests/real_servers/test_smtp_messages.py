"""What goes over the wire, what we keep back ourselves, and how large or refused messages end."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from postwerk.contracts.mail import Mail
from postwerk.contracts.smtp import Exchange, Stage, Trouble
from postwerk.smtp import Conversation, open_conversation
from tests.support.scripted_server import LETTER, ScriptedServer, send_one

LARGE = b"Subject: large\r\n\r\n" + (b"x" * 74 + b"\r\n") * 60_000  # 4.5 MB
HEAD = b"Subject: x\r\n\r\n"


def offers(*extensions: str) -> dict[str, Any]:
    return {"ehlo": "\r\n".join(["250-hi", *(f"250-{name}" for name in extensions), "250 HELP"])}


async def yes() -> bool:
    return True


async def no() -> bool:
    return False


async def a_conversation(server: ScriptedServer, **limits: float) -> Conversation:
    opened = await open_conversation(server.relay(limits=limits))
    assert isinstance(opened, Conversation)
    return opened


async def send(conversation: Conversation, recipient: str = "anna@example.net") -> Exchange:
    return await conversation.send("news@example.org", recipient, LETTER, yes)


# A24: dot-stuffing and line ends, judged by the raw bytes


@pytest.mark.parametrize(
    ("body", "wire"),
    [
        (b"plain\r\n", b"plain\r\n"),
        (b"no end", b"no end\r\n"),
        (b".\r\n", b"..\r\n"),
        (b"a\r\n.\r\nb\r\n", b"a\r\n..\r\nb\r\n"),
        (b"..two\r\n", b"...two\r\n"),
        (b"a\r\n.b\r\n.c\r\n", b"a\r\n..b\r\n..c\r\n"),
        (b"\r\n.\r\n.\r\n", b"\r\n..\r\n..\r\n"),
        (b"a.b\r\n", b"a.b\r\n"),
        (b"end\r\n.", b"end\r\n..\r\n"),
    ],
)
async def test_the_wire_holds_the_message_with_its_dots_doubled(
    tmp_path: Path, body: bytes, wire: bytes
) -> None:
    with ScriptedServer(tmp_path) as server:
        await send_one(server.relay(), HEAD + body)

    assert server.messages == [HEAD + wire + b".\r\n"]


async def test_a_message_that_begins_with_a_dot_is_stuffed_too(tmp_path: Path) -> None:
    with ScriptedServer(tmp_path) as server:
        await send_one(server.relay(), b".x: y\r\n\r\n")

    assert server.messages == [b"..x: y\r\n\r\n.\r\n"]


# RFC 5321 2.3.8: smuggling
@pytest.mark.parametrize(
    "body",
    [
        b"a\nb\r\n",
        b"a\rb\r\n",
        b"a\n.\n",
        b"a\r\n.\r",
        b"a\n.\r\nMAIL FROM:<x@y>\r\n",
        b"\r\r\n",
        b"a\0b\r\n",
    ],
)
async def test_a_bare_line_end_or_nul_never_leaves(tmp_path: Path, body: bytes) -> None:
    with ScriptedServer(tmp_path) as server:
        exchange = await send_one(server.relay(), HEAD + body)

    assert (exchange.stage, exchange.trouble) == (Stage.MAIL, Trouble.LOCAL)
    assert server.verbs == ["EHLO", "QUIT"]


# A19, what may stand in an address


@pytest.mark.parametrize(
    "address",
    [
        *("", "anna", "anna@example.net SIZE=1", "anna@example.net\r\nDATA", "a@b.org, c@d.org", "a;b@c.org"),
        *("<anna@example.net>", "Anna <anna@example.net>", '"first"last@iana.org', "anna@example.net\n"),
        *("anna @example.net", "an\x00na@example.net", "anna@exa\u200bmple.net", "x" * 400 + "@example.net"),
    ],
)
async def test_an_address_that_would_change_or_inject_never_leaves(tmp_path: Path, address: str) -> None:
    with ScriptedServer(tmp_path, offers("SMTPUTF8")) as server:
        exchange = await send_one(server.relay(), recipient=address)

    assert (exchange.stage, exchange.trouble) == (Stage.MAIL, Trouble.LOCAL)
    assert server.verbs == ["EHLO", "QUIT"]
    assert not address or address not in exchange.detail


@pytest.mark.parametrize("address", ["Anna.O'Neil+tag@Example.net", "#!$%&'*/=?^_`{|}~-@example.net"])
async def test_an_ordinary_address_goes_out_as_it_is(tmp_path: Path, address: str) -> None:
    with ScriptedServer(tmp_path) as server:
        exchange = await send_one(server.relay(), recipient=address)

    assert exchange.stage is Stage.DOT
    assert server.lines[2] == f"RCPT TO:<{address}>"


async def test_the_null_sender_works(tmp_path: Path) -> None:
    with ScriptedServer(tmp_path, offers()) as server:
        await send_one(server.relay(), sender="")

    assert server.lines[1] == "MAIL FROM:<>"


async def test_smtputf8_is_asked_for_only_where_it_is_needed_and_offered(tmp_path: Path) -> None:
    with ScriptedServer(tmp_path, offers("SMTPUTF8")) as server:
        plain = await send_one(server.relay())
        umlaut = await send_one(server.relay(), recipient="jürgen@example.net")

    assert (plain.stage, umlaut.stage) == (Stage.DOT, Stage.DOT)
    assert [line for line in server.lines if line.startswith("MAIL")] == [
        "MAIL FROM:<news@example.org>",
        "MAIL FROM:<news@example.org> SMTPUTF8",
    ]
    assert "TO:<jürgen@example.net>".encode().decode("latin-1") in server.raw


@pytest.mark.parametrize(("offered", "trouble"), [(True, None), (False, Trouble.SMTPUTF8_NOT_OFFERED)])
async def test_an_address_of_utf8_in_a_header_needs_it_too(
    tmp_path: Path, offered: bool, trouble: Trouble | None
) -> None:
    """RFC 6531 3.4: also where the envelope is plain ASCII."""
    letter = "From: jürgen@example.org\r\n\r\nHello\r\n".encode()
    with ScriptedServer(tmp_path, offers("8BITMIME", *(["SMTPUTF8"] if offered else []))) as server:
        exchange = await send_one(server.relay(), letter)

    assert exchange.trouble == trouble
    if offered:
        assert server.lines[1] == "MAIL FROM:<news@example.org> BODY=8BITMIME SMTPUTF8"


async def test_what_all_messages_share_follows_their_own_bytes_uncopied(tmp_path: Path) -> None:
    own, shared = HEAD + b"a\r\n.b\r\n", b"".join(b"%072d\r\n" % n for n in range(20_000))
    with ScriptedServer(tmp_path, offers("SIZE 0")) as server:
        conversation = await a_conversation(server)
        exchange = await conversation.send("news@example.org", "anna@example.net", Mail(own, shared), yes)
        await conversation.quit()

    assert exchange.reply is not None
    assert server.messages == [HEAD + b"a\r\n..b\r\n" + shared + b".\r\n"]
    assert f"SIZE={len(own) + len(shared)}" in server.lines[1]


async def test_without_smtputf8_such_an_address_is_our_own_refusal(tmp_path: Path) -> None:
    with ScriptedServer(tmp_path) as server:
        exchange = await send_one(server.relay(), recipient="jürgen@example.net")

    assert (exchange.stage, exchange.trouble) == (Stage.MAIL, Trouble.SMTPUTF8_NOT_OFFERED)
    assert "SMTPUTF8" in exchange.detail


# A20, A23: nothing is asked for that is not offered


async def test_a_server_without_extensions_gets_no_parameters(tmp_path: Path) -> None:
    with ScriptedServer(tmp_path, {"ehlo": "250 hi"}) as server:
        exchange = await send_one(server.relay())

    assert exchange.stage is Stage.DOT
    assert server.lines[1:3] == ["MAIL FROM:<news@example.org>", "RCPT TO:<anna@example.net>"]


async def test_eight_bit_content_goes_only_to_a_server_that_takes_it(tmp_path: Path) -> None:
    with ScriptedServer(tmp_path, offers("8BITMIME"), offers()) as server:
        taken = await send_one(server.relay(), HEAD + "ü\r\n".encode())
        kept = await send_one(server.relay(), HEAD + "ü\r\n".encode())

    assert taken.stage is Stage.DOT
    assert "MAIL FROM:<news@example.org> BODY=8BITMIME" in server.lines
    assert (kept.stage, kept.trouble) == (Stage.MAIL, Trouble.LOCAL)


# A21, the server's SIZE


@pytest.mark.parametrize(
    ("size", "sent"), [("SIZE 10", False), (f"SIZE {len(LETTER)}", True), ("SIZE 0", True), ("SIZE", True)]
)
async def test_a_message_larger_than_the_server_takes_is_not_even_begun(
    tmp_path: Path, size: str, sent: bool
) -> None:
    with ScriptedServer(tmp_path, offers(size)) as server:
        exchange = await send_one(server.relay())

    assert (exchange.trouble is None) == sent
    if sent:
        assert server.lines[1] == f"MAIL FROM:<news@example.org> SIZE={len(LETTER)}"
    else:
        assert (exchange.stage, exchange.trouble) == (Stage.MAIL, Trouble.TOO_BIG)
        assert "MAIL" not in server.verbs


async def test_our_own_refusal_leaves_the_connection_usable(tmp_path: Path) -> None:
    with ScriptedServer(tmp_path) as server:
        conversation = await a_conversation(server)
        refused = await send(conversation, "not an address")
        sent = await send(conversation)
        await conversation.quit()

    assert (refused.trouble, sent.stage) == (Trouble.LOCAL, Stage.DOT)
    assert conversation.messages == 1
    assert server.accepted == 1


# A2, A15: a refusal is kept, and the connection too


@pytest.mark.parametrize(
    ("stage", "code"), [("mail", 550), ("mail", 451), ("rcpt", 550), ("rcpt", 450), ("data", 554)]
)
async def test_after_a_refusal_the_next_message_goes_over_the_same_connection(
    tmp_path: Path, stage: str, code: int
) -> None:
    proper = "354 go" if stage == "data" else "250 ok"
    with ScriptedServer(tmp_path, {stage: [f"{code} no", proper]}) as server:
        conversation = await a_conversation(server)
        refused = await send(conversation)
        verbs_before = server.verbs
        sent = await send(conversation, "bert@example.net")
        await conversation.quit()

    assert refused.reply is not None
    assert (refused.stage, refused.reply.code, refused.dot_written) == (Stage(stage), code, False)
    assert "RSET" not in verbs_before  # only when the next message needs it
    assert sent.stage is Stage.DOT
    assert server.verbs.count("RSET") == 1
    assert (server.accepted, len(server.messages)) == (1, 1)


@pytest.mark.parametrize("fault", ["hang", "close", "reset", "550 no", "421 bye"])
@pytest.mark.parametrize("stage", ["rcpt", "dot"])
async def test_a_refusal_is_not_lost_when_reset_or_quit_fail(tmp_path: Path, stage: str, fault: str) -> None:
    with ScriptedServer(tmp_path, {stage: "550 5.1.1 no such user", "rset": fault, "quit": fault}) as server:
        started = time.monotonic()
        exchange = await send_one(server.relay())

    assert exchange.reply is not None
    assert (exchange.stage, exchange.reply.code) == (Stage(stage), 550)
    assert time.monotonic() - started < 3


async def test_after_a_refused_dot_no_reset_is_needed(tmp_path: Path) -> None:
    with ScriptedServer(tmp_path, {"dot": ["550 no", "250 ok"]}) as server:
        conversation = await a_conversation(server)
        refused, sent = await send(conversation), await send(conversation)
        await conversation.quit()

    assert refused.reply is not None
    assert sent.reply is not None
    assert (refused.reply.code, sent.reply.code) == (550, 250)
    assert "RSET" not in server.verbs


@pytest.mark.parametrize("rset", ["550 no", "close", "hang"])
async def test_a_failed_reset_belongs_to_no_recipient(tmp_path: Path, rset: str) -> None:
    with ScriptedServer(tmp_path, {"rcpt": ["550 no", "250 ok"], "rset": rset}) as server:
        conversation = await a_conversation(server, mail=0.4)
        await send(conversation)
        second = await send(conversation)
        conversation.abort()

    assert (second.stage, second.dot_written) == (Stage.MAIL, False)
    assert server.verbs.count("MAIL") == 1


async def test_a_message_that_is_no_longer_ours_stays_at_home(tmp_path: Path) -> None:
    with ScriptedServer(tmp_path) as server:
        conversation = await a_conversation(server)
        kept = await conversation.send("news@example.org", "anna@example.net", LETTER, no)
        sent = await send(conversation)
        await conversation.quit()

    assert (kept.stage, kept.trouble, kept.detail) == (Stage.DATA, Trouble.LOCAL, "no longer ours")
    assert not kept.dot_written
    assert sent.stage is Stage.DOT
    assert server.verbs == ["EHLO", "MAIL", "RCPT", "RSET", "MAIL", "RCPT", "DATA", "QUIT"]


async def test_the_message_is_claimed_between_rcpt_and_data(tmp_path: Path) -> None:
    seen: list[str] = []
    with ScriptedServer(tmp_path) as server:

        async def claim() -> bool:
            seen.extend(server.verbs)
            return True

        conversation = await a_conversation(server)
        await conversation.send("news@example.org", "anna@example.net", LETTER, claim)
        await conversation.quit()

    assert seen == ["EHLO", "MAIL", "RCPT"]


async def test_a_refused_recipient_is_not_claimed(tmp_path: Path) -> None:
    async def never() -> bool:
        raise AssertionError("claimed")

    with ScriptedServer(tmp_path, {"rcpt": "550 no"}) as server:
        conversation = await a_conversation(server)
        exchange = await conversation.send("news@example.org", "anna@example.net", LETTER, never)
        await conversation.quit()

    assert exchange.stage is Stage.RCPT


# a full disk and a database's timeout are OSErrors, as a lost connection is
@pytest.mark.parametrize("error", [LookupError, OSError, TimeoutError, ConnectionError])
async def test_a_claim_that_fails_aborts_the_connection_and_comes_out(
    tmp_path: Path, error: type[Exception]
) -> None:
    async def broken() -> bool:
        raise error("the journal is gone")

    with ScriptedServer(tmp_path) as server:
        conversation = await a_conversation(server)
        with pytest.raises(error, match="journal"):
            await conversation.send("news@example.org", "anna@example.net", LETTER, broken)

    assert not conversation.usable
    assert "DATA" not in server.verbs


# A8, A17: large messages


async def test_a_large_message_arrives_whole(tmp_path: Path) -> None:
    large = LARGE.replace(b"xxx\r\n", b"xxx\r\n.", 20_000)
    with ScriptedServer(tmp_path) as server:
        exchange = await send_one(server.relay(), large + b"\r\n")

    assert exchange.reply is not None
    assert server.messages == [(large + b"\r\n").replace(b"\r\n.", b"\r\n..") + b".\r\n"]


async def test_a_reader_who_stands_still_is_noticed_before_the_dot(tmp_path: Path) -> None:
    with ScriptedServer(tmp_path, {"body": "hang"}, receive_buffer=4096) as server:
        exchange = await send_one(server.relay(limits={"block": 0.4}), LARGE)

    assert (exchange.stage, exchange.trouble, exchange.dot_written) == (Stage.DATA, Trouble.TIMEOUT, False)
    assert exchange.milliseconds < 3000


async def test_a_slow_but_steady_reader_is_not_cut(tmp_path: Path) -> None:
    steady = {"chunk": 65536, "wait": 0.02}
    with ScriptedServer(tmp_path, {"body": steady}, receive_buffer=65536) as server:
        exchange = await send_one(server.relay(limits={"block": 0.4, "dot": 2}), LARGE)

    assert exchange.reply is not None
    assert exchange.milliseconds > 1000  # more than twice the limit for standing still


async def test_a_reader_who_drips_is_cut_in_the_end(tmp_path: Path) -> None:
    drip = {"chunk": 65536, "wait": 0.1}
    with ScriptedServer(tmp_path, {"body": drip}, receive_buffer=65536) as server:
        exchange = await send_one(server.relay(limits={"block": 0.4, "slowest_upload": 10_000_000}), LARGE)

    assert (exchange.stage, exchange.trouble, exchange.dot_written) == (Stage.DATA, Trouble.TIMEOUT, False)


@pytest.mark.parametrize("then", ["close", "reset", "hang"])
async def test_a_refusal_in_the_middle_of_the_message_is_kept(tmp_path: Path, then: str) -> None:
    # the first 16 KB lie in the server's buffer, so that "reset" has unread bytes to throw away
    early = {"after": 100_000, "say": "552 5.3.4 too large", "then": then}
    with ScriptedServer(tmp_path, {"body": early}, receive_buffer=65536) as server:
        exchange = await send_one(server.relay(limits={"block": 2, "dot": 2}), LARGE)

    assert (exchange.stage, exchange.dot_written) == (Stage.DATA, False)
    if then == "hang":  # a reset may overtake the reply: then the connection is just lost
        assert exchange.reply is not None
    assert exchange.reply is None or exchange.reply.code == 552
    assert exchange.reply is not None or exchange.trouble is Trouble.LOST


@pytest.mark.parametrize("then", ["close", "reset"])
async def test_a_server_lost_in_the_middle_of_the_message_has_not_got_it(tmp_path: Path, then: str) -> None:
    with ScriptedServer(tmp_path, {"body": {"after": 100_000, "then": then}}, receive_buffer=65536) as server:
        exchange = await send_one(server.relay(limits={"block": 2, "dot": 2}), LARGE)

    assert (exchange.stage, exchange.trouble, exchange.dot_written) == (Stage.DATA, Trouble.LOST, False)


async def test_a_250_in_the_middle_of_the_message_is_no_delivery(tmp_path: Path) -> None:
    early = {"after": 100_000, "say": "250 queued"}
    with ScriptedServer(tmp_path, {"body": early}, receive_buffer=65536) as server:
        exchange = await send_one(server.relay(limits={"block": 2, "dot": 2}), LARGE)

    assert (exchange.stage, exchange.trouble, exchange.dot_written) == (Stage.DATA, Trouble.PROTOCOL, False)
