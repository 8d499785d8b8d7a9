"""What people read of a workflow in Temporal: short, with counts and commands, and nothing personal."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest

from postwerk.contracts.coalescing import Arrival
from postwerk.contracts.orders import BatchOrder, BulkSendInput, ExpansionInput
from postwerk.contracts.states import SendKind
from postwerk.contracts.workflow_ids import coalesce_workflow_id
from postwerk.rules.shown_names import LONGEST, cut, shown_name
from workflows import captions
from workflows.captions import Caption

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
BATCH = BatchOrder(bulk_id="bulk_1", number=7, lane="gmail.com", first_seq=1, last_seq=240, messages=240)
API = "https://mail.shop.example/"


def a_send(**changes: object) -> BulkSendInput:
    fields = {"bulk_id": "bulk_1", "messages": 12_480, "deadline": timedelta(days=5), "rate": "50/s,burst=9"}
    return BulkSendInput.model_validate(fields | changes)


def all_captions(name: str) -> list[Caption]:
    arrival = Arrival(
        bulk_id="bulk_1",
        rank=5,
        at=NOON,
        window=timedelta(seconds=30),
        workflow_id=coalesce_workflow_id("", "ada-4711"),
    )
    return [
        captions.of_send(a_send(), name, API),
        captions.of_send(a_send(kind=SendKind.MESSAGE, messages=1, batches=(BATCH,)), name, API),
        captions.of_send(a_send(again=True, send_at=NOON, expires_at=NOON), name, API),
        captions.of_batch(BATCH, NOON),
        captions.of_expansion(ExpansionInput(bulk_id="bulk_1", first=1, last=200, deadline=NOON)),
        captions.of_operation("op_1", "retry_failed", API),
        captions.of_coalescing(arrival, API),
        captions.of_schedule("sch_1", name, API),
    ]


def test_a_summary_says_name_size_and_pace() -> None:
    assert captions.of_send(a_send(), "spring-news").summary == "spring-news · 12,480 recipients · 50/s"
    assert captions.of_send(a_send(rate=""), "").summary == "bulk send · 12,480 recipients"
    assert captions.of_send(a_send(again=True), "").summary == "bulk send · failed messages again · 50/s"
    message = a_send(kind=SendKind.MESSAGE, messages=1, batches=(BATCH,), rate="")
    assert captions.of_send(message, "").summary == "message · gmail.com"
    assert captions.of_batch(BATCH, NOON).summary == "batch 7 · gmail.com · 240 messages"
    assert captions.send_summary(BATCH, 2, NOON) == (
        "batch 7 · gmail.com · 240 messages · run 2 · until 2026-11-22 12:00:00 UTC"
    )
    assert captions.of_operation("op_1", "retry_failed").summary == "retry failed · messages by a filter"


@pytest.mark.parametrize("name", ["", "a" * 400, "春のお知らせ" * 60, "👩‍👩‍👧" * 90, "one\ntwo | three"])
def test_whatever_the_name_is_it_fits(name: str) -> None:
    for caption in all_captions(name):
        assert 0 < len(caption.summary.encode()) <= captions.SUMMARY_OCTETS
        assert "\n" not in caption.summary
        assert len(caption.details.encode()) < 20_000
    assert all_captions(name)[0].summary.endswith("· 12,480 recipients · 50/s")


@pytest.mark.parametrize(
    "name",
    [
        "for ada@example.com",
        "ada%40example.com",
        "see https://shop.example/?t=secret",
        "www.shop.example",
        "a\uff20b",
    ],
)
def test_a_name_that_may_say_who_somebody_is_stays_out(name: str) -> None:
    assert shown_name(name) == ""
    for caption in all_captions(name):
        assert name not in caption.summary + caption.details
    assert all_captions(name)[0].summary.startswith("bulk send · ")


def test_a_name_cannot_become_a_link_or_a_table() -> None:
    shown = shown_name("click [here](x) | <img> `code` \\")
    assert not set(shown) & set("[]<>`|\\")
    assert len(shown_name("漢" * 400).encode()) <= LONGEST
    assert cut("漢" * 4, 10) == "漢漢…"


def test_of_the_key_of_a_coalescing_message_nothing_is_told() -> None:
    caption = all_captions("")[6]
    assert "4711" not in caption.summary + caption.details
    assert "window of 30 s" in caption.summary


def test_details_say_what_to_type() -> None:
    """Each command on a line of its own, about the workflow whose id stands above it."""
    details = captions.of_send(a_send(), "spring").details
    assert "ID=bulk-bulk_1\n" in details
    for words in ("query -w $ID --type progress", "signal -w $ID --name hold", "cancel -w $ID"):
        assert f"temporal workflow {words}" in details
    assert "- deadline: 5 days after it begins" in details
    assert "](" not in details  # the API's public address is not known


def test_links_lead_to_what_the_api_shows() -> None:
    found = [re.findall(r"\]\((.*)\)", caption.details) for caption in all_captions("")]
    base = "https://mail.shop.example/v1"
    assert found == [
        [f"{base}/bulk-sends/bulk_1"],
        [f"{base}/messages/bulk_1.1"],
        [f"{base}/bulk-sends/bulk_1"],
        [],
        [],
        [f"{base}/operations/op_1"],
        [f"{base}/messages/bulk_1.1"],
        [f"{base}/schedules/sch_1"],
    ]
