"""What the columns of a list seem to mean."""

from __future__ import annotations

import pytest

from api.page.list_columns import guess
from api.page.send_form import local_moment
from api.taking.mapped_rows import first_rows
from postwerk.errors import InvalidRequest

ADA, BOB = "ada@example.com", "bob@example.com"


@pytest.mark.parametrize(
    ("rows", "uses"),
    [
        ([["to", "name", "code"], [ADA, "Ada", "1"]], "address name variable"),
        ([["Name", "E-Mail-Adresse"], ["Ada", ADA]], "name address"),
        # by what is in it, whatever it is called
        ([["email", "x"], ["none", ADA], ["", BOB]], "variable address"),
        # by its name, where nothing looks like an address
        ([["x", "Email Address"], ["1", "none"]], "variable address"),
        ([["x", "e-mail"]], "variable address"),
        # the first row is a recipient
        ([["Ada", ADA], ["Bob", BOB]], "variable address"),
        # one name only; rows may be short
        ([["to", "name", "full name"], [ADA], [BOB, "B", "C"]], "address name variable"),
    ],
)
def test_what_columns_are_for(rows: list[list[str]], uses: str) -> None:
    assert [one.use for one in guess(rows).columns] == uses.split()


def test_what_columns_are_called() -> None:
    header = ["to", "First Name", "first_name", "2nd", "Größe", "", "plain", "CODE", "***"]
    found = guess([header, [ADA]], wanted=["Code", "other"])
    called = [one.called for one in found.columns]
    assert called == [
        "to",
        "first_name",
        "first_name_2",
        "_2nd",
        "gr_e",
        "column_6",
        "plain",
        "Code",
        "column_9",
    ]
    assert found.missing(["Code", "other"]) == ["other"]


def test_a_list_that_cannot_be_read_to_its_end_still_shows_its_first_rows() -> None:
    assert first_rows(b'a,b\n1,2\n"3', 6, is_all=True) == [["a", "b"], ["1", "2"]]
    assert first_rows(b"a,b\n1,2\n3,", 6, is_all=False) == [["a", "b"], ["1", "2"]]
    assert first_rows(b"a;b\n" * 10, 3, is_all=True) == [["a", "b"]] * 3
    for bad in (b"", b"\n\n", b"\xff\xfe\x00", ",".join("x" * 501).encode(), b"a" * 300):
        with pytest.raises(InvalidRequest):
            first_rows(bad, 6, is_all=True)


@pytest.mark.parametrize(
    ("text", "zone", "moment"),
    [
        ("2026-12-01T08:00", "UTC", "2026-12-01T08:00:00+00:00"),
        ("2026-07-01T08:00", "Europe/Berlin", "2026-07-01T08:00:00+02:00"),
        ("2026-12-01T08:00:30Z", "Europe/Berlin", "2026-12-01T08:00:30+00:00"),
        # it comes twice: the first time is meant
        ("2026-10-25T02:30", "Europe/Berlin", "2026-10-25T02:30:00+02:00"),
    ],
)
def test_times_are_those_of_clocks_there(text: str, zone: str, moment: str) -> None:
    assert local_moment(text, zone, "send_at") == moment


@pytest.mark.parametrize(
    ("text", "zone", "field"),
    [
        ("tomorrow", "UTC", "send_at"),
        ("2026-12-01T08:00", "Mars/Olympus", "zone"),
        ("2026-03-29T02:30", "Europe/Berlin", "send_at"),  # clocks are put forward over it
    ],
)
def test_times_that_there_are_not(text: str, zone: str, field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        local_moment(text, zone, "send_at")
    assert caught.value.pointer == field
