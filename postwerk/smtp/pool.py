"""Keeps connections open between messages, for each lane its own, so that no lane waits for another."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta

from postwerk.contracts.mail import Mail
from postwerk.contracts.smtp import Exchange, Stage
from postwerk.errors import ConfigurationError
from postwerk.observe.metrics.sending import session_failed
from postwerk.smtp.conversation import Conversation
from postwerk.smtp.opening import open_conversation
from postwerk.smtp.relay import RelayConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class PoolLimits:
    """How many connections a lane may have, and how long each is kept."""

    connections_per_lane: int = 20
    messages_per_connection: int = 100
    """Many relays close after about a hundred; going first keeps that from looking like a failure."""
    idle: timedelta = timedelta(seconds=30)

    def __post_init__(self) -> None:
        if self.connections_per_lane < 1 or self.messages_per_connection < 1 or self.idle <= timedelta():
            raise ConfigurationError("a connection pool needs limits above zero")


@dataclass(slots=True)
class _Lane:
    """A permit stands for one connection: lent, being opened, or saying goodbye. Idle ones need none."""

    limits: PoolLimits
    permits_out: int = 0
    idle: deque[tuple[Conversation, float]] = field(default_factory=deque)
    waiters: deque[asyncio.Future[bool]] = field(default_factory=deque)
    later: deque[asyncio.Future[bool]] = field(default_factory=deque)
    """Those who wait with retries only: first attempts go before them."""
    urgent: deque[asyncio.Future[bool]] = field(default_factory=deque)
    """Those who go before all others."""
    crowded_until: float = float("-inf")
    """The server takes no more connections than there are, for now (loop time)."""

    @property
    def is_unused(self) -> bool:
        return not (self.permits_out or self.idle or self.waiting)

    @property
    def waiting(self) -> int:
        return len(self.urgent) + len(self.waiters) + len(self.later)

    def next_waiter(self) -> asyncio.Future[bool] | None:
        queue = self.urgent or self.waiters or self.later
        return queue.popleft() if queue else None


CROWDED_SECONDS = 30.0
KEPT_FOR_URGENT = 0.02
"""Of all connections to the relay: nobody else opens the last ones."""
HELPERS_SHARE = 0.8
"""Of all connections to the relay; the rest is for lanes that have none yet."""


class Lease:
    """A connection of a lane, lent to one task until `pool.release(lease)`."""

    __slots__ = ("_limits", "_relay", "conversation", "lane", "released")

    def __init__(self, lane: str, conversation: Conversation, relay: RelayConfig, limits: PoolLimits) -> None:
        self.lane = lane
        self.conversation = conversation
        self.released = False
        self._relay = relay
        self._limits = limits

    @property
    def usable(self) -> bool:
        """Whether another message may go over this connection."""
        return self.conversation.usable and not self.is_spent

    @property
    def is_spent(self) -> bool:
        """Whether the connection has carried as many messages as it may."""
        return self.conversation.messages >= self._limits.messages_per_connection

    async def send(
        self, sender: str, recipient: str, message: Mail | bytes, before_data: Callable[[], Awaitable[bool]]
    ) -> Exchange:
        """`Conversation.send`; a connection that is spent, or ended meanwhile, is replaced without a failure.

        It is replaced only while the server has not answered this message's MAIL: nothing goes out twice.
        """
        if failure := await self.prepare():
            return failure
        exchange = await self.conversation.send(sender, recipient, message, before_data)
        if not self.conversation.stale or exchange.stage is not Stage.MAIL:
            return exchange
        return await self._replace() or await self.conversation.send(sender, recipient, message, before_data)

    async def prepare(self) -> Exchange | None:
        """See that another message may go over it; why not, if it had to be replaced and could not be."""
        return None if self.usable else await self._replace()

    async def _replace(self) -> Exchange | None:
        """Another connection in the same place, or why there is none."""
        await self.conversation.quit()
        opened = await open_conversation(self._relay)
        if isinstance(opened, Exchange):
            session_failed(self._relay.name, opened.stage)
            return opened
        self.conversation = opened
        return None


class ConnectionPool:
    """The connections of this process to one relay."""

    def __init__(self, relay: RelayConfig, limits: PoolLimits | None = None, most: int = 200) -> None:
        """`most`: connections of all lanes together."""
        self._relay = relay
        self._most = most
        self._full_at = most
        self._full_until = float("-inf")
        self.usual_limits = limits or PoolLimits()
        """For lanes that have none of their own."""
        self._own_limits: dict[str, PoolLimits] = {}
        self._lanes: dict[str, _Lane] = {}
        self._lent: set[Lease] = set()
        self._goodbyes: set[asyncio.Task[None]] = set()
        self._sweeper: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def open_connections(self) -> int:
        """Connections lent, being opened, idle, or saying goodbye."""
        return sum(lane.permits_out + len(lane.idle) for lane in self._lanes.values())

    def connections_by_lane(self) -> dict[str, int]:
        return {name: lane.permits_out + len(lane.idle) for name, lane in self._lanes.items()}

    def set_limits(self, lane: str, limits: PoolLimits) -> None:
        """The lane's own limits from now on; connections above them end when they are given back."""
        if limits == self._own_limits.get(lane, self.usual_limits):
            return
        self._own_limits[lane] = limits
        state = self._lanes.get(lane)
        if state is not None:
            state.limits = limits
            self._admit(state)

    def crowded(self, lane: str) -> None:
        """The server refused one more connection while others work: make do with those for a while."""
        state = self._lanes.get(lane)
        if state is not None:
            state.crowded_until = asyncio.get_running_loop().time() + CROWDED_SECONDS

    def relay_refused(self) -> bool:
        """The relay gave no further session. True when others work: then it is full, not away."""
        at_work = self._alive()
        if at_work:
            self._full_at = at_work
            self._full_until = asyncio.get_running_loop().time() + CROWDED_SECONDS
        return bool(at_work)

    def _alive(self) -> int:
        """Connections that the server has not closed: neither those being opened nor lost ones."""
        idle = sum(conversation.alive for lane in self._lanes.values() for conversation, _ in lane.idle)
        return idle + sum(lease.conversation.alive for lease in self._lent)

    def is_full(self, lane: str, *, urgent: bool = False) -> bool:
        """Whether a lane without a connection finds no room for one: waiting for its own would be in vain."""
        state = self._lanes.get(lane)
        if state is not None and (state.permits_out or state.idle):
            return False
        most = self._cap if urgent else self._cap - int(self._cap * KEPT_FOR_URGENT)
        return self.open_connections >= most and not self._make_room()

    @property
    def _cap(self) -> int:
        learned = asyncio.get_running_loop().time() < self._full_until
        return min(self._most, self._full_at) if learned else self._most

    def _make_room(self) -> bool:
        """Say goodbye to a connection that some lane does not use just now."""
        for lane, state in self._lanes.items():
            if state.idle:
                conversation, _ = state.idle.popleft()
                state.permits_out += 1
                self._say_goodbye(lane, conversation)
                return True
        return False

    def waiting(self, lane: str) -> int:
        """How many wait for a connection of this lane."""
        state = self._lanes.get(lane)
        return state.waiting if state else 0

    def is_wanted(self, lane: str) -> bool:
        """Whether somebody urgent waits for a connection of this lane: whoever has one makes way."""
        state = self._lanes.get(lane)
        return state is not None and bool(state.urgent)

    def has_room(self, lane: str) -> bool:
        """Whether a helper would get a connection at once."""
        state = self._lanes.get(lane)
        if self._closed or not (state is None or self._has_permit(state)):
            return False
        return bool(state and state.idle) or self.open_connections < self._cap * HELPERS_SHARE

    async def acquire(
        self, lane: str, patience: timedelta, *, retry: bool = False, urgent: bool = False
    ) -> Lease | Exchange | None:
        """A connection for `lane`, in the order of asking; who comes with a `retry` lets first attempts pass.

        Who is `urgent` passes everybody.

        None: none became free within `patience`. An Exchange: it had to be opened, and that failed.
        """
        if self._closed:
            return None
        state = self._lanes.get(lane)
        if state is None:
            state = self._lanes[lane] = _Lane(self._own_limits.get(lane, self.usual_limits))
        try:
            if not await self._take_permit(state, patience, retry, urgent):
                return None
        finally:
            self._forget_unused(lane)
        try:
            conversation = self._take_idle(state) or await open_conversation(self._relay)
        except BaseException:
            self._give_permit(lane)
            raise
        if isinstance(conversation, Exchange):
            session_failed(self._relay.name, conversation.stage)
            self._give_permit(lane)
            return conversation
        lease = Lease(lane, conversation, self._relay, state.limits)
        self._lent.add(lease)
        return lease

    def release(self, lease: Lease) -> None:
        """Take a connection back: to the idle ones, or with a goodbye in the background if it is spent."""
        if lease.released:
            return
        lease.released = True
        self._lent.discard(lease)
        conversation = lease.conversation
        state = self._lanes[lease.lane]
        if not conversation.usable or self._closed:
            conversation.abort()
            self._give_permit(lease.lane)
        elif lease.is_spent or self._is_surplus(lease.lane, state):
            self._say_goodbye(lease.lane, conversation)
        else:
            now = asyncio.get_running_loop().time()
            state.idle.append((conversation, now))
            self._give_permit(lease.lane)
            self._schedule_sweep()

    def _is_surplus(self, lane: str, state: _Lane) -> bool:
        """Whether the lane has enough connections without this one: its limit has been lowered."""
        others = sum(lease.lane == lane for lease in self._lent) + len(state.idle)
        return others >= state.limits.connections_per_lane

    async def close(self) -> None:
        """Say goodbye to idle connections, wait for it (five seconds at most), and lend no more."""
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        for lane, state in list(self._lanes.items()):
            for waiter in (*state.urgent, *state.waiters, *state.later):
                _settle(waiter, False)
            self._retire_idle(lane, state, older_than=float("inf"))
        if self._goodbyes:
            await asyncio.wait(self._goodbyes)

    # Permits

    def _has_permit(self, state: _Lane) -> bool:
        return not state.waiting and self._is_below_limit(state)

    def _is_below_limit(self, state: _Lane) -> bool:
        if state.permits_out >= state.limits.connections_per_lane:
            return False
        if state.idle or not state.permits_out:
            return True
        crowded = asyncio.get_running_loop().time() < state.crowded_until
        return not crowded and self.open_connections < self._cap

    async def _take_permit(self, state: _Lane, patience: timedelta, retry: bool, urgent: bool) -> bool:
        if self._has_permit(state):
            state.permits_out += 1
            return True
        if not patience:
            return False
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[bool] = loop.create_future()
        queue = state.urgent if urgent else state.later if retry else state.waiters
        queue.append(waiter)
        timer = loop.call_later(patience.total_seconds(), _settle, waiter, False)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.result():
                self._pass_on(state)  # the permit arrived together with the cancellation
            raise
        finally:
            timer.cancel()
            if waiter in queue:
                queue.remove(waiter)

    def _give_permit(self, lane: str) -> None:
        self._pass_on(self._lanes[lane])
        self._forget_unused(lane)

    def _pass_on(self, state: _Lane) -> None:
        """Hand the permit to who waited longest; nobody who comes now may overtake."""
        state.permits_out -= 1
        self._admit(state)

    def _admit(self, state: _Lane) -> None:
        """As many of those who wait as the limit allows."""
        while state.waiting and state.permits_out < state.limits.connections_per_lane:
            waiter = state.next_waiter()
            if waiter is not None and _settle(waiter, True):
                state.permits_out += 1

    def _forget_unused(self, lane: str) -> None:
        state = self._lanes.get(lane)
        if state is not None and state.is_unused:
            del self._lanes[lane]

    # Idle connections

    def _take_idle(self, state: _Lane) -> Conversation | None:
        """The one used last: the others may grow old. What the server closed meanwhile is dropped."""
        while state.idle:
            conversation, _ = state.idle.pop()
            if conversation.usable:
                return conversation
            conversation.abort()
        return None

    def _schedule_sweep(self) -> None:
        if self._sweeper is None and not self._closed:
            loop = asyncio.get_running_loop()
            self._sweeper = loop.call_later(self.usual_limits.idle.total_seconds() / 2, self._sweep)

    def _sweep(self) -> None:
        """Retire what was idle too long; one timer for all, since one for each message would cost more."""
        self._sweeper = None
        limit = asyncio.get_running_loop().time() - self.usual_limits.idle.total_seconds()
        for lane, state in list(self._lanes.items()):
            self._retire_idle(lane, state, older_than=limit)
        if any(state.idle for state in self._lanes.values()):
            self._schedule_sweep()

    def _retire_idle(self, lane: str, state: _Lane, *, older_than: float) -> None:
        while state.idle and state.idle[0][1] <= older_than:
            conversation, _ = state.idle.popleft()
            state.permits_out += 1
            self._say_goodbye(lane, conversation)

    def _say_goodbye(self, lane: str, conversation: Conversation) -> None:
        """QUIT in the background. It keeps its permit: the server still counts the connection."""

        async def goodbye() -> None:
            try:
                await conversation.quit()
            finally:
                self._give_permit(lane)

        task = asyncio.create_task(goodbye())
        self._goodbyes.add(task)
        task.add_done_callback(self._goodbyes.discard)


def _settle(waiter: asyncio.Future[bool], answer: bool) -> bool:
    """Answer a waiter who still waits."""
    if waiter.done():
        return False
    waiter.set_result(answer)
    return True
