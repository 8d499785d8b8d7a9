"""How long one mail takes from POST to the sink's 250, and where the time goes.

As a bulk send of one, as a message, and as a message beside a running bulk send.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence

from bench import mail
from bench.histories import Moments, moments_of_message, moments_of_single
from bench.house import RunningHouse
from bench.programs import workplace
from bench.stopwatch import Stopwatch
from postwerk.contracts.states import ENDED

Journeys = Sequence[tuple[str, Moments]]
_PATIENCE_SECONDS = 30.0
_PAUSE_SECONDS = 0.25
"""Between two sends, so that the end of one does not stand in the way of the next."""
_WARM_UP = 3


def measure(sends: int, beside: int) -> dict[str, float]:
    """Median and 95th percentile in milliseconds; `beside`: recipients of a bulk send that runs meanwhile."""
    with workplace() as folder, Stopwatch() as sink, RunningHouse(folder, sink.port) as house:
        numbers = iter(range(beside, beside + 1_000_000))
        for _ in range(_WARM_UP):
            _send_one(house, sink, next(numbers))
            _send_message(house, sink, next(numbers))
        singles = [_send_one(house, sink, next(numbers)) for _ in range(sends)]
        messages = [_send_message(house, sink, next(numbers)) for _ in range(sends)]
        found = _figures("single", singles, house, moments_of_single)
        found |= _figures("message", messages, house, moments_of_message)
        return found | _measure_beside(house, sink, numbers, beside)


def _measure_beside(
    house: RunningHouse, sink: Stopwatch, numbers: Iterator[int], beside: int
) -> dict[str, float]:
    """Messages while a large bulk send has every batch, connection and processor at work."""
    bulk_id = house.post(mail.request(recipients=[mail.recipient(n) for n in range(beside)]))
    while not house.http.get(f"/v1/bulk-sends/{bulk_id}").json()["counts"].get("delivered"):
        time.sleep(_PAUSE_SECONDS)
    journeys: list[tuple[str, Moments]] = []
    while house.http.get(f"/v1/bulk-sends/{bulk_id}").json()["state"] not in ENDED:
        journeys.append(_send_message(house, sink, next(numbers)))
    return _figures("message_beside_bulk", journeys, house, moments_of_message)


def _figures(
    name: str, journeys: Journeys, house: RunningHouse, moments: Callable[[RunningHouse, str], Moments]
) -> dict[str, float]:
    parts = [[seen[0], *moments(house, bulk_id), *seen[1:]] for bulk_id, seen in journeys]
    whole = sorted((one[-1][1] - one[0][1]) * 1000 for one in parts)
    median, p95 = statistics.median(whole), whole[int(len(whole) * 0.95)]
    print(f"{name}, POST to 250: median {median:.1f} ms, p95 {p95:.1f} ms ({len(whole)} sends)")
    _print_parts(parts)
    return {f"{name}_median_ms": round(median, 1), f"{name}_p95_ms": round(p95, 1)}


def _send_message(house: RunningHouse, sink: Stopwatch, n: int) -> tuple[str, Moments]:
    one = mail.recipient(n)
    return _watch(sink, str(one["to"]), lambda: house.post_message(mail.message(one)))


def _send_one(house: RunningHouse, sink: Stopwatch, n: int) -> tuple[str, Moments]:
    one = mail.recipient(n)
    return _watch(sink, str(one["to"]), lambda: house.post(mail.request(recipients=[one])))


def _watch(sink: Stopwatch, address: str, post: Callable[[], str]) -> tuple[str, Moments]:
    """Its id, and the moments that we and the sink saw."""
    posted = time.time()
    bulk_id = post()
    answered = time.time()
    taken = sink.wait_for(address, _PATIENCE_SECONDS)
    time.sleep(_PAUSE_SECONDS)
    greeted = sink.greeted[address]
    return bulk_id, [("POST", posted), ("POST answered", answered), ("MAIL", greeted), ("250", taken)]


def _print_parts(journeys: list[Moments]) -> None:
    """The steps in the order in which they usually come, each with its time since POST."""
    since = {
        name: statistics.median(
            (moment - one[0][1]) * 1000 for one in journeys for found, moment in one if found == name
        )
        for name, _ in journeys[0]
    }
    before = 0.0
    for name, milliseconds in sorted(since.items(), key=lambda step: step[1]):
        print(f"  {milliseconds:6.1f} ms  (+{milliseconds - before:5.1f})  {name}")
        before = milliseconds
