"""What a suspension means for lanes, domains and messages."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from postwerk.rules.suspending import SPREAD, Suspended, SuspensionKind, Suspensions, back_after

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
SOON, LATER = NOW + timedelta(minutes=5), NOW + timedelta(hours=2)


def domain(name: str, until: datetime = SOON) -> Suspended:
    return Suspended(SuspensionKind.DOMAIN, name, until)


def provider(name: str, until: datetime = SOON) -> Suspended:
    return Suspended(SuspensionKind.PROVIDER, name, until)


@pytest.mark.parametrize(
    ("suspended", "lane", "address", "stopped"),
    [
        # a provider: all of its domains
        (provider("gmail.com"), "gmail.com", "a@gmail.com", True),
        (provider("gmail.com"), "gmail.com", "a@googlemail.com", True),
        (provider("gmail.com"), "other", "a@tiny.example", False),
        # one domain of a provider: the others go on
        (domain("googlemail.com"), "gmail.com", "a@googlemail.com", True),
        (domain("googlemail.com"), "gmail.com", "A@GoogleMail.com", True),
        (domain("googlemail.com"), "gmail.com", "a@gmail.com", False),
        (domain("gmail.com"), "gmail.com", "a@googlemail.com", False),
        # somebody's own domain: its own lane, and its few messages in the lane of others
        (domain("acme.example"), "acme.example", "a@acme.example", True),
        (domain("acme.example"), "other", "a@acme.example", True),
        (domain("acme.example"), "other", "a@mail.acme.example", False),
        (domain("acme.example"), "other", "a@notacme.example", False),
        (provider("acme.example"), "other", "a@acme.example", True),
        (provider("acme.example"), "acme.example", "a@acme.example", True),
        # the lane of small domains as a whole
        (provider("other"), "other", "a@tiny.example", True),
        (provider("other"), "tiny.example", "a@tiny.example", False),
    ],
)
def test_who_gets_nothing(suspended: Suspended, lane: str, address: str, stopped: bool) -> None:
    found = Suspensions([suspended])
    assert found.of_message(lane, address, NOW) == (suspended if stopped else None)
    assert found.of_message(lane, address, SOON) is None  # it ends by itself


@pytest.mark.parametrize(
    ("suspended", "whole", "shared"),
    [
        (provider("gmail.com"), ["gmail.com"], []),
        (domain("googlemail.com"), [], ["gmail.com"]),
        (domain("acme.example"), ["acme.example"], ["other"]),
        (provider("acme.example"), ["acme.example"], ["other"]),
        (provider("other"), ["other"], []),
    ],
)
def test_which_lanes_rest(suspended: Suspended, whole: list[str], shared: list[str]) -> None:
    found = Suspensions([suspended])
    assert found.whole_lanes(NOW) == whole
    assert [lane for lane, _ in found.shared(NOW)] == shared
    assert sorted(found.lanes(NOW)) == sorted(suspended.lanes) == sorted(whole + shared)
    assert found.lanes(SOON) == []


@pytest.mark.parametrize("turn", [1, -1])
def test_of_several_the_last_to_end_counts(turn: int) -> None:
    both = [domain("googlemail.com", SOON), domain("googlemail.com", LATER)][::turn]
    found = Suspensions(both).of_message("gmail.com", "a@googlemail.com", NOW)
    assert found is not None
    assert found.until == LATER
    mixed = [domain("googlemail.com", SOON), provider("gmail.com", LATER)][::turn]
    found = Suspensions(mixed).of_message("gmail.com", "a@googlemail.com", NOW)
    assert found is not None
    assert found.until == LATER


def test_batches_come_back_one_after_the_other_within_seconds() -> None:
    times = [back_after(SOON, number) for number in range(2000)]
    assert times[:3] == [SOON, SOON + SPREAD, SOON + 2 * SPREAD]
    assert max(times) - SOON < timedelta(seconds=10)
