"""What an operator writes as a filter, and what is made of it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from fastapi import Request

from api.errors import InvalidFields
from api.operation_views import filter_view
from api.queue_filters import read_filter, read_query_filter
from postwerk.contracts.queue import QueueFilter
from postwerk.contracts.states import MessageState
from postwerk.errors import InvalidRequest

BULK = "bulk_" + "0" * 26
OTHER = "bulk_" + "1" * 26
MESSAGE = f"{BULK}.17"


def _request(parameters: Any) -> Request:
    query = urlencode(parameters, doseq=True).encode()
    return Request({"type": "http", "method": "GET", "path": "/", "headers": [], "query_string": query})


TAKEN = [
    ({"ids": [MESSAGE, MESSAGE]}, QueueFilter(ids=(MESSAGE,))),
    ({"ids": MESSAGE}, QueueFilter(ids=(MESSAGE,))),
    ({"bulk": BULK}, QueueFilter(bulk=(BULK,))),
    ({"bulk": [OTHER, BULK]}, QueueFilter(bulk=(OTHER, BULK))),
    ({"provider": "GoogleMail.com"}, QueueFilter(provider="gmail.com")),
    ({"provider": "Other"}, QueueFilter(provider="other")),
    ({"provider": "firma.example"}, QueueFilter(provider="firma.example")),
    ({"domain": "GMX.de"}, QueueFilter(domain="gmx.de")),
    ({"domain": "Müller.example"}, QueueFilter(domain="xn--mller-kva.example")),
    ({"recipient": " Ada@GMX.de "}, QueueFilter(recipient="Ada@gmx.de")),
    ({"state": "held"}, QueueFilter(state=(MessageState.HELD,))),
    ({"state": ["queued", "held"]}, QueueFilter(state=(MessageState.QUEUED, MessageState.HELD))),
    ({"code": 451}, QueueFilter(code=451)),
    ({"code": "451"}, QueueFilter(code=451)),
    ({"code": "4XX"}, QueueFilter(code=4)),
    ({"reason": "greylisted"}, QueueFilter(reason="greylisted")),
    ({"q": "Ada@"}, QueueFilter(q="Ada@")),
    ({"older_than": "2d"}, QueueFilter(older_than=timedelta(days=2))),
    ({"younger_than": 90}, QueueFilter(younger_than=timedelta(seconds=90))),
    ({"older_than": "PT1H"}, QueueFilter(older_than=timedelta(hours=1))),
    ({"all": True}, QueueFilter(all=True)),
    (
        {"provider": "gmail.com", "code": "5xx", "state": "deferred"},
        QueueFilter(provider="gmail.com", code=5, state=(MessageState.DEFERRED,)),
    ),
]


@pytest.mark.parametrize(("document", "meant"), TAKEN)
def test_a_filter_is_read_into_its_normal_form(document: dict[str, Any], meant: QueueFilter) -> None:
    assert read_filter(document, may_be_empty=False) == meant


@pytest.mark.parametrize("meant", [meant for _, meant in TAKEN])
def test_a_filter_is_shown_as_it_can_be_said_again(meant: QueueFilter) -> None:
    shown = filter_view(meant.model_dump(mode="json", exclude_defaults=True))
    assert read_filter(shown, may_be_empty=False) == meant


@pytest.mark.parametrize(("document", "meant"), TAKEN)
def test_the_parameters_of_an_address_mean_the_same(document: dict[str, Any], meant: QueueFilter) -> None:
    parameters = {name: "true" if value is True else value for name, value in document.items()}
    asked = _request(parameters | {"limit": 5})
    assert read_query_filter(asked, "limit", may_be_empty=False) == meant


REFUSED = [
    ({"ids": []}, "#/filter/ids", "empty"),
    ({"ids": [MESSAGE, BULK]}, "#/filter/ids/1", "invalid_id"),
    ({"ids": [f"{BULK}.0"]}, "#/filter/ids/0", "invalid_id"),
    ({"ids": [17]}, "#/filter/ids/0", "invalid_id"),
    ({"ids": [MESSAGE] * 1001}, "#/filter/ids", "too_many"),
    ({"bulk": None}, "#/filter/bulk", "empty"),
    ({"bulk": ""}, "#/filter/bulk", "invalid_id"),
    ({"bulk": MESSAGE}, "#/filter/bulk", "invalid_id"),
    ({"provider": "gmail"}, "#/filter/provider", "invalid_domain"),
    ({"provider": ["gmail.com"]}, "#/filter/provider", "invalid_type"),
    ({"domain": "a@gmx.de"}, "#/filter/domain", "invalid_domain"),
    ({"domain": "gmx.de\x00"}, "#/filter/domain", "invalid_domain"),
    ({"domain": 5}, "#/filter/domain", "invalid_domain"),
    ({"recipient": "gmx.de"}, "#/filter/recipient", "invalid_address"),
    ({"recipient": {"email": "a@gmx.de"}}, "#/filter/recipient", "invalid_type"),
    ({"state": "delivered"}, "#/filter/state", "invalid_state"),
    ({"state": ["held", {}]}, "#/filter/state/1", "invalid_state"),
    ({"code": 199}, "#/filter/code", "invalid_code"),
    ({"code": 600}, "#/filter/code", "invalid_code"),
    ({"code": 45.1}, "#/filter/code", "invalid_code"),
    ({"code": True}, "#/filter/code", "invalid_code"),
    ({"code": "45x"}, "#/filter/code", "invalid_code"),
    ({"code": "4xx\n"}, "#/filter/code", "invalid_code"),
    ({"reason": "Over Quota"}, "#/filter/reason", "invalid_reason"),
    ({"reason": "full\n"}, "#/filter/reason", "invalid_reason"),
    ({"older_than": "soon"}, "#/filter/older_than", "invalid_duration"),
    ({"younger_than": -1}, "#/filter/younger_than", "invalid_duration"),
    ({"all": 1}, "#/filter/all", "invalid_all"),
    ({"all": "yes"}, "#/filter/all", "invalid_all"),
    ({"provder": "gmail.com"}, "#/filter/provder", "unknown_field"),
]


@pytest.mark.parametrize(("document", "pointer", "code"), REFUSED)
def test_what_cannot_be_meant_is_named(document: dict[str, Any], pointer: str, code: str) -> None:
    with pytest.raises(InvalidFields) as refused:
        read_filter(document, may_be_empty=True)
    assert [(one["pointer"], one["code"]) for one in refused.value.errors] == [(pointer, code)]


def test_every_wrong_field_is_listed() -> None:
    with pytest.raises(InvalidFields) as refused:
        read_filter({"domain": "", "code": 1, "bulk": BULK, "colour": "red"}, may_be_empty=False, pointer="#")
    assert [one["pointer"] for one in refused.value.errors] == ["#/domain", "#/code", "#/colour"]


def test_parameters_are_named_as_such() -> None:
    asked = [
        ("domain", "a"),
        ("code", "451"),
        ("code", "450"),
        ("colour", "red"),
        ("ids", MESSAGE),
        ("ids", "x"),
    ]
    with pytest.raises(InvalidFields) as refused:
        read_query_filter(_request(asked))
    assert [(one["pointer"], one["code"]) for one in refused.value.errors] == [
        ("?domain", "invalid_domain"),
        ("?code", "invalid_type"),
        ("?colour", "unknown_parameter"),
        ("?ids/1", "invalid_id"),
    ]


@pytest.mark.parametrize("document", [{}, {"all": False}])
def test_nobody_means_the_whole_queue_by_saying_nothing(document: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match="all: true") as refused:
        read_filter(document, may_be_empty=False)
    assert (refused.value.code, refused.value.pointer) == ("empty_filter", "#/filter")
    assert read_filter(document, may_be_empty=True).is_empty


def test_all_stands_alone() -> None:
    with pytest.raises(InvalidRequest) as refused:
        read_filter({"all": True, "provider": "gmail.com"}, may_be_empty=False)
    assert (refused.value.code, refused.value.pointer) == ("all_and_more", "#/filter/all")


def test_who_starts_messages_again_names_final_states_and_fewer_criteria() -> None:
    found = read_filter(
        {"state": "bounced", "domain": "gmx.de"},
        may_be_empty=True,
        states=[MessageState.BOUNCED],
        criteria=["state", "domain"],
    )
    assert found == QueueFilter(state=(MessageState.BOUNCED,), domain="gmx.de")
    with pytest.raises(InvalidFields) as refused:
        read_filter({"all": True}, may_be_empty=True, criteria=["state", "domain"])
    assert refused.value.errors[0]["code"] == "unknown_field"
