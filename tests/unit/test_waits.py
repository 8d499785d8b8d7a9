"""Why something waits: a table of situations."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from api.waits import (
    Surroundings,
    wait_before_lanes,
    wait_by_lanes,
    wait_of_message,
)
from postwerk.archive.lanes import LaneState
from postwerk.archive.operation_notes import OperationNote
from postwerk.archive.queues import NextDeferred
from postwerk.archive.reads import BulkSend, Message
from postwerk.contracts.options import BulkOptions
from postwerk.contracts.queue import Verb
from postwerk.contracts.states import BulkState, MessageState
from postwerk.rules.pace import Rate
from postwerk.rules.providers import LaneLimits
from postwerk.rules.suspending import Suspended, SuspensionKind, Suspensions

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
SOON, LATER = NOW + timedelta(minutes=5), NOW + timedelta(hours=2)
YAHOO = "yahoo.com"
RESTS = LaneState(
    YAHOO, failures=1, cool_until=LATER, reason="rate_limited", origin="reply",
    last_refusal="421 4.7.0 [TSS04] Messages temporarily deferred", last_refused_at=NOW,
)  # fmt: skip
SLOW = LaneState(YAHOO, failures=1, reason="rate_limited", origin="reply", slow_interval=2_500_000)
BY_HAND = LaneState(YAHOO, cool_until=SOON, reason="maintenance", origin="ada")
LIMITED = LaneState(YAHOO, own_limits=LaneLimits(rate=Rate.parse("30/min")))
DEAD = LaneState("", failures=6, cool_until=SOON, origin="session", last_refusal="connection refused")
PROBED = LaneState("", failures=6, cool_until=NOW, origin="session", last_refusal="connection refused")


SUSPENDED = Suspended(SuspensionKind.PROVIDER, YAHOO, SOON, "their maintenance", "ada")
YMAIL = "ada@ymail.com"
DOMAIN = Suspended(SuspensionKind.DOMAIN, "ymail.com", LATER, "complaints", "ada")


def a_message(**changes: Any) -> Message:
    usual = Message(
        "b", 1, "ada@yahoo.com", "", {}, None, YAHOO, MessageState.QUEUED, 0, 0, None, None,
        False, None, None, None, None, None,
    )  # fmt: skip
    return replace(usual, **changes)


def a_send(state: BulkState = BulkState.RUNNING, *, rate: str | None = None, **counts: int) -> BulkSend:
    found = {one: counts.get(one.value, 0) for one in MessageState}
    options = BulkOptions(rate=rate)
    return BulkSend(
        "b", "", state, "wrong price" if state is BulkState.PAUSED else "", options, None, NOW, NOW, NOW,
        None, LATER, sum(found.values()), 0, 0, counts=found,
    )  # fmt: skip


def around(**changes: Any) -> Surroundings:
    lane, suspensions = changes.pop("lane", None), Suspensions(changes.pop("suspended", ()))
    lanes = {lane.name: lane} if lane else {}
    return Surroundings(NOW, **changes, suspensions=suspensions, lanes=lanes)


HOLD = OperationNote("op_1", Verb.HOLD, "alice", "wrong price", NOW)
DEFERRED = {
    "state": MessageState.DEFERRED,
    "next_attempt_at": SOON,
    "last_code": 450,
    "last_text": "4.2.0 Greylisted",
}
OPEN, PAUSED = a_send(BulkState.OPEN), a_send(BulkState.PAUSED)
QUEUED, RUNNING = a_send(BulkState.QUEUED), a_send()
CASES = [
    # whole send first, then what is missing to send at all
    (a_message(), OPEN, around(workers=None), "not_started", "nothing goes out before /start"),
    (a_message(**DEFERRED), PAUSED, around(workers=0), "held", "held: wrong price"),
    (a_message(), RUNNING, around(workers=None), "temporal_away", "Temporal does not answer"),
    (a_message(), QUEUED, around(workers=0), "no_worker", "python -m worker"),
    (a_message(), QUEUED, around(), "not_started", "starts in a moment"),
    # the relay, then the lane
    (a_message(), RUNNING, around(relay=DEAD, lane=RESTS), "relay_down", "before 12:05 UTC: connection ref"),
    (a_message(), RUNNING, around(relay=PROBED), "relay_down", "6 times; it is being tried"),
    (a_message(), RUNNING, around(lane=RESTS), "cooling_down", "yahoo.com rests until 14:00 UTC: 421 4.7.0"),
    (a_message(), RUNNING, around(lane=BY_HAND), "cooling_down", "until 12:05 UTC: maintenance (ada)"),
    (a_message(lane="gmx.net"), RUNNING, around(lane=RESTS), "in_turn", "turn"),
    # its own time, when that is later than the lane's
    (a_message(**DEFERRED), RUNNING, around(lane=RESTS), "cooling_down", "rests until 14:00"),
    (a_message(**DEFERRED), RUNNING, around(), "deferred", "by 450 4.2.0 Greylisted; tried again at 12:05"),
    (a_message(**DEFERRED), RUNNING, around(lane=SLOW), "deferred", "Greylisted"),
    # suspended, and the longer of it and of a cool-down
    (a_message(), RUNNING, around(suspended=[SUSPENDED]), "suspended", "12:05 UTC: their maintenance (ada)"),
    (a_message(), RUNNING, around(suspended=[SUSPENDED], lane=RESTS), "cooling_down", "until 14:00 UTC"),
    (a_message(), RUNNING, around(suspended=[SUSPENDED], lane=LIMITED), "suspended", "yahoo.com is susp"),
    (a_message(), RUNNING, around(suspended=[DOMAIN]), "in_turn", "turn"),
    (a_message(address=YMAIL), RUNNING, around(suspended=[DOMAIN]), "suspended", "until 14:00 UTC: compl"),
    (a_message(address=YMAIL, **DEFERRED), RUNNING, around(suspended=[DOMAIN]), "suspended", "ymail.com is"),
    (a_message(), RUNNING, around(suspended=[SUSPENDED], relay=DEAD), "relay_down", "connection refused"),
    (a_message(), PAUSED, around(suspended=[SUSPENDED]), "held", "wrong price"),
    # paces
    (a_message(), a_send(rate="30/min"), around(lane=SLOW), "paced", "30/min of the bulk send"),
    (a_message(), RUNNING, around(lane=SLOW), "paced", "recovers: one message each 2.5 s"),
    (a_message(), RUNNING, around(lane=LIMITED), "paced", "30/min of lane yahoo.com"),
    (a_message(lane="orange.fr"), RUNNING, around(), "paced", "10/s of lane orange.fr"),
    (a_message(), RUNNING, around(relay_rate="1000/h"), "paced", "1000/h of the relay"),
    (a_message(), RUNNING, around(), "in_turn", "turn"),
]


@pytest.mark.parametrize(("message", "send", "known", "reason", "detail"), CASES)
def test_a_message_says_what_it_waits_for(
    message: Message, send: BulkSend, known: Surroundings, reason: str, detail: str
) -> None:
    found = wait_of_message(message, send, known).waits_for
    assert found is not None
    assert found.reason == reason
    assert detail in found.detail


@pytest.mark.parametrize("send", [RUNNING, PAUSED, QUEUED])
def test_a_held_message_says_who_held_it_and_why(send: BulkSend) -> None:
    held = a_message(state=MessageState.HELD, next_attempt_at=SOON)
    found = wait_of_message(held, send, around(relay=DEAD, workers=0), HOLD)
    assert found.next_attempt_at is None
    assert found.waits_for is not None
    assert (found.waits_for.reason, found.waits_for.detail) == ("held", "held by alice: wrong price")


@pytest.mark.parametrize(("counts", "reason"), [({"held": 3}, "held"), ({"held": 3, "queued": 1}, None)])
def test_a_send_of_which_only_held_messages_are_left_says_so(counts: dict[str, int], reason: str) -> None:
    found = wait_before_lanes(a_send(**counts), around())
    assert (found and found.reason) == reason


@pytest.mark.parametrize("state", [MessageState.SENDING, MessageState.DELIVERED, MessageState.BOUNCED])
def test_what_is_final_or_on_its_way_waits_for_nothing(state: MessageState) -> None:
    assert wait_of_message(a_message(state=state), RUNNING, around(lane=RESTS)).waits_for is None


@pytest.mark.parametrize(
    ("lane", "relay", "shown"),
    [(SLOW, DEAD, SOON), (RESTS, DEAD, LATER), (SLOW, PROBED, NOW + timedelta(minutes=1))],
)
def test_the_next_attempt_is_not_before_lane_and_relay_are_rested(
    lane: LaneState, relay: LaneState, shown: datetime
) -> None:
    message = a_message(**DEFERRED | {"next_attempt_at": NOW + timedelta(minutes=1)})
    assert wait_of_message(message, RUNNING, around(lane=lane, relay=relay)).next_attempt_at == shown


def test_a_cancelled_send_waits_only_for_those_who_close_it() -> None:
    cancelling = a_send(BulkState.CANCELLING, queued=3)
    assert wait_before_lanes(cancelling, around(relay=DEAD)) is None
    found = wait_before_lanes(cancelling, around(workers=0))
    assert found is not None
    assert found.reason == "no_worker"


GREYLISTED = NextDeferred("gmx.net", SOON, "450 4.2.0 Greylisted")
REFUSED = NextDeferred(YAHOO, SOON, "421 4.7.0 [TSS04]")
SENDS = [
    (a_send(queued=5), around(lane=RESTS), [YAHOO], None, "cooling_down"),
    (a_send(queued=5, sending=1), around(lane=RESTS), [YAHOO], None, None),
    (a_send(queued=5, sending=1, rate="30/min"), around(), [], None, "paced"),
    (a_send(queued=5), around(lane=SLOW), [YAHOO], None, "paced"),
    (a_send(queued=5), around(), [], None, "in_turn"),
    (a_send(deferred=5), around(), [], GREYLISTED, "deferred"),
    (a_send(deferred=5), around(lane=RESTS), [YAHOO], REFUSED, "cooling_down"),
    # what happens first tells most
    (a_send(deferred=5), around(lane=RESTS), [YAHOO], GREYLISTED, "deferred"),
    (a_send(deferred=5), around(), [], NextDeferred(YAHOO, NOW, "450"), "in_turn"),
    # suspended: the whole lane, or the domain of who would be next
    (a_send(queued=5), around(suspended=[SUSPENDED]), [YAHOO], None, "suspended"),
    (a_send(queued=5, sending=1), around(suspended=[SUSPENDED]), [YAHOO], None, None),
    (a_send(deferred=5), around(suspended=[SUSPENDED]), [YAHOO], REFUSED, "suspended"),
    (a_send(deferred=5), around(suspended=[DOMAIN]), [], NextDeferred(YAHOO, NOW, "450", YMAIL), "suspended"),
]


@pytest.mark.parametrize(("send", "known", "resting", "deferred", "reason"), SENDS)
def test_a_bulk_send_says_what_tells_most(
    send: BulkSend,
    known: Surroundings,
    resting: list[str],
    deferred: NextDeferred | None,
    reason: str | None,
) -> None:
    found = wait_by_lanes(send, known, resting, deferred)
    assert (found and found.reason) == reason


def test_a_send_with_mail_left_to_a_suspended_domain_only_says_so() -> None:
    left = [(YAHOO, DOMAIN)]
    found = wait_by_lanes(a_send(queued=5), around(suspended=[DOMAIN]), [], None, left)
    assert found is not None
    assert (found.reason, found.until, found.lane) == ("suspended", LATER, YAHOO)
    assert wait_by_lanes(a_send(queued=5, sending=2), around(suspended=[DOMAIN]), [], None, left) is None
