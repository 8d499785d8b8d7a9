"""CSV lists as people's spreadsheets write them, and as nobody should."""

from __future__ import annotations

import codecs
import contextlib
import csv
import io

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.taking.csv_rows import CsvReader
from postwerk.errors import InvalidRequest
from postwerk.rules.recipients import NewRecipient, Refusal


def read(data: bytes, *, size: int = 7, charset: str | None = None) -> list[NewRecipient | Refusal]:
    reader = CsvReader(charset)
    found: list[NewRecipient | Refusal] = []
    for start in range(0, len(data), size):
        found += reader.feed(data[start : start + size])
    return [*found, *reader.finish()]


ADA = ("ada@example.com", "Ada", '{"city":"Köln"}', None, "example.com")


@pytest.mark.parametrize(
    "encoded",
    [
        "to,name,city\nada@example.com,Ada,Köln\n".encode(),
        "to;name;city\r\nada@example.com;Ada;Köln".encode(),
        "to\tname\tcity\rada@example.com\tAda\tKöln\r".encode(),
        "\r\n\r\nEmail,NAME,city\n\nada@example.com,Ada,Köln\n\n".encode(),
        '"address","name","city"\n"ada@example.com","Ada","Köln"\n'.encode(),
        codecs.BOM_UTF8 + "to,name,city\nada@example.com,Ada,Köln\n".encode(),
        codecs.BOM_UTF16_LE + "to,name,city\nada@example.com,Ada,Köln\n".encode("utf-16-le"),
        codecs.BOM_UTF16_BE + "to,name,city\nada@example.com,Ada,Köln\n".encode("utf-16-be"),
    ],
)
@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_delimiters_line_ends_and_encodings_are_found_out(encoded: bytes, size: int) -> None:
    assert read(encoded, size=size) == [ADA]


@pytest.mark.parametrize("size", [36, 37, 38, 100_000])
def test_windows_1252_is_read_without_being_declared(size: int) -> None:
    text = "to,name,city\n" + "ada@example.com,Ada,Köln\n" * 20
    assert read(text.encode("cp1252"), size=size) == [ADA] * 20


def test_a_declared_charset_is_believed() -> None:
    assert read("to,name,city\nada@example.com,Ada,Łódź\n".encode("iso8859-2"), charset="iso-8859-2") == [
        (*ADA[:2], '{"city":"Łódź"}', *ADA[3:])
    ]


def test_quoted_cells_keep_line_breaks_and_delimiters() -> None:
    data = b'to,note\r\nada@example.com,"one\r\ntwo, ""three"""\r\n'
    assert [one.variables for one in read(data) if isinstance(one, NewRecipient)] == [
        '{"note":"one\\r\\ntwo, \\"three\\""}'
    ]


def test_a_wrong_row_is_named_by_its_number_in_the_spreadsheet() -> None:
    data = (
        b"to,a\nada@example.com,1\n\nnobody,2\nbob@example.com\neve@example.com,\x00\n,\nlast@example.com,3\n"
    )
    found = read(data)

    refused = [(one.row, one.code) for one in found if isinstance(one, Refusal)]
    assert refused == [(4, "invalid_address"), (5, "invalid_row"), (6, "invalid_text")]
    assert [one.address for one in found if isinstance(one, NewRecipient)] == [
        "ada@example.com",
        "last@example.com",
    ]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "missing_header"),
        (b"\n\n", "missing_header"),
        (b"name,city\nAda,Paris\n", "missing_header"),
        (b"to,a,A\n", "invalid_header"),
        (b"to,,a\n", "invalid_header"),
        (b"to,a\x00\n", "invalid_header"),
        (b"to," + b",".join(b"c%d" % n for n in range(10_000)) + b"\n", "invalid_header"),
        (b"to," + b"x" * 300 + b"\n", "invalid_header"),
        (b'to,a\na@example.com,"never closed\n' + b"b@example.com,1\n" * 10, "invalid_csv"),
        (b'to,a\na@example.com,"x"y\n', "invalid_csv"),
        (b"to,a\na@example.com," + b"x" * 131_073 + b"\n", "invalid_csv"),
        (b"to,a\na@example.com," + b"x" * 2_000_000, "invalid_csv"),
        (b'to,a\na@example.com,"' + b"x\n" * 1_000_000, "invalid_csv"),
        (b"to,a\na@example.com,\x81\x8d\x8f\x90\x9d\n", "invalid_encoding"),
        ("to,a\na@example.com,ü\n".encode() + b"b@example.com,\xff\n", "invalid_encoding"),
        ("to,a\n".encode("utf-16-le"), "invalid_header"),
    ],
)
def test_a_list_that_cannot_be_read_is_refused_with_one_clear_error(data: bytes, code: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read(data, size=65536)
    assert caught.value.code == code


@pytest.mark.parametrize(
    "charset", ["utf-7", "zip", "hex", "idna", "punycode", "nonsense", "\x00", "x" * 9999]
)
def test_only_charsets_of_lists_may_be_declared(charset: str) -> None:
    with pytest.raises(InvalidRequest, match="charset"):
        CsvReader(charset)


CELLS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=12)


@given(st.lists(st.tuples(CELLS, CELLS), max_size=8), st.sampled_from(",;\t"), st.integers(1, 40))
def test_what_the_csv_module_wrote_is_read_back_however_it_is_cut(
    rows: list[tuple[str, str]], delimiter: str, size: int
) -> None:
    written = io.StringIO()
    writer = csv.writer(written, delimiter=delimiter, quoting=csv.QUOTE_ALL)
    writer.writerows([("to", "a", "b"), *(("x@example.com", *row) for row in rows)])

    found = read(written.getvalue().encode(), size=size, charset="utf-8")

    assert [
        tuple(orjson.loads(one.variables).values())
        for one in found
        if isinstance(one, NewRecipient) and one.variables
    ] == rows


@given(st.binary(max_size=300), st.integers(1, 50))
def test_no_bytes_do_anything_else_than_parse_or_be_refused(data: bytes, size: int) -> None:
    with contextlib.suppress(InvalidRequest):
        read(b"to,a\n" + data, size=size)
