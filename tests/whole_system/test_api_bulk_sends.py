"""Making, looking at, starting and cancelling bulk sends through the HTTP door."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

import pytest

from postwerk.archive import reads
from postwerk.archive.engine import Archive
from tests.support.api import Door, a_bulk_send, open_door


@pytest.fixture
async def door(archive: Archive) -> AsyncIterator[Door]:
    async with open_door(archive) as opened:
        yield opened


async def _adds_up(door: Door, bulk_id: str) -> dict[str, object]:
    async with door.archive.reading() as connection:
        found = await reads.accounting(connection, bulk_id)
    assert found["adds_up"], found
    return found


async def test_a_bulk_send_is_stored_and_its_workflow_started_with_its_plan(door: Door) -> None:
    answer = await door.send(recipients=[{"to": "ada@example.com"}, {"to": "bob@gmail.com", "name": "Bob"}])

    assert answer.status_code == 202, answer.text
    taken = answer.json()
    assert (taken["status"], taken["total"], taken["accepted"]) == ("queued", 2, 2)
    assert (
        answer.headers["location"]
        == taken["links"]["self"]
        == f"http://127.0.0.1/v1/bulk-sends/{taken['id']}"
    )
    order = door.temporal.started[taken["workflow_id"]]
    assert order.messages == 2
    assert order.batches is not None
    assert [batch.messages for batch in order.batches] == [1, 1]
    await _adds_up(door, taken["id"])


async def test_bad_recipients_are_named_and_never_fail_the_others(door: Door) -> None:
    recipients = [
        {"to": "ada@example.com"},
        {"to": "x@@y"},
        {"to": "ADA@example.com"},
        {"to": 17},
        {"to": "eve@example.com", "color": "red"},
        "eve@example.com",
        {"to": "Grace <grace@example.com>"},
        {"to": "nul@example.com", "variables": {"a": "\x00"}},
    ]
    answer = await door.send(recipients=recipients)

    taken = answer.json()
    assert (taken["accepted"], taken["rejected"], taken["duplicates"]) == (2, 5, 1)
    assert [error["index"] for error in taken["errors"]] == [1, 3, 4, 5, 7]
    assert taken["errors"][0] == {**taken["errors"][0], "to": "x@@y", "code": "invalid_address"}
    await _adds_up(door, taken["id"])


async def test_strict_validation_refuses_the_whole_request_with_pointers(door: Door) -> None:
    recipients = [{"to": f"user{n}@example.com"} for n in range(17)] + [{"to": "x@@y"}]
    answer = await door.send(recipients=recipients, validation="strict")

    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert [error["pointer"] for error in answer.json()["errors"]] == ["#/recipients/17/to"]
    assert (await door.http.get("/v1/bulk-sends")).json()["data"] == []


async def test_a_large_request_is_stored_in_chunks(door: Door) -> None:
    recipients = [{"to": f"user{n}@example.com", "variables": {"n": n}} for n in range(2500)]
    answer = await door.send(recipients=[*recipients, {"to": "nobody"}])

    taken = answer.json()
    assert (taken["accepted"], taken["rejected"]) == (2500, 1)
    assert door.temporal.started[taken["workflow_id"]].batches is None
    await _adds_up(door, taken["id"])


@pytest.mark.parametrize("count", [3, 1200])
async def test_a_request_of_which_nobody_can_be_taken_leaves_nothing(door: Door, count: int) -> None:
    answer = await door.send(recipients=[{"to": "nobody"}] * count)

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "#/recipients/0/to"
    async with door.archive.reading() as connection:
        rows = (await connection.exec_driver_sql("SELECT count(*) FROM bulk_send")).scalar_one()
    assert rows == 0


async def test_without_temporal_the_send_is_taken_all_the_same(door: Door) -> None:
    door.temporal.away = True

    answer = await door.send()

    assert answer.status_code == 202
    assert answer.json()["status"] == "queued"
    assert not door.temporal.started


async def test_a_dry_run_counts_and_stores_nothing(door: Door) -> None:
    recipients = [{"to": "a@example.com"}, {"to": "A@example.com"}, {"to": "x"}]
    answer = await door.http.post("/v1/bulk-sends?dry_run=true", json=a_bulk_send(recipients=recipients))

    assert answer.status_code == 200
    assert (answer.json()["accepted"], answer.json()["duplicates"], answer.json()["rejected"]) == (1, 1, 1)
    assert (await door.http.get("/v1/bulk-sends")).json()["data"] == []


async def test_a_bulk_send_shows_every_state_and_its_options(door: Door) -> None:
    options = {"deadline": "36h", "retry": {"initial": "P0DT30S", "maximum": 60}, "metadata": {"crm": "42"}}
    bulk_id = (await door.send(**options)).json()["id"]

    view = (await door.http.get(f"/v1/bulk-sends/{bulk_id}")).json()

    assert view["state"] == "queued"
    assert view["counts"]["queued"] == 1
    assert view["counts"]["delivered"] == view["counts"]["unknown"] == 0
    assert view["retry"] == {"initial": 30.0, "factor": 2.0, "maximum": 60.0, "jitter": 0.2, "waits": []}
    assert view["metadata"] == {"crm": "42"}
    assert view["deadline"] > view["accepted_at"]
    assert view["rate_now"] is None


async def test_lists_are_paged_newest_first_by_cursor(door: Door) -> None:
    ids = [(await door.send()).json()["id"] for _ in range(5)]

    first = (await door.http.get("/v1/bulk-sends?limit=3&state=queued")).json()
    rest = (await door.http.get("/v1/bulk-sends", params={"limit": 3, "after": first["next"]})).json()

    assert [one["id"] for one in first["data"] + rest["data"]] == sorted(ids, reverse=True)
    assert (first["has_more"], rest["has_more"], rest["next"]) == (True, False, None)
    assert (await door.http.get("/v1/bulk-sends?state=paused")).json()["data"] == []


async def test_starting_an_open_send_works_once_and_harmlessly_again(door: Door) -> None:
    bulk_id = await door.open()
    assert (await door.http.post(f"/v1/bulk-sends/{bulk_id}/start")).status_code == 422
    await door.upload(bulk_id, "to\nada@example.com\n", "text/csv")

    first = await door.http.post(f"/v1/bulk-sends/{bulk_id}/start")
    again = await door.http.post(f"/v1/bulk-sends/{bulk_id}/start")

    assert (first.status_code, again.status_code) == (202, 202)
    assert first.json()["state"] == again.json()["state"] == "queued"
    assert list(door.temporal.started) == [f"bulk-{bulk_id}"]
    late = await door.upload(bulk_id, "to\nbob@example.com\n", "text/csv")
    assert late.status_code == 409


async def test_cancelling_an_open_send_closes_it_at_once(door: Door) -> None:
    bulk_id = await door.open()
    rows = "".join(f"user{n}@example.com\n" for n in range(2500))
    await door.upload(bulk_id, "to\n" + rows, "text/csv")

    answer = await door.http.post(f"/v1/bulk-sends/{bulk_id}/cancel")
    again = await door.http.post(f"/v1/bulk-sends/{bulk_id}/cancel")

    assert (answer.status_code, answer.json()["state"]) == (202, "cancelled")
    assert answer.json()["counts"]["cancelled"] == 2500
    assert (again.status_code, again.json()["state"]) == (202, "cancelled")
    assert (await door.http.post(f"/v1/bulk-sends/{bulk_id}/start")).status_code == 409
    assert (await _adds_up(door, bulk_id))["open"] == 0


async def test_cancelling_a_started_send_asks_its_workflow(door: Door) -> None:
    taken = (await door.send()).json()

    answer = await door.http.post(f"/v1/bulk-sends/{taken['id']}/cancel")

    assert answer.json()["state"] == "cancelling"
    assert door.temporal.cancelled == [taken["workflow_id"]]


async def test_cancelling_a_send_whose_workflow_has_ended_closes_it(door: Door) -> None:
    """Temporal says yes to it. Such a send has failed messages that are to be started again in a moment."""
    taken = (await door.send()).json()
    door.temporal.all_ended = True
    answer = await door.http.post(f"/v1/bulk-sends/{taken['id']}/cancel")
    assert (answer.status_code, answer.json()["state"]) == (202, "cancelled")


async def test_cancelling_a_completed_send_is_a_conflict(door: Door) -> None:
    bulk_id = (await door.send()).json()["id"]
    async with door.archive.writing() as connection:
        await connection.exec_driver_sql("UPDATE bulk_send SET state = 'completed'")

    assert (await door.http.post(f"/v1/bulk-sends/{bulk_id}/cancel")).status_code == 409


@pytest.mark.parametrize("bulk_id", ["bulk_nope", "bulk_" + "0" * 26, "%00", "bulk_" + "u" * 26])
@pytest.mark.parametrize("call", ["GET ", "POST /start", "POST /cancel", "GET /messages", "POST /recipients"])
async def test_an_unknown_id_is_a_404(door: Door, bulk_id: str, call: str) -> None:
    method, path = call.split(" ")
    headers = {"content-type": "text/csv"}

    answer = await door.http.request(method, f"/v1/bulk-sends/{bulk_id}{path}", headers=headers)

    assert answer.status_code == 404
    assert answer.json()["code"] == "not_found"


@pytest.mark.parametrize("seed", range(5))
async def test_parts_start_and_cancel_in_any_order_at_once_end_legally(door: Door, seed: int) -> None:
    bulk_id = await door.open()
    chance = random.Random(seed)
    parts = [
        door.upload(bulk_id, "to\n" + "".join(f"u{n}@example.com\n" for n in range(k, k + 700)), "text/csv")
        for k in range(0, 3500, 350)
    ]
    orders = [door.http.post(f"/v1/bulk-sends/{bulk_id}/{what}") for what in ("start", "cancel", "start")]
    calls = parts + orders
    chance.shuffle(calls)

    answers = await asyncio.gather(*calls)

    assert {answer.status_code for answer in answers} <= {200, 202, 409, 422}
    found = await _adds_up(door, bulk_id)
    assert found["state"] in ("cancelled", "cancelling")
    if found["state"] == "cancelled":
        assert found["open"] == 0
    else:
        assert door.temporal.cancelled
