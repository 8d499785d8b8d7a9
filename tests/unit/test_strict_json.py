"""JSON that two readers could understand in two ways is refused, and where it does so is said."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.errors import MalformedBody
from api.taking.json_body import read_json
from api.taking.ndjson_rows import read_entry
from api.taking.strict_json import strict_json
from postwerk.rules.recipients import NewRecipient, Refusal

DOUBTFUL = [
    (b'{"a":1,"a":1}', "#/a", "duplicate_key"),
    (b'{"a":1,"b":2,"a":33}', "#/a", "duplicate_key"),
    (b'{"a" : [1], "b":{"c":1,"d":[{"x/~":1,"x/~":2}]}}', "#/b/d/0/x~1~0", "duplicate_key"),
    (b'{"a":{"\\u0062":1,"b":"2"}}', "#/a/b", "duplicate_key"),
    (b'{"variables":{"a":NaN}}', "#/variables/a", "invalid_number"),
    (b'{"variables":{"a":[1,-Infinity]}}', "#/variables/a/1", "invalid_number"),
    (b'{"variables":{"a":1e999}}', "#/variables/a", "invalid_number"),
    (b'{"subject":"\\ud800"}', "#/subject", "invalid_text"),
    (b'{"variables":{"a":["x","y\\udc00"]}}', "#/variables/a/1", "invalid_text"),
    (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "#", "nested_too_deep"),
    (b'{"variables":{"k":' + b'{"k":' * 3_000 + b"1" + b"}" * 3_000 + b"}}", "#", "nested_too_deep"),
    (b'{"recipients":[1,2,],"a":1}', "#", "malformed"),
    (b'{"a":tru}', "#", "malformed"),
    (b'{"a":"\xff"}', "#/a", "malformed"),
]


@pytest.mark.parametrize(("body", "pointer", "code"), DOUBTFUL, ids=lambda value: str(value)[:40])
def test_the_place_is_named(body: bytes, pointer: str, code: str) -> None:
    with pytest.raises(MalformedBody) as refusal:
        read_json(body)
    assert (refusal.value.pointer, refusal.value.code) == (pointer, code)
    with pytest.raises(MalformedBody):
        strict_json(body)


def test_a_key_twice_in_the_whole_body_is_seen_past_a_long_list() -> None:
    entries = ",".join(json.dumps({"to": f"user{n}@example.com"}) for n in range(5_000))
    body = f'{{"subject":"a","recipients":[{entries}],"subject":"b"}}'.encode()
    with pytest.raises(MalformedBody) as refusal:
        read_json(body)
    assert refusal.value.pointer == "#/subject"


@pytest.mark.parametrize(
    ("row", "field", "code"),
    [
        (b'{"to":"a@b.de","to":"c@b.de"}', "to", "duplicate_key"),
        (b'{"to":"a@b.de","variables":{"u":"http://x","u":1}}', "variables/u", "duplicate_key"),
        (b'{"to":"a@b.de","variables":{"a":[{"b":1,"b":2}]}}', "variables/a/0/b", "duplicate_key"),
        (b'{"to":"a@b.de","variables":{"a":NaN}}', "variables/a", "invalid_recipient"),
        (b'{"to":"a@b.de","variables":{"a":"\\ud800"}}', "variables/a", "invalid_recipient"),
    ],
)
def test_a_doubtful_recipient_is_refused_alone(row: bytes, field: str, code: str) -> None:
    found = read_entry(7, row)
    assert isinstance(found, Refusal)
    assert (found.row, found.field, found.code) == (7, field, code)


@pytest.mark.parametrize(
    "row",
    [
        b'{"to":"a@b.de","name":null,"variables":null}',
        b'{"to":{"email":"a@b.de","name":"x: y"},"variables":{"to":{"to":"http://to:1"}}}',
    ],
)
def test_colons_and_nulls_are_no_doubt(row: bytes) -> None:
    assert isinstance(read_entry(0, row), NewRecipient)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=8), JSON), st.booleans(), st.booleans())
def test_what_is_not_doubtful_is_read_as_it_is(document, ascii_only, spread) -> None:
    document.pop("recipients", None)
    body = json.dumps(document, ensure_ascii=ascii_only, indent=2 if spread else None).encode()
    if b"\\u0000" in body:
        return
    assert read_json(body) == (document, [])
    assert strict_json(body) == document
