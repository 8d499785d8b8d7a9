"""What a worker process knows of its lanes: who may go when, and what replies say about the pace."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from postwerk.archive import lanes, pace
from postwerk.archive.columns import to_microseconds
from postwerk.archive.engine import Archive
from postwerk.archive.lanes import LaneState, LaneUse, Refusal, lane_scope
from postwerk.archive.plan import OTHER_LANE
from postwerk.archive.relay_sizes import note_size_limit
from postwerk.archive.suspensions import suspensions_in_force
from postwerk.observe import log
from postwerk.observe.metrics import sending
from postwerk.rules.cooling import Cooling, Evidence
from postwerk.rules.pace import Limit, Rate
from postwerk.rules.providers import limits_of, provider_label
from postwerk.rules.suspending import Suspensions
from postwerk.smtp.pool import ConnectionPool, PoolLimits

FRESH_SECONDS = 1.0
"""What other workers found out about a lane is known here after this."""
VERY_FRESH_SECONDS = 0.05
PROBE_TIME = timedelta(minutes=1)
"""So long the others wait for the one who tries the relay; a hanging one is then tried by another."""
PLACE = 500_000
"""Microseconds between two batches that come back from a cool-down."""
REPORT_SECONDS = 3.0


class LaneDesk:
    """The lanes of one process to one relay. Times come from the caller: one clock for all."""

    def __init__(
        self,
        archive: Archive,
        pool: ConnectionPool,
        relay: str,
        *,
        cooling: Cooling | None = None,
        relay_rate: Rate | None = None,
        worker: str = "",
    ) -> None:
        self._archive = archive
        self._pool = pool
        self.relay = relay
        self.cooling = cooling or Cooling()
        self._relay_rate = relay_rate
        self._worker = worker
        self._states: dict[str, LaneState] = {}
        self._seen: dict[str, float] = {}
        self.suspensions = Suspensions()
        """Those in force when it was last looked."""
        self._asking = asyncio.Lock()
        self._evidence: dict[str, Evidence] = {}
        self._attempts: Counter[str] = Counter()
        self._size_limit: int | None = None

    # What is known

    async def look(self, lane: str, now: datetime) -> None:
        """Make sure that what is known of the lane, and of the relay, is at most a second old.

        What would send a batch away for long is looked at once more: an operator may just have ended it.
        """
        waits = self.rests(lane, now) or self.relay_state.cools(now)
        await self._look(lane, now, VERY_FRESH_SECONDS if waits else FRESH_SECONDS)

    async def look_at_domains(self, lane: str, now: datetime) -> dict[str, datetime]:
        """Domains on the lane that get nothing until then; looked at once more, as above."""
        await self._look(lane, now, FRESH_SECONDS)
        if self.suspensions.in_lane(lane, now):
            await self._look(lane, now, VERY_FRESH_SECONDS)
        return {domain: one.until for domain, one in self.suspensions.in_lane(lane, now).items()}

    async def _look(self, lane: str, now: datetime, age: float) -> None:
        if not self._is_fresh(lane, age):
            async with self._asking:  # one asks for all who wait here
                if not self._is_fresh(lane, age):
                    await self._read({lane, lanes.RELAY, *self._recently_used()}, now)

    def state(self, lane: str) -> LaneState:
        return self._states.get(lane) or LaneState(lane)

    def rests(self, lane: str, now: datetime) -> bool:
        """Nothing goes on it: it cools down, or is suspended."""
        return self.state(lane).cools(now) or self.suspensions.of_lane(lane, now) is not None

    @property
    def relay_state(self) -> LaneState:
        return self.state(lanes.RELAY)

    def limits(self, lane: str, bulk_id: str, bulk_rate: str | None, now: datetime) -> list[Limit]:
        """The rates in force for a bulk send's messages on this lane; none as a rule."""
        found: list[Limit] = []
        if self._relay_rate:
            found.append(Limit.of(lane_scope(self.relay, lanes.RELAY), self._relay_rate, "relay"))
        if limit := self._lane_limit(lane, now):
            found.append(limit)
        if bulk_rate:
            rate = Rate.parse(bulk_rate)
            found.append(Limit.of(pace.bulk_scope(bulk_id, rate), rate, "bulk send"))
        return found

    def _lane_limit(self, lane: str, now: datetime) -> Limit | None:
        state = self.state(lane)
        scope = lane_scope(self.relay, lane)
        if (interval := state.slow_pace(now)) is not None:
            return Limit(scope, interval, 1, "recovering")
        rate = state.rate(now)
        return Limit.of(scope, rate, "lane") if rate else None

    # Permits

    async def lease(
        self, limits: Sequence[Limit], now: datetime, wanted: int, *, urgent: bool = False
    ) -> pace.Block:
        slow = any(limit.why == "recovering" for limit in limits)
        async with self._archive.writing() as connection:
            return await pace.lease_block(
                connection,
                limits,
                to_microseconds(now),
                wanted=wanted,
                horizon=pace.SOON if slow else pace.HORIZON,
                ahead=pace.URGENT_AHEAD if urgent else pace.AHEAD,
            )

    async def give_back(self, limit: Limit, block: pace.Block, unused: int) -> None:
        async with self._archive.writing() as connection:
            await pace.give_back(connection, limit, block, unused)

    async def place_after(self, lane: str, earliest: datetime) -> int:
        """Microseconds: when a batch that waits for a cool-down of lane or relay is to come back."""
        async with self._archive.writing() as connection:
            scope = lane_scope(self.relay, lane)
            return await pace.place_after(connection, scope, to_microseconds(earliest), PLACE)

    # What happens on a lane

    async def refused(self, lane: str, address: str, refusal: Refusal, now: datetime) -> None:
        """A rate reply: the lane cools down. In the lane of many small domains one of them is no proof."""
        if lane == OTHER_LANE:
            await self.suspected(lane, address, refusal, now)
            return
        await self._cool(lane, refusal, now)

    async def suspected(self, lane: str, address: str, refusal: Refusal, now: datetime) -> None:
        """A reply that may be about the destination: it cools the lane down when nearly all say so."""
        if self._evidence.setdefault(lane, Evidence()).add(address, suspect=True):
            await self._cool(lane, replace(refusal, only_suspected=True), now)

    async def _cool(self, lane: str, refusal: Refusal, now: datetime) -> None:
        if self.state(lane).cools(now):
            return
        async with self._archive.writing() as connection:
            state = await lanes.rate_refused(connection, self.relay, lane, refusal, self.cooling, now)
        self._know(state, now)
        if state.cool_until:
            log.lane_cools(lane, refusal.reason, (state.cool_until - now).total_seconds())
            sending.lane_cools(provider_label(lane), refusal.reason)

    async def went_through(self, lane: str, address: str, now: datetime) -> None:
        """A message was taken: evidence that all is well, and a step up for a lane that is slow."""
        evidence = self._evidence.get(lane)
        if evidence is not None:
            evidence.add(address, suspect=False)
        state = self.state(lane)
        if state.slow_interval is None or state.cools(now):
            return
        async with self._archive.writing() as connection:
            state = await lanes.went_through(connection, self.relay, lane, now)
        self._know(state, now)
        if state.slow_interval is None and not state.cools(now):
            log.lane_recovered(lane)

    async def session_failed(self, refusal: Refusal, now: datetime, *, our_fault: bool) -> LaneState:
        async with self._archive.writing() as connection:
            state = await lanes.session_failed(
                connection, self.relay, refusal, self.cooling, now, our_fault=our_fault
            )
        self._know(state, now)
        return state

    async def session_works(self, size_limit: int | None = None) -> None:
        """There is a session: whatever was remembered of the relay is over. Its largest message is noted."""
        if size_limit != self._size_limit:
            async with self._archive.writing() as connection:
                await note_size_limit(connection, self.relay, size_limit)
            self._size_limit = size_limit
        if self.relay_state.failures:
            async with self._archive.writing() as connection:
                await lanes.session_restored(connection, self.relay)
            self._states.pop(lanes.RELAY, None)

    async def may_probe(self, now: datetime) -> bool:
        """One of all workers tries a relay that gave no session lately."""
        async with self._archive.writing() as connection:
            return await lanes.claim_probe(connection, self.relay, now, now + PROBE_TIME)

    def attempted(self, lane: str) -> None:
        self._attempts[lane] += 1

    # What others see

    async def report_forever(self) -> None:
        """Write down now and then what happens on each lane, for who looks at them."""
        since = time.monotonic()
        idle: set[str] = set()
        while True:
            await asyncio.sleep(REPORT_SECONDS)
            since, seconds = time.monotonic(), time.monotonic() - since
            uses = self._uses(seconds)
            if names := {use.name for use in uses} | idle:
                silent = [LaneUse(name, 0, 0.0) for name in names - {use.name for use in uses}]
                await self._report([*uses, *silent])
            idle = {use.name for use in uses}

    def _uses(self, seconds: float) -> list[LaneUse]:
        attempts, self._attempts = self._attempts, Counter()
        connections = self._pool.connections_by_lane()
        by_provider: Counter[str] = Counter()
        for lane, number in connections.items():
            by_provider[provider_label(lane)] += number
        sending.connections_open(self.relay, by_provider)
        return [
            LaneUse(name, connections.get(name, 0), round(attempts[name] * 60 / seconds, 1))
            for name in sorted(attempts.keys() | connections.keys())
        ]

    async def _report(self, uses: Sequence[LaneUse]) -> None:
        try:
            async with self._archive.writing() as connection:
                await lanes.report_use(
                    connection, self.relay, self._worker, uses, datetime.now().astimezone()
                )
        except Exception as error:  # noqa: BLE001  nobody waits for these figures; the next ones come soon
            log.archive_unavailable(error, waiting=len(uses))

    # Memory

    def _is_fresh(self, lane: str, age: float) -> bool:
        return time.monotonic() - self._seen.get(lane, float("-inf")) <= age

    def _recently_used(self) -> list[str]:
        now = time.monotonic()
        return [lane for lane, at in self._seen.items() if now - at < 60]

    async def _read(self, names: set[str], now: datetime) -> None:
        async with self._archive.reading() as connection:
            found = await lanes.lane_states(connection, self.relay, sorted(names))
            self.suspensions = await suspensions_in_force(connection, now)
        self._states = found
        self._seen = dict.fromkeys(names, time.monotonic())
        self._evidence = {lane: one for lane, one in self._evidence.items() if lane in names}
        for lane in names - {lanes.RELAY}:
            self._limit_pool(lane, now)

    def _know(self, state: LaneState, now: datetime) -> None:
        self._states[state.name] = state
        if state.name != lanes.RELAY:
            self._limit_pool(state.name, now)

    def _limit_pool(self, lane: str, now: datetime) -> None:
        """An operator's limits, else the narrower of provider and settings; one connection while slow."""
        state, usual = self.state(lane), self._pool.usual_limits
        own, provider = state.in_force(now), limits_of(lane)
        most = own.connections or min(
            provider.connections or usual.connections_per_lane, usual.connections_per_lane
        )
        self._pool.set_limits(
            lane,
            PoolLimits(
                connections_per_lane=1 if state.slow_interval else most,
                messages_per_connection=own.messages_per_connection
                or provider.messages_per_connection
                or usual.messages_per_connection,
                idle=usual.idle,
            ),
        )
