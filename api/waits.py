"""Why something waits: decided from what is known, the widest obstacle first. Asks nobody."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from api.schemas import WaitReason, WaitsFor
from postwerk.archive.coalescing import Coalesced
from postwerk.archive.lanes import LaneState
from postwerk.archive.operation_notes import OperationNote
from postwerk.archive.queues import NextDeferred
from postwerk.archive.reads import BulkSend, Message
from postwerk.contracts.states import OPEN_STATES, BulkState, MessageState
from postwerk.rules.pace import SECOND, Rate
from postwerk.rules.sending_window import in_words, is_open, next_opening
from postwerk.rules.suspending import Suspended, Suspensions

_LONGEST_REPLY = 200


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What may keep messages waiting besides themselves. `workers`: None when Temporal does not answer."""

    now: datetime
    workers: int | None = 1
    relay: LaneState = field(default_factory=lambda: LaneState(""))
    lanes: Mapping[str, LaneState] = field(default_factory=dict)
    relay_rate: str = ""
    unknown_relay: str = ""
    """The name of the send's relay if the settings do not know it."""
    suspensions: Suspensions = field(default_factory=Suspensions)

    def lane(self, name: str) -> LaneState:
        return self.lanes.get(name) or LaneState(name)


class MessageWait(NamedTuple):
    """When a message is tried again, everything considered, and why it is not sent right now."""

    next_attempt_at: datetime | None
    waits_for: WaitsFor | None


def wait_of_message(
    message: Message,
    send: BulkSend,
    around: Surroundings,
    by: OperationNote | None = None,
    coalesced: Coalesced | None = None,
) -> MessageWait:
    """`by`: the last operation of an operator on it; `coalesced`: how it stands among others of its key."""
    if message.state not in OPEN_STATES:
        return MessageWait(message.next_attempt_at, None)
    if message.state is MessageState.HELD:
        return MessageWait(None, _held_by(by))
    next_at = message.next_attempt_at
    suspended = around.suspensions.of_message(message.lane, message.address, around.now)
    if next_at is not None:
        next_at = _latest(next_at, around.lane(message.lane), around.relay, around.now, suspended)
        next_at = _within(send, next_at, around.now)
    if message.state is MessageState.SENDING:
        return MessageWait(next_at, None)
    found = wait_before_lanes(send, around, coalesced)
    if found is None and send.state is BulkState.RUNNING:
        found = _own_wait(message, send, around)
    return MessageWait(next_at, found)


def wait_before_lanes(
    send: BulkSend, around: Surroundings, coalesced: Coalesced | None = None
) -> WaitsFor | None:
    """What keeps the whole bulk send waiting, whatever its lanes do."""
    found = _wait_of_send(send, around, coalesced)
    if found is None and send.state is BulkState.RUNNING:
        found = _wait_of_relay(around) or _wait_of_window(send, around.now)
    return found


def wait_by_lanes(
    send: BulkSend,
    around: Surroundings,
    resting: Sequence[str],
    deferred: NextDeferred | None,
    suspended: Sequence[tuple[str, Suspended]] = (),
) -> WaitsFor | None:
    """The most telling reason of a running send. `resting`: those of its open lanes that rest or are slow.

    `suspended`: lanes with a domain each that gets nothing, of those to which it has mail left.
    """
    rests = [_rest_of_lane(name, around) for name in resting]
    rests += [_suspended(lane, one, around.now) for lane, one in suspended]
    cooling = min((rest for rest in rests if rest is not None), key=_until, default=None)
    if not send.counts[MessageState.QUEUED] and not send.counts[MessageState.SENDING]:
        again = _wait_of_deferred(send, deferred, around) if deferred else None
        both = [one for one in (again, cooling) if one]
        return min(both, key=lambda one: one.until or around.now, default=_in_turn())
    if cooling and not send.counts[MessageState.SENDING]:
        return cooling
    if send.options.rate:
        return _paced_by_send(send.options.rate)
    if send.counts[MessageState.SENDING]:
        return None
    slow = (_pace_of_lane(around.lane(name), around.now) for name in resting)
    return next((one for one in slow if one), None) or _pace_of_relay(around) or _in_turn()


def _wait_of_send(send: BulkSend, around: Surroundings, coalesced: Coalesced | None) -> WaitsFor | None:
    if send.state is BulkState.OPEN:
        return WaitsFor(
            reason=WaitReason.NOT_STARTED, detail="its list is open; nothing goes out before /start"
        )
    if send.state is BulkState.PAUSED:
        return WaitsFor(reason=WaitReason.HELD, detail=f"held: {send.reason}" if send.reason else "held")
    if send.state is BulkState.SCHEDULED and send.begins_at is not None:
        detail = f"scheduled: it begins at {_clock(send.begins_at, around.now)}"
        return WaitsFor(reason=WaitReason.SCHEDULED, until=send.begins_at, detail=detail)
    if (held := send.counts[MessageState.HELD]) and held == send.open:
        return WaitsFor(reason=WaitReason.HELD, detail=f"{held:,} held by an operator, and nothing else left")
    if coalesced and coalesced.ends_at and coalesced.ends_at > around.now:
        until = coalesced.ends_at
        detail = f"more of its key may come until {_clock(until, around.now)}; one of them is sent then"
        return WaitsFor(reason=WaitReason.COALESCING, until=until, detail=detail)
    if around.workers is None:
        return WaitsFor(
            reason=WaitReason.TEMPORAL_AWAY, detail="Temporal does not answer; it goes on by itself"
        )
    if not around.workers:
        return WaitsFor(
            reason=WaitReason.NO_WORKER, detail="no worker is running; start one: python -m worker"
        )
    if send.state is BulkState.QUEUED:
        return WaitsFor(reason=WaitReason.NOT_STARTED, detail="its workflow starts in a moment")
    return None


def _wait_of_window(send: BulkSend, now: datetime) -> WaitsFor | None:
    window = send.options.window
    if window is None or is_open(window, now):
        return None
    at = next_opening(window, now)
    if send.deadline is not None and at >= send.deadline:
        detail = f"outside its sending window, which does not open again in its time: {in_words(window)}"
        return WaitsFor(reason=WaitReason.OUTSIDE_WINDOW, until=send.deadline, detail=detail)
    detail = f"outside its sending window until {_clock(at, now)}: {in_words(window)}"
    return WaitsFor(reason=WaitReason.OUTSIDE_WINDOW, until=at, detail=detail)


def _within(send: BulkSend, at: datetime | None, now: datetime) -> datetime | None:
    """The first moment from `at` on inside the send's window; None when its time is over by then."""
    window = send.options.window
    if at is None or window is None or (at <= now and is_open(window, now)):
        return at
    opens = next_opening(window, max(at, now))
    return opens if send.deadline is None or opens < send.deadline else None


def _held_by(operation: OperationNote | None) -> WaitsFor:
    if operation is None:
        return WaitsFor(reason=WaitReason.HELD, detail="held by an operator")
    why = f": {_short(operation.reason)}" if operation.reason else ""
    return WaitsFor(reason=WaitReason.HELD, detail=f"held by {operation.by}{why}")


def _wait_of_relay(around: Surroundings) -> WaitsFor | None:
    if around.unknown_relay:
        detail = f"the settings name no relay {around.unknown_relay}; nothing of it goes over another one"
        return WaitsFor(reason=WaitReason.UNKNOWN_RELAY, detail=detail)
    relay, now = around.relay, around.now
    why = relay.last_refusal if relay.origin == "session" else f"{relay.reason} ({relay.origin})"
    if relay.cools(now) and relay.cool_until is not None:
        detail = f"the relay is not tried before {_clock(relay.cool_until, now)}: {_short(why)}"
        return WaitsFor(reason=WaitReason.RELAY_DOWN, until=relay.cool_until, detail=detail)
    if relay.failures:
        detail = f"the relay gave no session {relay.failures} times; it is being tried: {_short(why)}"
        return WaitsFor(reason=WaitReason.RELAY_DOWN, detail=detail)
    return None


def _own_wait(message: Message, send: BulkSend, around: Surroundings) -> WaitsFor:
    """Its lane's rest or its own time, whichever is later; else a pace; else it is due."""
    now, lane = around.now, around.lane(message.lane)
    own = _within(send, message.next_attempt_at, now) or message.next_attempt_at
    suspended = around.suspensions.of_message(message.lane, message.address, now)
    rest = _longer(_wait_of_lane(lane, now), _suspended(message.lane, suspended, now))
    if own is not None and own > now and (rest is None or own > _until(rest)):
        said = " ".join(str(part) for part in (message.last_code, message.last_text) if part)
        return _deferred(own, said or message.last_reason or "", now)
    if rest is not None:
        return rest
    if send.options.rate:
        return _paced_by_send(send.options.rate)
    return _pace_of_lane(lane, now) or _pace_of_relay(around) or _in_turn()


def _wait_of_deferred(send: BulkSend, deferred: NextDeferred, around: Surroundings) -> WaitsFor:
    lane, now = around.lane(deferred.lane), around.now
    suspended = around.suspensions.of_message(deferred.lane, deferred.address, now)
    at = _latest(deferred.at or now, lane, around.relay, now, suspended)
    at = _within(send, at, now) or at
    rest = _longer(_wait_of_lane(lane, now), _suspended(deferred.lane, suspended, now))
    if rest and _until(rest) >= at:
        return rest
    if at <= now:
        return _in_turn()
    n = send.counts[MessageState.DEFERRED]
    words = f"{n:,} messages deferred, the next" if n > 1 else "deferred"
    return _deferred(at, deferred.last_reply, now, words)


def _deferred(at: datetime, said: str, now: datetime, words: str = "deferred") -> WaitsFor:
    why = f" by {_short(said)}" if said else ""
    detail = f"{words}{why}; tried again at {_clock(at, now)}"
    return WaitsFor(reason=WaitReason.DEFERRED, until=at, detail=detail)


def _rest_of_lane(name: str, around: Surroundings) -> WaitsFor | None:
    """What keeps the whole lane: its cool-down or its suspension, whichever is longer."""
    suspended = around.suspensions.of_lane(name, around.now)
    rest = _wait_of_lane(around.lane(name), around.now)
    return _longer(rest, _suspended(name, suspended, around.now))


def _suspended(lane: str, one: Suspended | None, now: datetime) -> WaitsFor | None:
    if one is None:
        return None
    detail = f"{one.name} is suspended until {_clock(one.until, now)}: {_short(one.reason)} ({one.by})"
    return WaitsFor(reason=WaitReason.SUSPENDED, until=one.until, detail=detail, lane=lane)


def _longer(*rests: WaitsFor | None) -> WaitsFor | None:
    return max((rest for rest in rests if rest), key=_until, default=None)


def _wait_of_lane(lane: LaneState, now: datetime) -> WaitsFor | None:
    if not lane.cools(now) or lane.cool_until is None:
        return None
    by_hand = lane.origin not in ("reply", "evidence", "session")
    why = f"{lane.reason} ({lane.origin})" if by_hand else lane.last_refusal or lane.reason
    detail = f"lane {lane.name} rests until {_clock(lane.cool_until, now)}: {_short(why)}"
    return WaitsFor(reason=WaitReason.COOLING_DOWN, until=lane.cool_until, detail=detail, lane=lane.name)


def _pace_of_lane(lane: LaneState, now: datetime) -> WaitsFor | None:
    rate = lane.rate(now)
    if (slow := lane.slow_pace(now)) is not None:
        detail = f"lane {lane.name} recovers: one message each {slow / SECOND:g} s"
    elif rate is not None:
        detail = f"{rate} of lane {lane.name}"
    else:
        return None
    return WaitsFor(reason=WaitReason.PACED, detail=detail, lane=lane.name)


def _paced_by_send(rate: str) -> WaitsFor:
    return WaitsFor(reason=WaitReason.PACED, detail=f"{Rate.parse(rate)} of the bulk send")


def _pace_of_relay(around: Surroundings) -> WaitsFor | None:
    if not around.relay_rate:
        return None
    return WaitsFor(reason=WaitReason.PACED, detail=f"{around.relay_rate} of the relay")


def _in_turn() -> WaitsFor:
    return WaitsFor(reason=WaitReason.IN_TURN, detail="due; it goes as soon as its turn comes")


def _until(wait: WaitsFor) -> datetime:
    assert wait.until is not None  # those of lanes and of deferred messages have one
    return wait.until


def _latest(
    at: datetime, lane: LaneState, relay: LaneState, now: datetime, suspended: Suspended | None
) -> datetime:
    rests = [state.cool_until for state in (lane, relay) if state.cools(now) and state.cool_until]
    return max([at, *rests, *([suspended.until] if suspended else [])])


def _clock(at: datetime, now: datetime) -> str:
    return f"{at:%H:%M} UTC" if at.date() == now.date() else f"{at:%Y-%m-%d %H:%M} UTC"


def _short(words: str) -> str:
    line = " ".join(words.split())
    return line if len(line) <= _LONGEST_REPLY else f"{line[:_LONGEST_REPLY]}…"
