"""How long lanes and the relay rest, and what is proof that a lane must."""

from __future__ import annotations

from datetime import timedelta

import pytest

from postwerk.rules.cooling import Cooling, Evidence, cool_down, probe_wait

COOLING = Cooling()


def seconds(*values: float) -> list[timedelta]:
    return [timedelta(seconds=value) for value in values]


@pytest.mark.parametrize(
    ("hint", "rests"),
    [
        (5, seconds(5, 5, 5, 480, 960)),  # three times at its word, then no shorter rest than usual
        (1200, seconds(1200, 1200, 1200, 1200, 1200)),
        (86400, seconds(7200, 7200, 7200, 7200, 7200)),  # bounded like every rest
    ],
)
def test_a_rate_replys_own_time_is_the_rest(hint: int, rests: list[timedelta]) -> None:
    told = timedelta(seconds=hint)
    assert [cool_down(COOLING, n, hint=told) for n in range(1, 6)] == rests


def test_a_relay_that_names_no_time_is_tried_soon_then_every_five_minutes() -> None:
    assert [probe_wait(COOLING, n) for n in range(1, 8)] == seconds(5, 10, 20, 40, 300, 300, 300)


def test_a_relay_that_says_soon_for_ever_is_tried_every_five_minutes_too() -> None:
    told = timedelta(seconds=1)
    assert [probe_wait(COOLING, n, hint=told) for n in range(1, 7)] == seconds(1, 1, 1, 40, 300, 300)


def test_a_relay_that_says_when_is_not_asked_before_nor_much_later() -> None:
    assert probe_wait(COOLING, 1, hint=timedelta(minutes=20)) == timedelta(minutes=20)
    assert probe_wait(COOLING, 9, hint=timedelta(days=1)) == COOLING.longest
    assert probe_wait(COOLING, 9, own=timedelta(hours=2)) == timedelta(hours=2)  # Yahoo, in its banner


def test_one_address_is_no_proof_however_often_it_is_refused() -> None:
    evidence = Evidence()
    assert not any(evidence.add("sad@example.com", suspect=True) for _ in range(100))


def test_ten_of_ten_addresses_are_proof_and_then_it_starts_anew() -> None:
    evidence = Evidence()
    said = [evidence.add(f"{n}@example.com", suspect=True) for n in range(20)]
    assert [n for n, proof in enumerate(said) if proof] == [9, 19]


def test_one_in_five_that_is_taken_is_proof_of_the_opposite() -> None:
    evidence = Evidence()
    assert not any(evidence.add(f"{n}@example.com", suspect=n % 5 > 0) for n in range(200))


def test_old_replies_are_forgotten_when_thirty_others_came() -> None:
    evidence = Evidence()
    for n in range(30):
        evidence.add(f"{n}@example.com", suspect=False)
    assert evidence.add("30@example.com", suspect=True) is False
    said = [evidence.add(f"{n}@example.com", suspect=True) for n in range(31, 60)]
    assert said.index(True) == 25  # 27 of the latest 30
