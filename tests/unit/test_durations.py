"""How lengths of time may be written."""

from __future__ import annotations

import contextlib
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postwerk.errors import InvalidRequest
from postwerk.rules.durations import bounded_duration, parse_duration


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (90, timedelta(seconds=90)),
        (0.5, timedelta(seconds=0.5)),
        ("90", timedelta(seconds=90)),
        ("5d", timedelta(days=5)),
        ("36h", timedelta(hours=36)),
        ("90m", timedelta(minutes=90)),
        (" 1d12H ", timedelta(hours=36)),
        ("1.5h", timedelta(minutes=90)),
        ("P5D", timedelta(days=5)),
        ("PT36H", timedelta(hours=36)),
        ("P1W", timedelta(days=7)),
        ("P1DT2H3M4.5S", timedelta(days=1, hours=2, minutes=3, seconds=4.5)),
    ],
)
def test_a_length_of_time_is_read(written: Any, meant: timedelta) -> None:
    assert parse_duration(written) == meant


@pytest.mark.parametrize(
    "written",
    [
        *("", "P", "PT", "5 days", "-5d", "five", "1h1d", "P1Y", "1e3", "٣d", "9" * 400, "5d\n5d"),
        *(None, True, [], {}, float("nan"), float("inf"), -1, 10**400),
    ],
)
def test_anything_else_is_refused_with_the_way_out(written: Any) -> None:
    with pytest.raises(InvalidRequest, match="P5D") as caught:
        parse_duration(written, pointer="#/deadline")
    assert (caught.value.pointer, caught.value.code) == ("#/deadline", "invalid_duration")


def test_a_length_out_of_bounds_names_them() -> None:
    with pytest.raises(InvalidRequest, match="between 1 minute and 7 days"):
        bounded_duration("8d", timedelta(minutes=1), timedelta(days=7), pointer="#/deadline")


@given(st.text() | st.floats() | st.integers())
def test_no_input_does_anything_else_than_parse_or_refuse(written: Any) -> None:
    with contextlib.suppress(InvalidRequest):
        assert parse_duration(written) >= timedelta()
