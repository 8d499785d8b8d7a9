"""Who gets a connection when there are few: first attempts, lanes with limits, a relay that is full."""

from __future__ import annotations

import asyncio
from pathlib import Path

from postwerk.smtp.pool import ConnectionPool, Lease, PoolLimits
from tests.real_servers.test_smtp_pool import LANE, SOON, a_lease, a_pool, until
from tests.support.scripted_server import ScriptedServer


async def test_first_attempts_go_before_retries(tmp_path: Path) -> None:
    with ScriptedServer(tmp_path) as server:
        async with a_pool(server, connections_per_lane=1) as pool:
            lease = await a_lease(pool)
            served: list[str] = []

            async def come(who: str, *, retry: bool) -> None:
                got = await pool.acquire(LANE, SOON, retry=retry)
                assert isinstance(got, Lease)
                served.append(who)
                pool.release(got)

            retrying = asyncio.create_task(come("retry", retry=True))
            await asyncio.sleep(0)
            first = asyncio.create_task(come("first attempt", retry=False))
            await asyncio.sleep(0)
            assert pool.waiting(LANE) == 2
            pool.release(lease)
            await asyncio.gather(retrying, first)
            assert served == ["first attempt", "retry"]


async def test_a_lane_may_have_limits_of_its_own(tmp_path: Path) -> None:
    with ScriptedServer(tmp_path) as server:
        async with a_pool(server, connections_per_lane=3) as pool:
            leases = [await a_lease(pool) for _ in range(3)]
            pool.set_limits(LANE, PoolLimits(connections_per_lane=1))
            for lease in leases:
                pool.release(lease)
            await until(lambda: pool.open_connections == 1)  # the others said goodbye
            held = await a_lease(pool)
            assert not pool.has_room(LANE)
            pool.set_limits(LANE, PoolLimits(connections_per_lane=2))
            assert pool.has_room(LANE)
            pool.release(held)


async def test_more_connections_than_the_relay_may_have_are_not_asked_for(tmp_path: Path) -> None:
    with ScriptedServer(tmp_path) as server:
        pool = ConnectionPool(server.relay(limits={}), PoolLimits(connections_per_lane=5), most=3)
        leases = [await a_lease(pool, "lane a") for _ in range(3)]
        assert pool.is_full("lane b")
        assert not pool.is_full("lane a")  # waits for its own
        pool.release(leases.pop())
        assert not pool.is_full("lane b")  # the idle one makes room
        other = await a_lease(pool, "lane b")
        for lease in (*leases, other):
            pool.release(lease)
        await pool.close()


async def test_a_refusal_beside_working_connections_means_full_and_alone_means_away(tmp_path: Path) -> None:
    with ScriptedServer(tmp_path) as server:
        async with a_pool(server, connections_per_lane=5) as pool:
            assert not pool.relay_refused()
            lease = await a_lease(pool)
            assert pool.relay_refused()
            assert pool.is_full("another lane")
            lease.conversation.abort()
            assert not pool.relay_refused()
            pool.release(lease)
