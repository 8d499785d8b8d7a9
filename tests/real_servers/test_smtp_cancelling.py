"""Cancelled before the dot: gone at once. Cancelled after it: the answer is waited for and comes out."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Any

import pytest

from postwerk.contracts.smtp import Exchange, Stage, Trouble
from postwerk.smtp import Conversation, RelayConfig, open_conversation
from tests.support.scripted_server import LETTER, ScriptedServer, send_one

LARGE = b"Subject: large\r\n\r\n" + (b"x" * 74 + b"\r\n") * 60_000


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


async def until(condition: Any) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.01)


async def files_once_warm(relay: RelayConfig) -> int:
    """Open files after a first conversation, which opens the event loop's own ones too."""
    await send_one(relay)
    await asyncio.sleep(0.05)  # a closed transport gives its socket back a little later
    return open_files()


async def yes() -> bool:
    return True


async def a_conversation(server: ScriptedServer, **limits: float) -> Conversation:
    opened = await open_conversation(server.relay(limits=limits))
    assert isinstance(opened, Conversation)
    return opened


def start(conversation: Conversation, message: bytes = LETTER) -> asyncio.Task[Exchange]:
    return asyncio.create_task(conversation.send("news@example.org", "anna@example.net", message, yes))


# A6


@pytest.mark.parametrize("stage", ["mail", "rcpt", "data"])
async def test_a_cancel_before_the_dot_ends_at_once_and_sends_nothing_more(
    tmp_path: Path, stage: str
) -> None:
    with ScriptedServer(tmp_path, {stage: "hang"}) as server:
        conversation = await a_conversation(server, **{stage: 30})
        sending = start(conversation)
        await until(lambda: server.verbs[-1:] == [stage.upper()])
        started = time.monotonic()
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending

    assert time.monotonic() - started < 2  # not the thirty seconds of the stage
    assert not conversation.usable
    assert server.verbs[-1] == stage.upper()  # neither QUIT nor RSET


async def test_a_cancel_during_the_upload_ends_at_once_without_a_dot(tmp_path: Path) -> None:
    with ScriptedServer(tmp_path, {"body": "hang"}, receive_buffer=4096) as server:
        conversation = await a_conversation(server, block=30)
        sending = start(conversation, LARGE)
        await until(lambda: server.verbs[-1:] == ["DATA"])
        await asyncio.sleep(0.05)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending

    assert server.messages == []


@pytest.mark.parametrize("cancels", [1, 3])
async def test_a_cancel_after_the_dot_still_brings_the_answer(tmp_path: Path, cancels: int) -> None:
    with ScriptedServer(tmp_path, {"dot": {"wait": 0.3, "say": "250 2.0.0 queued"}}) as server:
        conversation = await a_conversation(server, dot=5)
        sending = start(conversation)
        await until(lambda: server.messages)
        for _ in range(cancels):
            sending.cancel()
            await asyncio.sleep(0.01)
        exchange = await sending
        await conversation.quit()

    assert exchange.reply is not None
    assert (exchange.stage, exchange.reply.code) == (Stage.DOT, 250)
    assert sending.cancelling() == cancels  # how the caller sees that it was cancelled


async def test_a_cancel_that_meets_the_answer_does_not_lose_it(tmp_path: Path) -> None:
    """The reply is read and the task not yet woken: task.cancel() comes in between."""
    with ScriptedServer(tmp_path) as server:
        conversation = await a_conversation(server)
        sending = start(conversation)
        protocol = conversation._protocol
        take = protocol.data_received

        def take_and_cancel(data: bytes) -> None:
            take(data)
            if data.startswith(b"250 2.0.0 queued"):
                sending.cancel()

        protocol.data_received = take_and_cancel  # type: ignore[method-assign]
        exchange = await sending
        await conversation.quit()

    assert exchange.reply is not None
    assert exchange.reply.code == 250


async def test_the_wait_after_a_cancel_is_bounded_by_the_limit_for_the_dot(tmp_path: Path) -> None:
    with ScriptedServer(tmp_path, {"dot": "hang"}) as server:
        conversation = await a_conversation(server, dot=0.3)
        sending = start(conversation)
        await until(lambda: server.messages)
        sending.cancel()
        exchange = await sending

    assert (exchange.stage, exchange.trouble, exchange.dot_written) == (Stage.DOT, Trouble.TIMEOUT, True)


async def test_a_cancelled_opening_leaves_no_socket(tmp_path: Path) -> None:
    with ScriptedServer(tmp_path, {"banner": "hang"}) as server:
        before = await files_once_warm(server.relay(limits={"banner": 0.1}))
        opening = asyncio.create_task(open_conversation(server.relay(limits={"banner": 30, "opening": 30})))
        await until(lambda: server.accepted == 2)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        await until(lambda: open_files() <= before)


# A7


@pytest.mark.parametrize("fault", [{"body": "hang"}, {"dot": "hang"}, {"quit": "hang"}, {"mail": "hang"}])
async def test_hung_connections_leave_no_socket_behind(tmp_path: Path, fault: dict[str, Any]) -> None:
    message = LARGE if "body" in fault else LETTER
    with ScriptedServer(tmp_path, fault, receive_buffer=4096) as server:
        relay = server.relay(limits={"mail": 0.3, "block": 0.3, "dot": 0.3})
        before = await files_once_warm(relay)
        await asyncio.gather(*(send_one(relay, message) for _ in range(30)))
        await until(lambda: open_files() <= before)


async def test_quit_takes_no_longer_than_its_limit(tmp_path: Path) -> None:
    with ScriptedServer(tmp_path, {"quit": "hang"}) as server:
        conversation = await a_conversation(server, quit=0.2)
        started = time.monotonic()
        await conversation.quit()

    assert 0.15 < time.monotonic() - started < 2
    assert not conversation.usable


async def test_a_busy_conversation_takes_no_second_message(tmp_path: Path) -> None:
    with ScriptedServer(tmp_path, {"mail": "hang"}) as server:
        conversation = await a_conversation(server, mail=0.3)
        sending = start(conversation)
        await asyncio.sleep(0)
        assert not conversation.usable
        with pytest.raises(RuntimeError):
            await conversation.send("news@example.org", "bert@example.net", LETTER, yes)
        assert (await sending).trouble is Trouble.TIMEOUT
