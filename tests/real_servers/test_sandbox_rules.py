"""The sandbox's pure parts: rates, buckets and the names of behaviours."""

from __future__ import annotations

import pytest

from postwerk.errors import ConfigurationError
from postwerk.sandbox.behaviour import Behaviour, Kind, behaviour_of
from postwerk.sandbox.rate import Bucket, Rate


@pytest.mark.parametrize(
    ("written", "per_second"),
    [("5", 5), ("100/s", 100), ("30/min", 0.5), ("3600/h", 1), ("86400/d", 1)],
)
def test_a_rate_is_read_as_people_write_it(written: str, per_second: float) -> None:
    assert Rate.parse(written).per_second == per_second


@pytest.mark.parametrize("written", ["", "0/s", "-1", "1.5/s", "5/week", "5 / s"])
def test_what_is_no_rate_is_refused(written: str) -> None:
    with pytest.raises(ConfigurationError):
        Rate.parse(written)


def test_a_bucket_lets_its_burst_through_and_then_its_rate() -> None:
    bucket = Bucket(Rate(2))

    assert [bucket.take(0), bucket.take(0), bucket.take(0)] == [True, True, False]
    assert [bucket.take(0.5), bucket.take(0.5)] == [True, False]
    assert [bucket.take(100), bucket.take(100), bucket.take(100)] == [True, True, False]


@pytest.mark.parametrize(
    ("address", "behaviour"),
    [
        ("defer@x", Behaviour(Kind.DEFER)),
        ("defer2@x", Behaviour(Kind.DEFER, 2)),
        ("DEFER2+anything+at+all@x", Behaviour(Kind.DEFER, 2)),
        ("hang-after-dot1+x@x", Behaviour(Kind.HANG_AFTER_DOT, 1)),
        ("slow30@x", Behaviour(Kind.SLOW, 30)),
        ("x+defer@x", Behaviour(Kind.OK)),
        ("deferred@x", Behaviour(Kind.OK)),
        ("defer-2@x", Behaviour(Kind.OK)),
        ("defer", Behaviour(Kind.OK)),  # no domain, no behaviour
    ],
)
def test_the_local_part_before_the_plus_names_the_behaviour(address: str, behaviour: Behaviour) -> None:
    assert behaviour_of(address) == behaviour
