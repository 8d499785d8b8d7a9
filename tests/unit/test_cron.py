"""Cron expressions: what is taken, and what is not."""

from __future__ import annotations

import pytest

from postwerk.errors import InvalidRequest
from postwerk.rules.cron import normal_cron


@pytest.mark.parametrize(
    "text",
    [
        "* * * * *",
        "0 8 * * mon-fri",
        "*/15 9-17/2 1,15 jan-mar,12 *",
        "0 0 29 2 *",
        "59 23 31 1,3 *",
        "0 8 * * 0,6",
    ],
)
def test_an_expression_stays_as_it_is(text: str) -> None:
    assert normal_cron(text) == text
    assert normal_cron(f"  {text.upper().replace(' ', '  ')} ") == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "* * * *",
        "* * * * * *",
        "@weekly",
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * 32 * *",
        "* * * 13 *",
        "* * * * 7",
        "* * * * mon-sun",
        "*/0 * * * *",
        "5-1 * * * *",
        "5/10 * * * *",
        "1,,2 * * * *",
        "a * * * *",
        "* * L * *",
        "* * * * mon#1",
        "0 8 30 2 *",
        "0 8 31 4,6,9,11 *",
        "0 8 1 * mon",
        "TZ=UTC 0 8 * * *",
        "٥ * * * *",
        "* " * 200,
    ],
)
def test_what_is_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        normal_cron(text, pointer="#/cron")
    assert (caught.value.pointer, caught.value.code) == ("#/cron", "invalid_cron")
