"""NDJSON lists: one object per line, each line for itself."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.taking.ndjson_rows import NdjsonReader
from postwerk.errors import InvalidRequest
from postwerk.rules.recipients import NewRecipient, Refusal


def read(data: bytes, *, size: int = 7) -> list[NewRecipient | Refusal]:
    reader = NdjsonReader()
    found: list[NewRecipient | Refusal] = []
    for start in range(0, len(data), size):
        found += reader.feed(data[start : start + size])
    return [*found, *reader.finish()]


@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_lines_are_read_with_bom_blank_lines_and_without_a_last_line_end(size: int) -> None:
    data = b'\xef\xbb\xbf{"to":"a@example.com","variables":{"n":1}}\r\n\n  \n{"to":"b@example.com"}'
    assert [one[:3] for one in read(data, size=size)] == [
        ("a@example.com", "", '{"n":1}'),
        ("b@example.com", "", None),
    ]


@pytest.mark.parametrize(
    "line",
    [
        b"{",
        b"[]",
        b"17",
        b'"a@example.com"',
        b"{}",
        b'{"to":"a@example.com","x":1}',
        b'{"to":"a@example.com","variables":[]}',
        b'{"to":"a@example.com","name":3}',
        b'{"to":"a@example.com","variables":{"a":NaN}}',
        b'{"to":"a@example.com","variables":{"a":1e999}}',
        b'{"to":"a@example.com","variables":{"a":"\\ud800"}}',
        b'{"to":"a@example.com","variables":{"a":123456789012345678901234567890}}',
        b'{"to":"a@example.com","variables":{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}}",
        b'{"to":"a@example.com","name":"\xff"}',
    ],
)
def test_a_wrong_line_is_refused_by_its_number_and_the_others_are_taken(line: bytes) -> None:
    found = read(b'{"to":"ok@example.com"}\n' + line + b'\n{"to":"ok2@example.com"}\n', size=65536)

    assert [type(one) for one in found] == [NewRecipient, Refusal, NewRecipient]
    assert isinstance(found[1], Refusal)
    assert found[1].row == 2
    assert len(found[1].detail) < 300


@pytest.mark.parametrize("data", [b"x" * 2_000_000, b"x" * 2_000_000 + b"\n"])
def test_an_endless_line_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidRequest, match="line"):
        read(data, size=65536)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**62), 2**62)
    | st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc"), inner, max_size=3),
    max_leaves=5,
)


@given(
    st.lists(st.dictionaries(st.text("abc", min_size=1), JSON, min_size=1, max_size=3), max_size=5),
    st.integers(1, 50),
)
def test_variables_come_out_as_they_went_in_however_the_body_is_cut(
    variables: list[dict[str, Any]], size: int
) -> None:
    lines = [orjson.dumps({"to": "x@example.com", "variables": one}) for one in variables]

    found = read(b"\n".join(lines), size=size)

    assert [
        orjson.loads(one.variables or "{}") for one in found if isinstance(one, NewRecipient)
    ] == variables


@given(st.binary(max_size=300), st.integers(1, 50))
def test_no_bytes_do_anything_else_than_parse_or_be_refused(data: bytes, size: int) -> None:
    read(data, size=size)
