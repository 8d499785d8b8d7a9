"""One provider of three says that we are too fast: its lane rests, and nobody else notices."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.faults.bad_day import (
    GMAIL,
    GMX,
    YAHOO,
    await_completed,
    deferrals,
    let_pass,
    moments_taken,
    most_within,
    taken,
    tell,
    tried,
)
from tests.faults.mailing import a_mailing, addresses, verdict_of, wait_for_mails, wait_until
from tests.support.system import System

SETTINGS = {"POSTWERK_CONNECTIONS_PER_LANE": "4"}
SLOW_DOT = ("--ack-delay", "0.2")
"""Four connections then carry 20 messages a second, on a busy machine too."""
SOON_AGAIN = {"POSTWERK_COOL_DOWN": "PT2S", "POSTWERK_COOL_DOWN_MAXIMUM": "PT4S"}
UNDERWAY = 1.0
"""Seconds after which what was on its way when the trouble began has ended."""


@pytest.mark.slow
@pytest.mark.timeout(90)
def test_only_the_lane_that_is_told_to_slow_down_slows_down_and_it_recovers(tmp_path: Path) -> None:
    """Yahoo asks for two hours; the longest cool-down allowed here is shorter."""
    to = [*addresses(220, domain=GMAIL), *addresses(180, domain=YAHOO), *addresses(220, domain=GMX)]
    with System(tmp_path, settings=SETTINGS | SOON_AGAIN, sandbox_options=SLOW_DOT) as system:
        bulk_id = system.post(a_mailing(to))["id"]
        wait_for_mails(system, 60)
        calm = let_pass(4)
        system.sandbox.set_domain(YAHOO, preset="yahoo-tss04")
        troubled = let_pass(UNDERWAY + 4)
        troubled = (troubled[0] + UNDERWAY, troubled[1])
        system.sandbox.clear_domain(YAHOO)
        await_completed(system, bulk_id)
        verdict = verdict_of(system, bulk_id, to)
        before = {domain: taken(system, domain, *calm) for domain in (GMAIL, YAHOO, GMX)}
        meanwhile = {domain: tried(system, domain, *troubled) for domain in (GMAIL, YAHOO, GMX)}
        afterwards = most_within(moments_taken(system, YAHOO, troubled[1]), 4)
        counted = deferrals(system, bulk_id)

    print(f"in four seconds: before {before}, in trouble {meanwhile}, Yahoo's best afterwards {afterwards}")
    assert meanwhile[YAHOO] * 10 <= before[YAHOO]
    # Four seconds beside other tests; the long form, alone and for minutes, asks for nine tenths.
    assert meanwhile[GMAIL] >= 0.6 * before[GMAIL]
    assert meanwhile[GMX] >= 0.6 * before[GMX]
    assert afterwards >= 0.6 * before[YAHOO]
    assert verdict.complaints == []
    assert verdict.states == {"delivered": len(to)}
    assert counted == 0


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("asked_by", ["retry_now", "nobody"])
def test_the_others_keep_their_pace_for_minutes(tmp_path: Path, asked_by: str) -> None:
    """From the first message on, with the usual minute of rest; an operator ends Yahoo's two hours."""
    trouble = "yahoo-tss04" if asked_by == "retry_now" else "gmail-rate"
    with System(tmp_path, settings=SETTINGS, sandbox_options=SLOW_DOT) as system:
        calm_to, calm, _ = _begin(system, "calm", 900)
        calm_window = let_pass(30)
        await_completed(system, calm, 120)
        system.sandbox.set_domain(YAHOO, preset=trouble)
        to, bulk_id, began = _begin(system, "troubled", 1500)
        window = let_pass(30)
        wait_until(lambda: time.time() > began + 40, "forty seconds of trouble")
        refused = tried(system, YAHOO, began)
        system.sandbox.clear_domain(YAHOO)
        if asked_by == "retry_now":
            tell(system, bulk_id, "retry_now")
        await_completed(system, bulk_id, 400)
        verdicts = [verdict_of(system, calm, calm_to), verdict_of(system, bulk_id, to)]
        before = {domain: taken(system, domain, *calm_window) for domain in (GMAIL, YAHOO, GMX)}
        meanwhile = {domain: tried(system, domain, *window) for domain in (GMAIL, YAHOO, GMX)}
        afterwards = most_within(moments_taken(system, YAHOO, began + 40), 10)
        counted = deferrals(system, bulk_id)

    print(f"in 30 s: calm {before}, in trouble {meanwhile}; refused {refused}; best 10 s after: {afterwards}")
    assert meanwhile[YAHOO] * 10 <= before[YAHOO]
    assert meanwhile[GMAIL] >= 0.9 * before[GMAIL]
    assert meanwhile[GMX] >= 0.9 * before[GMX]
    assert afterwards >= 0.8 * before[YAHOO] / 3
    assert [verdict.complaints for verdict in verdicts] == [[], []]
    assert verdicts[1].states == {"delivered": len(to)}
    assert counted == 0


def _begin(system: System, name: str, count: int) -> tuple[list[str], str, float]:
    """Start a send to the three providers; returns when its first mails are through."""
    to = [one for domain in (GMAIL, YAHOO, GMX) for one in addresses(count, name, domain)]
    began = time.time()
    bulk_id = system.post(a_mailing(to))["id"]
    wait_until(lambda: taken(system, GMX, began) >= 20, "it is under way")
    return to, bulk_id, began
