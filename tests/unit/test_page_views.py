"""What the page makes of figures: words, curves, bars and signs. Pure."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.page.chart import HEIGHT, WIDTH, chart, sparkline
from api.page.connected import Connected
from api.page.figures import figures
from api.page.health import health
from api.page.send_cards import BAR, widths_of
from api.page.words import ago, clock, counted, number, percent, said, size, span, without
from postwerk.archive.annotations import Annotation
from postwerk.archive.lanes import LaneState
from postwerk.archive.queue_totals import QueueTotals
from postwerk.contracts.states import MessageState
from postwerk.rules.curves import SPANS, begin_of, curve, last_minute, total
from postwerk.rules.reply_patterns import Kind, Repeated, added_up, pattern_of

NOW = datetime(2026, 11, 22, 12, 0, 7, tzinfo=UTC)
RELAY = {"default": LaneState("")}


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        (number(None), "–"),
        (number(0), "0"),
        (number(1234567), "1,234,567"),
        (number(0.25), "0.2"),
        (number(12.7), "13"),
        (percent(None), "–"),
        (percent(0), "0 %"),
        (percent(0.0001), "<0.1 %"),
        (percent(0.0234), "2.3 %"),
        (percent(1), "100 %"),
        (span(0), "0 s"),
        (span(59.9), "59 s"),
        (span(timedelta(minutes=12, seconds=5)), "12 min"),
        (span(3 * 3600 + 20 * 60), "3 h 20 min"),
        (span(2 * 86400 + 3600), "2 d 1 h"),
        (span(20 * 86400 + 3600), "20 d"),
        (span(-5), "0 s"),
        (ago(None, NOW), "–"),
        (ago(NOW - timedelta(seconds=4), NOW), "4 s"),
        (clock(NOW, NOW), "12:00:07"),
        (clock(NOW - timedelta(days=1), NOW), "2026-11-21 12:00"),
        (size(999), "999 B"),
        (size(1_500_000), "1.5 MB"),
        (counted(1, "message"), "1 message"),
        (counted(1200, "message"), "1,200 messages"),
        (without("held: why", "held"), "why"),
        (without("paused", "held"), "paused"),
    ],
)
def test_words(said: str, wanted: str) -> None:
    assert said == wanted


@given(st.lists(st.integers(0, 10**9), min_size=4, max_size=4))
def test_a_bar_is_full_and_shows_all_that_is_there(totals: list[int]) -> None:
    widths = widths_of(totals)
    assert sum(widths) == pytest.approx(BAR if any(totals) else 0, abs=0.5)
    assert all((width >= 3.9) == bool(n) for width, n in zip(widths, totals, strict=True))


@given(st.sampled_from(SPANS), st.dictionaries(st.integers(0, 9000), st.integers(1, 999), max_size=30))
def test_a_curve_counts_each_tally_of_its_time_once(chosen: object, at: dict[int, int]) -> None:
    span_ = next(one for one in SPANS if one is chosen)
    end = begin_of(span_, NOW) + span_.length
    tallies = {end - timedelta(seconds=10 * steps): Counter({"delivered": n}) for steps, n in at.items()}
    wanted = total(tallies, ["delivered"], begin_of(span_, NOW), end)
    found = curve(tallies, ["delivered"], span_, NOW)
    assert (len(found), sum(found)) == (span_.steps, wanted)
    assert NOW - end < span_.step


def test_the_last_minute_has_whole_tallies_only() -> None:
    since, until = last_minute(NOW)
    assert until <= NOW - timedelta(seconds=10)
    assert until - since == timedelta(minutes=1)


def test_a_chart_stays_in_its_field_and_shows_what_explains_it() -> None:
    tallies = {
        NOW - timedelta(seconds=7 + 10 * n): Counter(delivered=100 * n, bounced=n) for n in range(1, 90)
    }
    annotations = [
        Annotation(NOW - timedelta(minutes=5), "bulk.pause", "bulk_x", "ada", "wrong price"),
        Annotation(NOW - timedelta(minutes=4), "bulk.change", "bulk_x", "ada", "", ("rate",)),
        Annotation(NOW - timedelta(hours=5), "bulk.resume", "bulk_x", "ada", ""),
    ]
    found = chart(tallies, annotations, SPANS[0], NOW)
    for line in found.lines:
        xs, ys = zip(*(map(float, place.split(",")) for place in line.points.split()), strict=True)
        assert 0 <= min(xs) <= max(xs) <= WIDTH
        assert 0 <= min(ys) <= max(ys) <= HEIGHT
    assert [one.words for one in found.annotations] == [
        "paused bulk_x by ada: wrong price",
        "rate changed bulk_x by ada",
    ]
    assert all(0 <= one.x <= WIDTH for one in found.annotations)
    assert not found.is_empty
    assert chart({}, [], SPANS[2], NOW).is_empty


def test_a_sparkline_needs_two_values() -> None:
    assert sparkline([1]) == ""
    assert sparkline([0, 0]).endswith(",26.5")


def test_shares_are_of_what_ended() -> None:
    at = NOW - timedelta(minutes=1)
    tallies = {at: Counter(delivered=900, bounced=80, expired=20, deferred=500, complained=9)}
    queue = QueueTotals(Counter({MessageState.QUEUED: 5, MessageState.DEFERRED: 2}), NOW - timedelta(hours=2))
    by_name = {one.name: one for one in figures(queue, tallies, [], NOW)}
    assert by_name["Bounced"].value == "8.0 %"
    assert by_name["Bounced"].kind == "bad"
    assert by_name["Complained"].value == "1.0 %"
    assert (by_name["In the queue"].exact, by_name["Deferred"].exact) == (7, 2)
    assert by_name["Oldest in the queue"].value == "2 h"


def _stopped(found: Connected, queue: QueueTotals | None = None) -> str:
    return " ".join(health(found, queue, "1", NOW).stopped)


def test_why_nothing_can_be_sent() -> None:
    soon = NOW + timedelta(minutes=5)
    down = LaneState("", failures=3, cool_until=soon, origin="session", last_refusal="connection refused")
    waits = QueueTotals(Counter({MessageState.QUEUED: 9}), paused=9)
    assert _stopped(Connected(True, 2, 0, RELAY), QueueTotals()) == ""
    assert "archive" in _stopped(Connected(False, 2, 0, {}))
    assert "Temporal does not answer" in _stopped(Connected(True, None, None, RELAY))
    assert "No worker polls" in _stopped(Connected(True, 0, 7, RELAY))
    assert "12:05:07 UTC: connection refused" in _stopped(Connected(True, 2, 0, {"default": down}))
    assert _stopped(Connected(True, 2, 0, {"default": down, "backup": LaneState("")})) == ""
    assert "9 messages wait until somebody resumes" in _stopped(Connected(True, 2, 0, RELAY), waits)
    assert "being asked" in str(health(None, None, "1", NOW).signs)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("<ada@x.example>: User unknown", "<bob@y.example>: User unknown"),
        ("rejected, id A1b2C3-x9", "rejected, id Zz88-77"),
        ("[192.0.2.1] blocked", "[2001:db8::7] blocked"),
        ("try again in 300 seconds", "try again in 12 seconds"),
        ("host mx1.a.example said no", "host mx2.b.example said no"),
        ("see https://a.example/?p=1 d9443c01a7336-1fc8", "see https://a.example/x 97abc-22"),
    ],
)
def test_replies_that_differ_in_what_is_about_one_mail_are_alike(one: str, other: str) -> None:
    assert pattern_of(one) == pattern_of(other)


def test_what_they_say_keeps_its_words() -> None:
    assert pattern_of("4.7.0 Too many messages from 10.0.0.1") == "4.7.0 Too many messages from …"
    assert pattern_of("mailbox full") != pattern_of("mailbox unknown")
    assert pattern_of("") == ""


@given(st.text(max_size=2000))
def test_any_text_has_a_short_pattern(text: str) -> None:
    assert len(pattern_of(text)) <= 160


def test_replies_of_several_minutes_are_added_up() -> None:
    kind, other = Kind(450, "greylisted", "later"), Kind(550, "", "no")
    early = Repeated(kind, NOW, NOW, "first", "m.1", 2, Counter({"a": 2}))
    late = Repeated(kind, NOW + timedelta(1), NOW + timedelta(1), "last", "m.2", 3, Counter({"a": 1, "b": 2}))
    rest = Repeated(other, NOW, NOW, "x", "m.3", 1, Counter({"c": 1}))
    first, second = added_up([early, rest, late])
    assert (first.n, first.sample, first.lanes, first.first_at) == (5, "last", Counter(a=3, b=2), NOW)
    assert second.n == 1
    assert early.n == 2  # what was given is left as it is


@pytest.mark.parametrize(
    ("text", "enhanced", "wanted"),
    [
        ("4.7.1 Try again", "4.7.1", "Try again"),
        ("Try again 4.7.1", "4.7.1", "Try again 4.7.1"),
        ("4.7.1", "4.7.1", ""),
        ("No such user", None, "No such user"),
        (None, None, ""),
    ],
)
def test_a_code_is_told_once(text: str | None, enhanced: str | None, wanted: str) -> None:
    assert said(text, enhanced) == wanted
