"""Keeps connections open between messages, for each lane its own, so that no lane waits for another."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta

from postwerk.contracts.smtp import Exchange, Stage
from postwerk.errors import ConfigurationError
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

    permits_out: int = 0
    idle: deque[tuple[Conversation, float]] = field(default_factory=deque)
    waiters: deque[asyncio.Future[bool]] = field(default_factory=deque)

    @property
    def is_unused(self) -> bool:
        return not (self.permits_out or self.idle or self.waiters)


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
        self, sender: str, recipient: str, message: bytes, before_data: Callable[[], Awaitable[bool]]
    ) -> Exchange:
        """`Conversation.send`; a connection that is spent, or ended meanwhile, is replaced without a failure.

        It is replaced only while the server has not answered this message's MAIL: nothing goes out twice.
        """
        if not self.usable and (failure := await self._replace()):
            return failure
        exchange = await self.conversation.send(sender, recipient, message, before_data)
        if not self.conversation.stale or exchange.stage is not Stage.MAIL:
            return exchange
        return await self._replace() or await self.conversation.send(sender, recipient, message, before_data)

    async def _replace(self) -> Exchange | None:
        """Another connection in the same place, or why there is none."""
        await self.conversation.quit()
        opened = await open_conversation(self._relay)
        if isinstance(opened, Exchange):
            return opened
        self.conversation = opened
        return None


class ConnectionPool:
    """The connections of this process to one relay."""

    def __init__(self, relay: RelayConfig, limits: PoolLimits | None = None) -> None:
        self._relay = relay
        self._limits = limits or PoolLimits()
        self._lanes: dict[str, _Lane] = {}
        self._goodbyes: set[asyncio.Task[None]] = set()
        self._sweeper: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def open_connections(self) -> int:
        """Connections lent, being opened, idle, or saying goodbye."""
        return sum(lane.permits_out + len(lane.idle) for lane in self._lanes.values())

    def has_room(self, lane: str) -> bool:
        """Whether `acquire` would not have to wait."""
        state = self._lanes.get(lane)
        return not self._closed and (state is None or self._has_permit(state))

    async def acquire(self, lane: str, patience: timedelta) -> Lease | Exchange | None:
        """A connection for `lane`, in the order of asking.

        None: none became free within `patience`. An Exchange: it had to be opened, and that failed.
        """
        if self._closed:
            return None
        state = self._lanes.setdefault(lane, _Lane())
        try:
            if not await self._take_permit(state, patience):
                return None
        finally:
            self._forget_unused(lane)
        try:
            conversation = self._take_idle(state) or await open_conversation(self._relay)
        except BaseException:
            self._give_permit(lane)
            raise
        if isinstance(conversation, Exchange):
            self._give_permit(lane)
            return conversation
        return Lease(lane, conversation, self._relay, self._limits)

    def release(self, lease: Lease) -> None:
        """Take a connection back: to the idle ones, or with a goodbye in the background if it is spent."""
        if lease.released:
            return
        lease.released = True
        conversation = lease.conversation
        if not conversation.usable or self._closed:
            conversation.abort()
            self._give_permit(lease.lane)
        elif lease.is_spent:
            self._say_goodbye(lease.lane, conversation)
        else:
            now = asyncio.get_running_loop().time()
            self._lanes[lease.lane].idle.append((conversation, now))
            self._give_permit(lease.lane)
            self._schedule_sweep()

    async def close(self) -> None:
        """Say goodbye to idle connections, wait for it (five seconds at most), and lend no more."""
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        for lane, state in list(self._lanes.items()):
            for waiter in state.waiters:
                _settle(waiter, False)
            self._retire_idle(lane, state, older_than=float("inf"))
        if self._goodbyes:
            await asyncio.wait(self._goodbyes)

    # Permits

    def _has_permit(self, state: _Lane) -> bool:
        return not state.waiters and state.permits_out < self._limits.connections_per_lane

    async def _take_permit(self, state: _Lane, patience: timedelta) -> bool:
        if self._has_permit(state):
            state.permits_out += 1
            return True
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[bool] = loop.create_future()
        state.waiters.append(waiter)
        timer = loop.call_later(patience.total_seconds(), _settle, waiter, False)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.result():
                self._pass_on(state)  # the permit arrived together with the cancellation
            raise
        finally:
            timer.cancel()
            if waiter in state.waiters:
                state.waiters.remove(waiter)

    def _give_permit(self, lane: str) -> None:
        self._pass_on(self._lanes[lane])
        self._forget_unused(lane)

    def _pass_on(self, state: _Lane) -> None:
        """Hand the permit to who waited longest; nobody who comes now may overtake."""
        while state.waiters:
            if _settle(state.waiters.popleft(), True):
                return
        state.permits_out -= 1

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
            self._sweeper = loop.call_later(self._limits.idle.total_seconds() / 2, self._sweep)

    def _sweep(self) -> None:
        """Retire what was idle too long; one timer for all, since one for each message would cost more."""
        self._sweeper = None
        limit = asyncio.get_running_loop().time() - self._limits.idle.total_seconds()
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
