"""How the environment says when to try again and how fast: POSTWERK_RETRY*, COOL_DOWN, RELAY_RATE."""

from __future__ import annotations

from datetime import timedelta

import pytest

from postwerk.errors import ConfigurationError
from postwerk.settings import load_settings

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


@pytest.mark.parametrize("written", ["300", "5m", "PT5M"])
def test_a_duration_is_written_as_anywhere_else(monkeypatch: pytest.MonkeyPatch, written: str) -> None:
    monkeypatch.setenv("POSTWERK_RETRY_INITIAL", written)
    monkeypatch.setenv("POSTWERK_COOL_DOWN", written)
    settings = load_settings()
    assert settings.retry_schedule().initial == settings.cooling().first == 5 * MINUTE


def test_a_preset_is_the_ground_for_what_is_set_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTWERK_RETRY", "postfix")
    monkeypatch.setenv("POSTWERK_RETRY_JITTER", "0")
    monkeypatch.setenv("POSTWERK_RETRY_INITIAL", "")
    schedule = load_settings().retry_schedule()
    assert (schedule.initial, schedule.maximum, schedule.jitter) == (5 * MINUTE, timedelta(seconds=4000), 0)


def test_every_wait_may_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTWERK_RETRY_WAITS", "1m, 5m,1h")
    assert load_settings().retry_schedule().waits == (MINUTE, 5 * MINUTE, HOUR)


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("POSTWERK_RETRY_INITIAL", "soon"),
        ("POSTWERK_RETRY_WAITS", "1m,never"),
        ("POSTWERK_RETRY", "sendmail"),
        ("POSTWERK_COOL_DOWN", "0"),
        ("POSTWERK_PROBE_EVERY", "9d"),
        ("POSTWERK_RELAY_RATE", "fast"),
    ],
)
def test_what_cannot_be_meant_is_named_on_one_line(
    monkeypatch: pytest.MonkeyPatch, name: str, written: str
) -> None:
    monkeypatch.setenv(name, written)
    with pytest.raises(ConfigurationError, match=f"^{name}") as raised:
        _all_of_it()
    assert "\n" not in raised.value.message


def _all_of_it() -> None:
    settings = load_settings()
    settings.retry_schedule()
    settings.cooling()
    settings.relay_rate_limit()
