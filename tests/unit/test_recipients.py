"""One given recipient: what is taken, and what is refused with which field."""

from __future__ import annotations

from typing import Any

import pytest

from postwerk.errors import InvalidRequest
from postwerk.rules.recipients import find_nul, new_recipient, refusal


def test_a_recipient_is_normalised_and_put_into_its_lane() -> None:
    taken = new_recipient(" Ada@GMail.com ", "Ada L", {"uid": 7}, {"row": "1"})

    assert taken == ("Ada@gmail.com", "Ada L", '{"uid":7}', '{"row":"1"}', "gmail.com")


@pytest.mark.parametrize("to", ["Ada <ada@example.com>", {"email": "ada@example.com", "name": "Ada"}])
def test_a_name_may_stand_with_the_address(to: Any) -> None:
    assert new_recipient(to)[:2] == ("ada@example.com", "Ada")
    assert new_recipient(to, "Countess")[1] == "Countess"


@pytest.mark.parametrize(
    ("given", "pointer", "code"),
    [
        ({"to": "x@@y"}, "#/to", "invalid_address"),
        ({"to": 17}, "#/to", "invalid_address"),
        ({"to": None}, "#/to", "invalid_address"),
        ({"to": {"email": "a@example.com", "bcc": "x"}}, "#/to", "invalid_address"),
        ({"to": "a@example.com\r\nBcc: b@example.com"}, "#/to", "invalid_address"),
        ({"to": "a@example.com", "name": "Ada\r\nBcc: x"}, "#/name", "invalid_name"),
        ({"to": "a@example.com", "name": "=?utf-8?q?a=0D=0ABcc:_v@y?="}, "#/name", "invalid_name"),
        ({"to": "a@example.com", "name": 7}, "#/name", "invalid_name"),
        ({"to": "a@example.com", "variables": {"a": ["\x00"]}}, "#/variables", "invalid_text"),
        ({"to": "a@example.com", "variables": {"\x00": 1}}, "#/variables", "invalid_text"),
        ({"to": "a@example.com", "variables": {"a": "\ud800"}}, "#/variables", "invalid_text"),
        ({"to": "a@example.com", "variables": {"a": 2**64}}, "#/variables", "invalid_text"),
        ({"to": "a@example.com", "variables": {"a": "x" * 70_000}}, "#/variables", "too_large"),
        ({"to": "a@example.com", "metadata": {"a": "x" * 70_000}}, "#/metadata", "too_large"),
    ],
)
def test_a_wrong_field_is_named(given: dict[str, Any], pointer: str, code: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        new_recipient(**given)
    assert (caught.value.pointer, caught.value.code) == (pointer, code)


def test_a_written_out_escape_is_no_nul() -> None:
    assert new_recipient("a@example.com", variables={"a": "\\u0000"}).variables == '{"a":"\\\\u0000"}'


def test_a_refusal_shows_a_short_and_clean_address() -> None:
    shown = refusal(3, "a\x00b" + "c" * 1000, InvalidRequest("no", pointer="#/to", code="invalid_address"))

    assert shown.to.startswith("a\ufffdbc")
    assert len(shown.to) == 320
    assert (shown.row, shown.field) == (3, "to")


def test_the_place_of_a_nul_is_a_json_pointer() -> None:
    assert find_nul({"a": [1, {"b/c": "x\x00"}]}) == "#/a/1/b~1c"
    assert find_nul({"a": "x"}) is None
