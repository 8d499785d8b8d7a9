"""Connections are kept, counted and given back: none too many, none leaked, no lane in another's way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from postwerk.contracts.smtp import Exchange, Stage, Trouble
from postwerk.errors import ConfigurationError
from postwerk.smtp import ConnectionPool, Lease, PoolLimits
from tests.support.metrics import Growth
from tests.support.scripted_server import LETTER, ScriptedServer

SOON = timedelta(seconds=2)
NOW = timedelta(seconds=0.02)
LANE = "relay/example.net"


@asynccontextmanager
async def a_pool(server: ScriptedServer, **limits: Any) -> AsyncIterator[ConnectionPool]:
    relay = server.relay(limits=limits.pop("stages", {}))
    pool = ConnectionPool(relay, PoolLimits(**limits))
    try:
        yield pool
    finally:
        await pool.close()


async def a_lease(pool: ConnectionPool, lane: str = LANE) -> Lease:
    lease = await pool.acquire(lane, SOON)
    assert isinstance(lease, Lease)
    return lease


async def yes() -> bool:
    return True


async def send(lease: Lease) -> Exchange:
    return await lease.send("news@example.org", "anna@example.net", LETTER, yes)


async def send_over(pool: ConnectionPool, lane: str = LANE) -> Exchange:
    lease = await a_lease(pool, lane)
    try:
        return await send(lease)
    finally:
        pool.release(lease)


async def until(condition: Any) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.01)


async def test_a_connection_is_used_again(tmp_path: Path) -> None:
    with ScriptedServer(tmp_path) as server:
        async with a_pool(server) as pool:
            for _ in range(5):
                assert (await send_over(pool)).stage is Stage.DOT
            assert pool.open_connections == 1

    assert (server.accepted, len(server.messages)) == (1, 5)
    assert server.verbs[-1] == "QUIT"


async def test_never_more_than_twenty_connections_at_once(tmp_path: Path) -> None:
    most = 0
    with ScriptedServer(tmp_path, {"mail": {"wait": 0.01, "say": "250 ok"}}) as server:
        async with a_pool(server, messages_per_connection=3) as pool:

            async def watch() -> None:
                nonlocal most
                while True:
                    most = max(most, pool.open_connections)
                    await asyncio.sleep(0)

            watching = asyncio.create_task(watch())
            await asyncio.gather(*(send_over(pool) for _ in range(150)))
            watching.cancel()

    events = [(entry["at"], 1) for entry in server.entries("open")]
    events += [(entry["at"], -1) for entry in server.entries("line") if entry["raw"] == "QUIT\r\n"]
    running = seen = 0
    for _, change in sorted(events, key=lambda event: (event[0], event[1])):
        running += change
        seen = max(seen, running)
    assert seen <= 20
    assert most >= 15
    assert len(server.messages) == 150


async def test_after_a_hundred_messages_a_connection_says_goodbye(tmp_path: Path) -> None:
    with ScriptedServer(tmp_path) as server:
        async with a_pool(server) as pool:
            for _ in range(201):
                await send_over(pool)

    assert server.accepted == 3
    assert server.verbs.count("QUIT") == 3
    per_connection = [entry["connection"] for entry in server.entries("message")]
    assert [per_connection.count(number) for number in range(3)] == [100, 100, 1]


async def test_a_lease_that_is_kept_changes_its_connection_after_a_hundred_messages_too(
    tmp_path: Path,
) -> None:
    with ScriptedServer(tmp_path) as server:
        async with a_pool(server) as pool:
            lease = await a_lease(pool)
            for _ in range(101):
                assert (await send(lease)).stage is Stage.DOT
            pool.release(lease)

    assert (server.accepted, len(server.messages)) == (2, 101)


async def test_a_lease_outlives_a_lost_connection(tmp_path: Path) -> None:
    with ScriptedServer(tmp_path, {"rcpt": "close"}, {}) as server:
        async with a_pool(server) as pool:
            lease = await a_lease(pool)
            lost, sent = await send(lease), await send(lease)
            pool.release(lease)

    assert (lost.stage, lost.trouble, sent.stage) == (Stage.RCPT, Trouble.LOST, Stage.DOT)
    assert pool.open_connections == 0


@pytest.mark.parametrize(
    "limits",
    [{"connections_per_lane": 0}, {"messages_per_connection": 0}, {"idle": timedelta()}],
)
def test_a_pool_without_room_is_refused(limits: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        PoolLimits(**limits)


async def test_an_idle_connection_is_closed(tmp_path: Path) -> None:
    with ScriptedServer(tmp_path) as server:
        async with a_pool(server, idle=timedelta(seconds=0.1)) as pool:
            await send_over(pool)
            assert pool.open_connections == 1
            await until(lambda: pool.open_connections == 0)

    assert server.verbs[-1] == "QUIT"


@pytest.mark.parametrize(
    "end", [{"then": "close"}, {"then": "reset"}, {"say": "421 4.4.2 idle", "then": "close"}]
)
async def test_a_connection_closed_by_the_server_while_idle_is_replaced(
    tmp_path: Path, end: dict[str, Any]
) -> None:
    goodbye = {
        "say": ["250 queued", *([end["say"]] if "say" in end else [])],
        "pause": 0.05,
        "then": end["then"],
    }
    with ScriptedServer(tmp_path, {"dot": goodbye}, {}) as server:
        async with a_pool(server) as pool:
            first = await send_over(pool)
            await until(lambda: server.entries("end"))
            await asyncio.sleep(0.05)
            second = await send_over(pool)

    assert (first.stage, second.stage) == (Stage.DOT, Stage.DOT)
    assert (server.accepted, len(server.messages)) == (2, 2)


@pytest.mark.parametrize("fault", ["close", "reset", "421 4.4.2 idle too long"])
async def test_a_connection_that_ends_as_we_speak_is_replaced_without_a_failure(
    tmp_path: Path, fault: str
) -> None:
    with ScriptedServer(tmp_path, {"mail": ["250 ok", fault]}, {}) as server:
        async with a_pool(server) as pool:
            first, second = await send_over(pool), await send_over(pool)

    assert (first.stage, second.stage) == (Stage.DOT, Stage.DOT)
    assert len(server.messages) == 2


async def test_a_rate_reply_is_never_hidden_by_a_new_connection(tmp_path: Path) -> None:
    with ScriptedServer(tmp_path, {"mail": ["250 ok", "421 4.7.28 unusual rate"]}) as server:
        async with a_pool(server) as pool:
            await send_over(pool)
            second = await send_over(pool)

    assert second.reply is not None
    assert (second.stage, second.reply.code, server.accepted) == (Stage.MAIL, 421, 1)


@pytest.mark.parametrize("fault", ["close", "reset"])
async def test_a_fresh_connection_lost_at_mail_is_a_failure_and_not_tried_again(
    tmp_path: Path, fault: str
) -> None:
    with ScriptedServer(tmp_path, {"mail": fault}) as server:
        async with a_pool(server) as pool:
            exchange = await send_over(pool)

    assert (exchange.stage, exchange.trouble, server.accepted) == (Stage.MAIL, Trouble.LOST, 1)


@pytest.mark.parametrize("fault", ["close", "reset", "hang"])
async def test_a_used_connection_lost_after_the_dot_is_never_tried_again(tmp_path: Path, fault: str) -> None:
    with ScriptedServer(tmp_path, {"dot": ["250 ok", fault]}) as server:
        async with a_pool(server, stages={"dot": 0.4}) as pool:
            await send_over(pool)
            second = await send_over(pool)

    assert (second.stage, second.dot_written, second.reply) == (Stage.DOT, True, None)
    assert len(server.messages) == 2
    assert server.accepted == 1


async def test_a_failed_opening_is_an_exchange_and_frees_its_place(tmp_path: Path) -> None:
    growth = Growth()
    with ScriptedServer(tmp_path, {"banner": "554 no"}) as server:
        async with a_pool(server, connections_per_lane=1) as pool:
            for _ in range(3):
                opened = await pool.acquire(LANE, NOW)
                assert isinstance(opened, Exchange)
                assert opened.stage is Stage.BANNER
            assert growth.of("postwerk_connection_failures_total", stage="banner") == 3
            assert pool.open_connections == 0
            assert pool.has_room(LANE)


async def test_patience_ends(tmp_path: Path) -> None:
    with ScriptedServer(tmp_path) as server:
        async with a_pool(server, connections_per_lane=1) as pool:
            lease = await a_lease(pool)
            assert not pool.has_room(LANE)
            assert await pool.acquire(LANE, NOW) is None
            pool.release(lease)
            assert pool.has_room(LANE)


async def test_who_waits_longest_is_served_first(tmp_path: Path) -> None:
    served: list[int] = []
    with ScriptedServer(tmp_path) as server:
        async with a_pool(server, connections_per_lane=1) as pool:

            async def wait(number: int) -> None:
                lease = await a_lease(pool)
                served.append(number)
                pool.release(lease)

            lease = await a_lease(pool)
            waiting = []
            for number in range(5):
                waiting.append(asyncio.create_task(wait(number)))
                await asyncio.sleep(0)
            pool.release(lease)
            await asyncio.gather(*waiting)

    assert served == [0, 1, 2, 3, 4]
    assert server.accepted == 1


async def test_no_lane_waits_for_another(tmp_path: Path) -> None:
    with ScriptedServer(tmp_path, {"mail": "hang"}, {}) as server:
        async with a_pool(server, connections_per_lane=1) as pool:
            stuck = asyncio.create_task(send_over(pool, "hanging"))
            await until(lambda: "MAIL" in server.verbs)
            assert (await send_over(pool, "healthy")).stage is Stage.DOT
            assert not stuck.done()
            stuck.cancel()
            await asyncio.wait([stuck])


async def test_a_spent_connection_keeps_its_place_until_it_is_gone(tmp_path: Path) -> None:
    with ScriptedServer(tmp_path, {"quit": {"wait": 0.2, "say": "221 bye", "then": "close"}}) as server:
        async with a_pool(server, connections_per_lane=1, messages_per_connection=1) as pool:
            await send_over(pool)
            assert await pool.acquire(LANE, NOW) is None
            await send_over(pool)

    assert server.accepted == 2


async def test_releasing_twice_frees_one_place_only(tmp_path: Path) -> None:
    with ScriptedServer(tmp_path) as server:
        async with a_pool(server, connections_per_lane=1) as pool:
            lease = await a_lease(pool)
            pool.release(lease)
            pool.release(lease)
            await a_lease(pool)
            assert await pool.acquire(LANE, NOW) is None


async def test_cancelling_at_any_moment_leaks_no_place(tmp_path: Path) -> None:
    slow = {"banner": {"wait": 0.005, "say": "220 hi"}, "mail": {"wait": 0.005, "say": "250 ok"}}
    with ScriptedServer(tmp_path, slow) as server:
        async with a_pool(server, connections_per_lane=2) as pool:
            for delay in range(60):
                tasks = [asyncio.create_task(send_over(pool)) for _ in range(4)]
                await asyncio.sleep(delay * 0.0005)
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)
            leases = [await a_lease(pool), await a_lease(pool)]
            assert await pool.acquire(LANE, NOW) is None
            for lease in leases:
                pool.release(lease)
            assert pool.open_connections <= 2


async def test_a_waiter_cancelled_as_its_turn_comes_passes_it_on(tmp_path: Path) -> None:
    with ScriptedServer(tmp_path) as server:
        async with a_pool(server, connections_per_lane=1) as pool:
            lease = await a_lease(pool)
            first = asyncio.create_task(a_lease(pool))
            second = asyncio.create_task(a_lease(pool))
            await asyncio.sleep(0)
            pool.release(lease)
            first.cancel()  # its place has been handed over already
            pool.release(await second)
            with pytest.raises(asyncio.CancelledError):
                await first
            assert pool.has_room(LANE)


async def test_unused_lanes_are_forgotten(tmp_path: Path) -> None:
    with ScriptedServer(tmp_path) as server:
        async with a_pool(server, idle=timedelta(seconds=0.05)) as pool:
            for number in range(10):
                await send_over(pool, f"lane {number}")
            await until(lambda: not pool._lanes)


async def test_a_closed_pool_lends_nothing_and_keeps_nothing(tmp_path: Path) -> None:
    with ScriptedServer(tmp_path) as server:
        async with a_pool(server, connections_per_lane=1) as pool:
            lease = await a_lease(pool)
            waiting = asyncio.create_task(pool.acquire(LANE, SOON))
            await asyncio.sleep(0)
            await pool.close()
            assert await waiting is None
            assert await pool.acquire(LANE, SOON) is None
            assert not pool.has_room(LANE)
            pool.release(lease)
            assert pool.open_connections == 0
