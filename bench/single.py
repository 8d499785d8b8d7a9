"""How long one mail takes from POST to the sink's 250, and where the time goes."""

from __future__ import annotations

import statistics
import time
from typing import Any

from bench import mail
from bench.histories import Moments, moments_of_single
from bench.house import RunningHouse
from bench.programs import workplace
from bench.stopwatch import Stopwatch

_PATIENCE_SECONDS = 30.0
_PAUSE_SECONDS = 0.25
"""Between two sends, so that the end of one does not stand in the way of the next."""
_WARM_UP = 3


def measure(sends: int) -> dict[str, float]:
    """Median and 95th percentile in milliseconds."""
    with workplace() as folder, Stopwatch() as sink, RunningHouse(folder, sink.port) as house:
        for n in range(_WARM_UP):
            _send_one(house, sink, n)
        journeys = [_send_one(house, sink, n) for n in range(_WARM_UP, _WARM_UP + sends)]
        parts = [[seen[0], *moments_of_single(house, bulk_id), *seen[1:]] for bulk_id, seen in journeys]
    whole = sorted((one[-1][1] - one[0][1]) * 1000 for one in parts)
    median, p95 = statistics.median(whole), whole[int(len(whole) * 0.95)]
    print(f"Single sends, POST to 250: median {median:.1f} ms, p95 {p95:.1f} ms ({sends} sends)")
    _print_parts(parts)
    return {"single_median_ms": round(median, 1), "single_p95_ms": round(p95, 1)}


def _send_one(house: RunningHouse, sink: Stopwatch, n: int) -> tuple[str, Moments]:
    """Its id, and the moments that we and the sink saw."""
    one: dict[str, Any] = mail.recipient(n)
    posted = time.time()
    bulk_id = house.post(mail.request(recipients=[one]))
    answered = time.time()
    taken = sink.wait_for(one["to"], _PATIENCE_SECONDS)
    time.sleep(_PAUSE_SECONDS)
    greeted = sink.greeted[one["to"]]
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
