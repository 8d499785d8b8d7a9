"""A list of any length in parts: every row once, whatever the file looks like."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from api.taking.csv_rows import CsvReader
from api.taking.ndjson_rows import NdjsonReader
from postwerk.cli.client.errors import Misused
from postwerk.cli.client.lists import List, Part, csv_cells, opened
from postwerk.rules.recipients import NewRecipient, Refusal


@contextmanager
def a_list(folder: Path, data: bytes, charset: str | None = None) -> Iterator[List]:
    (folder / "list").write_bytes(data)
    with opened(str(folder / "list"), charset=charset) as found:
        yield found


def read_by_the_api(part: Part) -> list[NewRecipient | Refusal]:
    kind, _, charset = part.media_type.partition("; charset=")
    reader = CsvReader(charset or None) if kind == "text/csv" else NdjsonReader()
    return [*reader.feed(part.body), *reader.finish()]


def row_numbers(parts: list[Part], data: bytes) -> list[int]:
    """Numbers in the list of all rows that are refused, from the parts."""
    return [
        one.row + part.rows_before
        for part in parts
        for one in read_by_the_api(part)
        if isinstance(one, Refusal)
    ]


NOTES = ["Ada, Countess; of\tLovelace", 'B "the\nbuilder"', "Zoë"]


def csv_text(delimiter: str, end: str) -> str:
    """60 rows whose notes hold delimiters, quotes and line breaks."""
    lines = [f"to{delimiter}note"]
    for n in range(60):
        note = NOTES[n % 3].replace('"', '""')
        lines.append(f'u{n}@example.com{delimiter}"{note}"')
    return end.join(lines) + end


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(
    ("encoding", "charset"),
    [
        ("utf-8", None),
        ("utf-8-sig", None),
        ("utf-16", None),
        ("utf-16-be", "utf-16-be"),
        ("cp1252", "cp1252"),
    ],
)
@pytest.mark.parametrize("size", [1, 100, 10**6])
def test_every_row_of_a_csv_list_goes_once(
    tmp_path: Path, delimiter: str, end: str, encoding: str, charset: str | None, size: int
) -> None:
    data = csv_text(delimiter, end).encode(encoding)
    with a_list(tmp_path, data, charset) as found:
        parts = list(found.parts(size))
    rows = [one for part in parts for one in read_by_the_api(part)]
    taken = [(one.address, json.loads(one.variables or "")) for one in rows if isinstance(one, NewRecipient)]
    assert taken == [(f"u{n}@example.com", {"note": NOTES[n % 3]}) for n in range(60)]
    assert len(parts) == {1: 60, 100: len(parts), 10**6: 1}[size]


def test_a_refused_row_is_named_by_its_number_in_the_list(tmp_path: Path) -> None:
    lines = [f"u{n}@example.com" if n % 7 else "nobody" for n in range(100)]
    data = ("\n\nto\n" + "\n\n".join(lines)).encode()
    with a_list(tmp_path, data) as found:
        whole = row_numbers(list(found.parts(10**6)), data)
    with a_list(tmp_path, data) as found:
        assert row_numbers(list(found.parts(30)), data) == whole
    assert len(whole) == 15


def test_ndjson_goes_line_by_line(tmp_path: Path) -> None:
    data = b"\xef\xbb\xbf" + b"".join(
        b'{"to": "u%d@example.com"}\n' % n if n % 5 else b"\n{}\n" for n in range(100)
    )
    with a_list(tmp_path, data) as found:
        assert found.kind == "ndjson"
        parts = list(found.parts(100))
    assert b"".join(part.body for part in parts) == data
    assert all(
        part.body.count(b"\n") == after.rows_before - part.rows_before for part, after in pairwise(parts)
    )
    assert row_numbers(parts, data)[:3] == [2, 8, 14]


def test_what_is_no_csv_is_told_with_its_row(tmp_path: Path) -> None:
    with (
        a_list(tmp_path, b'to,name\na@b.example,"never closed\nand on\n') as found,
        pytest.raises(Misused, match="row 2 "),
    ):
        list(found.parts())


def test_a_file_that_is_not_in_its_charset_is_told(tmp_path: Path) -> None:
    with a_list(tmp_path, b"\xff\xfet\x00o\x00\n\x00\x00\xd8\n\x00") as found, pytest.raises(Misused):
        list(found.parts())
    with a_list(tmp_path, b"to\nx@y.example\n", "klingon") as found, pytest.raises(Misused, match="klingon"):
        list(csv_cells(found))


def test_an_empty_list_is_one_part_for_the_api_to_judge(tmp_path: Path) -> None:
    with a_list(tmp_path, b"") as found:
        assert [part.body for part in found.parts()] == [b"\n"]
    with pytest.raises(Misused, match="cannot be read"), opened(str(tmp_path / "nowhere")):
        pass
    with pytest.raises(Misused, match="directory"), opened(str(tmp_path)):
        pass


def test_cells_are_read_in_the_encoding_of_the_file(tmp_path: Path) -> None:
    for encoding in ("utf-8", "cp1252", "utf-16", "utf-8-sig"):
        with a_list(tmp_path, "to;name\nx@y.example;Zoë\n".encode(encoding)) as found:
            assert list(csv_cells(found)) == [["to", "name"], ["x@y.example", "Zoë"]]
