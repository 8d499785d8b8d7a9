"""Keys as text, what they may be called, and what they may send from."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postwerk.contracts.content import Content, Mailbox
from postwerk.contracts.keys import Scope
from postwerk.errors import Forbidden, InvalidRequest
from postwerk.rules.api_keys import (
    check_from,
    may_send_from,
    read_domains,
    read_end,
    read_name,
    read_quota,
    read_scopes,
    rights_of,
)
from postwerk.rules.key_text import KEY_PATTERN, digest_of, new_key, prefix_of

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
KEY = new_key(b"1234567", bytes(range(32)))


@given(st.binary(min_size=7, max_size=7), st.binary(min_size=32, max_size=32))
def test_a_key_is_known_by_its_form_and_found_by_its_prefix(public: bytes, secret: bytes) -> None:
    key = new_key(public, secret)

    assert re.fullmatch(KEY_PATTERN, key)
    assert prefix_of(key) == key[:13]
    assert "_" not in key[14:]  # a double click takes the secret as one word


def test_all_256_bits_of_the_secret_are_in_the_key() -> None:
    changed = [bytes(octet ^ (1 << bit) if i == place else octet for i, octet in enumerate(range(32)))
               for place in range(32) for bit in range(8)]  # fmt: skip
    assert len({new_key(b"1234567", secret) for secret in changed} | {KEY}) == 257


@pytest.mark.parametrize("place", range(3, len(KEY)))
def test_a_letter_copied_wrongly_is_noticed(place: int) -> None:
    for letter in "0aZ_":
        if KEY[place] != letter:
            assert prefix_of(KEY[:place] + letter + KEY[place + 1 :]) is None


@pytest.mark.parametrize(
    "text", ["", "pw_", KEY[:-1], KEY + "0", KEY.upper(), f" {KEY}", f"{KEY}\n", "é" * 63]
)
def test_what_is_no_whole_key_has_no_prefix(text: str) -> None:
    assert prefix_of(text) is None


def test_the_digest_is_of_the_whole_key() -> None:
    assert len({digest_of(KEY), digest_of(KEY[:-1]), digest_of("")}) == 3


@pytest.mark.parametrize("name", ["shop", "Büro 7", "ci@host", "a.b-c_d:e/f+g", "x" * 60])
def test_a_name_that_can_sign(name: str) -> None:
    assert read_name(f" {name} ") == name


@pytest.mark.parametrize(
    "name",
    ["", " ", "x" * 61, "ops (ada)", "api", "API", "reply", "key_1", "pw_x", "a\nb", "\u202eabc", "-a"],
)
def test_a_name_that_could_be_taken_for_somebody_else(name: str) -> None:
    with pytest.raises(InvalidRequest) as error:
        read_name(name)
    assert error.value.pointer == "#/name"


@pytest.mark.parametrize(
    ("domains", "address", "allowed"),
    [
        (None, "a@any.example", True),
        (("shop.example",), "a@shop.example", True),
        (("shop.example",), "a@SHOP.example", True),
        (("shop.example",), "a@mail.shop.example", False),
        (("shop.example",), "a@myshop.example", False),
        ((".shop.example",), "a@mail.shop.example", True),
        ((".shop.example",), "a@x.mail.shop.example", True),
        ((".shop.example",), "a@shop.example", False),  # say both if both are meant
        ((".shop.example",), "a@evilshop.example", False),
        (("xn--bcher-kva.example",), "a@xn--bcher-kva.example", True),
        (("a.example", "b.example"), "x@b.example", True),
    ],
)
def test_from_which_domains_a_key_may_send(
    domains: tuple[str, ...] | None, address: str, allowed: bool
) -> None:
    assert may_send_from(domains, address) is allowed


def test_domains_are_kept_as_addresses_keep_them() -> None:
    given = ["Shop.Example", ".Bücher.example", "shop.example"]
    assert read_domains(given) == ("shop.example", ".xn--bcher-kva.example")
    assert read_domains(None) is None


@pytest.mark.parametrize(
    "domains", [[], ["not a domain"], ["a@b.example"], [""], ["."], ["..a.example"], ["x"] * 101]
)
def test_what_is_no_domain_is_named(domains: list[str]) -> None:
    with pytest.raises(InvalidRequest) as error:
        read_domains(domains)
    assert error.value.pointer.startswith("#/domains")


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({}, None),
        ({"sender": Mailbox(email="a@other.example")}, "#/from"),
        ({"return_path": "bounces@other.example"}, "#/return_path"),
        ({"return_path": "bounces@shop.example"}, None),
        ({"reply_to": (Mailbox(email="a@other.example"),)}, None),  # an answer may go anywhere
    ],
)
def test_from_and_return_path_are_held_to_the_domains(changes: dict[str, Any], pointer: str | None) -> None:
    fields = {"sender": Mailbox(email="news@shop.example"), "subject": "s", "text": "t"}
    content = Content(**fields | changes)
    if pointer is None:
        check_from(("shop.example",), content)
        return
    with pytest.raises(Forbidden) as error:
        check_from(("shop.example",), content)
    assert (error.value.pointer, error.value.code) == (pointer, "from_domain_not_allowed")


def test_scopes_bring_others_along() -> None:
    assert rights_of([Scope.SEND]) == {Scope.SEND}
    assert rights_of([Scope.OPERATE]) == {Scope.OPERATE, Scope.READ}
    assert rights_of([Scope.ADMIN]) == set(Scope)
    assert rights_of([]) == set()
    assert read_scopes(["read", "send", "read"]) == (Scope.SEND, Scope.READ)


@pytest.mark.parametrize("scopes", [[], ["root"], ["send", "SEND"]])
def test_an_unknown_scope_is_named(scopes: list[str]) -> None:
    with pytest.raises(InvalidRequest) as error:
        read_scopes(scopes)
    assert error.value.pointer.startswith("#/scopes")


@pytest.mark.parametrize(
    ("given", "end"),
    [
        (None, None),
        ("90d", NOW + timedelta(days=90)),
        (3600, NOW + timedelta(hours=1)),
        ("2027-01-31T00:00:00Z", datetime(2027, 1, 31, tzinfo=UTC)),
    ],
)
def test_when_a_key_ends(given: Any, end: datetime | None) -> None:
    assert read_end(given, NOW) == end


@pytest.mark.parametrize("given", ["2026-01-31T00:00:00Z", "2027-01-31", "20y", "0", "soon", "", True, 0.0])
def test_an_end_that_makes_no_sense(given: Any) -> None:
    with pytest.raises(InvalidRequest) as error:
        read_end(given, NOW)
    assert error.value.pointer == "#/expires"


@pytest.mark.parametrize(
    ("given", "kept"), [(None, ""), ("", ""), ("10_000/day", "10000/d"), ("500/h", "500/h")]
)
def test_a_quota_is_kept_in_its_normal_form(given: str | None, kept: str) -> None:
    assert read_quota(given) == kept


@pytest.mark.parametrize("given", ["0/d", "100", "100/s", "500/h,burst=5", "many"])
def test_what_is_no_quota(given: str) -> None:
    with pytest.raises(InvalidRequest) as error:
        read_quota(given)
    assert (error.value.pointer, error.value.code) == ("#/quota", "invalid_quota")
