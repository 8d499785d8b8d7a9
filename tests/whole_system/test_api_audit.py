"""The audit trail over HTTP: every change by an operator is in it, with who, what and why."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from api.dependencies import ApiConfig
from postwerk.archive.engine import Archive
from tests.support.api import Door, open_door

ADA = {"Postwerk-User": "ada"}


@pytest.fixture
async def door(archive: Archive) -> AsyncIterator[Door]:
    async with open_door(archive, ApiConfig(relay="mx1")) as opened:
        yield opened
        await opened.parts.close()


async def audit(door: Door, **query: Any) -> list[dict[str, Any]]:
    answer = await door.http.get("/v1/audit", params=query)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["data"])


async def the_entry(door: Door) -> dict[str, Any]:
    """The only one, without its id and time."""
    [entry] = await audit(door)
    assert entry.pop("id").startswith("aud_")
    assert entry.pop("object") == "audit_entry"
    assert entry.pop("at")
    return entry


def an_entry(action: str, target: str, **changes: Any) -> dict[str, Any]:
    usual = {"by": "ada", "via": "api", "reason": "", "filter": None, "count": None, "operation": None}
    return usual | {"action": action, "target": target, "detail": None} | changes


async def test_an_order_for_a_lane_is_written_down_as_it_was_given(door: Door) -> None:
    order = {"rate": "30/min", "for": "7d", "reason": "a new IP address"}
    await door.http.put("/v1/lanes/googlemail.com", json=order, headers=ADA)
    detail = {"rate": "30/min", "for": "7d"}
    entry = an_entry("lane.set", "gmail.com", reason="a new IP address", detail=detail)
    assert await the_entry(door) == entry


@pytest.mark.parametrize(
    ("body", "headers", "by"),
    [({}, {}, "api"), ({}, ADA, "ada"), ({"by": "bob"}, ADA, "bob"), ({"by": "bob"}, {}, "bob")],
)
async def test_who_signs_in_the_body_counts_before_the_header(
    door: Door, body: dict[str, str], headers: dict[str, str], by: str
) -> None:
    order = {"cool_down": None, "reason": "all is well", **body}
    await door.http.put("/v1/lanes/gmail.com", json=order, headers=headers)
    detail = {"cool_down": None}
    assert await the_entry(door) == an_entry(
        "lane.set", "gmail.com", by=by, reason="all is well", detail=detail
    )


async def test_limits_and_rests_show_the_name_of_the_header(door: Door) -> None:
    await door.http.put("/v1/lanes/gmail.com", json={"rate": "1/s", "reason": "r"}, headers=ADA)
    answer = await door.http.put("/v1/lanes/gmail.com", json={"cool_down": 60, "reason": "r"}, headers=ADA)
    assert answer.json()["override"]["set_by"] == "ada"
    assert answer.json()["cool_down"]["origin"] == "ada"


@pytest.mark.parametrize("name", ["reply", "evidence", "session"])
async def test_nobody_signs_as_postwerk_itself_does(door: Door, name: str) -> None:
    order = {"cool_down": 60, "reason": "r"}
    answer = await door.http.put("/v1/lanes/gmail.com", json=order, headers={"Postwerk-User": name})
    assert answer.status_code == 422
    assert await audit(door) == []


async def test_an_order_for_the_relay_is_written_down(door: Door) -> None:
    await door.http.put("/v1/relay", json={"cool_down": "1h", "reason": "certificates"}, headers=ADA)
    detail = {"cool_down": "1h"}
    assert await the_entry(door) == an_entry("relay.set", "mx1", reason="certificates", detail=detail)


async def test_what_was_refused_leaves_no_trace(door: Door) -> None:
    await door.http.put("/v1/lanes/gmail.com", json={"rate": "fast", "reason": "r"}, headers=ADA)
    await door.http.put("/v1/relay", json={"cool_down": "1h"}, headers=ADA)
    await door.http.post("/v1/suppressions", json={"address": "nobody"}, headers=ADA)
    await door.http.delete("/v1/suppressions/nobody@example.com", headers=ADA)
    await door.http.post("/v1/suspensions", json={"domain": "gmx.de"}, headers=ADA)
    assert await audit(door) == []


async def test_a_suppression_is_written_down_once(door: Door) -> None:
    for _ in range(2):  # the second time it is listed already
        body = {"address": "Eve@Example.com", "reason": "complaint"}
        await door.http.post("/v1/suppressions", json=body, headers=ADA)
    detail = {"source": "api"}
    assert await the_entry(door) == an_entry(
        "suppression.add", "eve@example.com", reason="complaint", count=1, detail=detail
    )


async def test_taking_an_address_off_the_list_is_written_down(door: Door) -> None:
    await door.http.post("/v1/suppressions", json={"address": "eve@example.com"})
    await door.http.delete("/v1/suppressions/Eve@example.com", headers=ADA)
    [removed, added] = await audit(door)
    assert (added["action"], added["by"]) == ("suppression.add", "api")
    assert (removed["action"], removed["by"], removed["target"]) == (
        "suppression.remove",
        "ada",
        "eve@example.com",
    )


async def test_a_list_is_one_entry_with_the_number_of_new_addresses(door: Door) -> None:
    addresses = ["eve@example.com", "eve@example.com", "kim@example.com", "nobody"]
    await door.http.post("/v1/suppressions", json={"addresses": addresses}, headers=ADA)
    detail = {"source": "api"}
    assert await the_entry(door) == an_entry("suppression.add", "", reason="manual", count=2, detail=detail)


async def test_a_long_import_is_one_entry_though_it_takes_many_commits(door: Door) -> None:
    body = "address\n" + "".join(f"u{n}@example.com\n" for n in range(5000))
    headers = ADA | {"content-type": "text/csv"}
    answer = await door.http.post("/v1/suppressions", content=body, headers=headers)
    assert answer.json()["added"] == 5000
    detail = {"source": "import"}
    assert await the_entry(door) == an_entry(
        "suppression.add", "", reason="import", count=5000, detail=detail
    )


async def test_an_import_that_breaks_off_has_counted_what_it_stored(door: Door) -> None:
    rows = "".join(f"u{n}@example.com\n" for n in range(3000))
    body = f'address\n{rows}"never closed'
    headers = ADA | {"content-type": "text/csv"}
    answer = await door.http.post("/v1/suppressions", content=body, headers=headers)
    assert answer.status_code == 422
    assert (await the_entry(door))["count"] == answer.json()["added"] == 3000


async def test_suspensions_are_written_down(door: Door) -> None:
    order = {"domain": "gmx.de", "for": "30m", "reason": "their maintenance"}
    made = (await door.http.post("/v1/suspensions", json=order, headers=ADA)).json()
    await door.http.delete(f"/v1/suspensions/{made['id']}")
    [ended, created] = await audit(door)
    assert (created["action"], created["by"], created["target"]) == ("suspension.create", "ada", "gmx.de")
    assert (created["reason"], created["detail"]["suspension"]) == ("their maintenance", made["id"])
    assert (ended["action"], ended["by"], ended["detail"]) == (
        "suspension.end",
        "api",
        created["detail"],
    )


async def test_the_trail_is_read_in_pages_by_action_and_by_person(door: Door) -> None:
    for n in range(5):
        headers = {"Postwerk-User": "ada" if n % 2 else "bob"}
        await door.http.post("/v1/suppressions", json={"address": f"u{n}@example.com"}, headers=headers)
    await door.http.delete("/v1/suppressions/u0@example.com", headers=ADA)
    everything = await audit(door)
    assert [one["target"][:2] for one in everything] == ["u0", "u4", "u3", "u2", "u1", "u0"]
    answer = (await door.http.get("/v1/audit", params={"limit": 4})).json()
    assert (answer["has_more"], answer["next"]) == (True, everything[3]["id"])
    assert await audit(door, limit=4, after=answer["next"]) == everything[4:]
    assert {one["by"] for one in await audit(door, by="ada")} == {"ada"}
    assert len(await audit(door, by="ada", action="suppression.add")) == 2
    assert await audit(door, action="queue.hold") == []


@pytest.mark.parametrize(
    "query", [{"after": "x"}, {"limit": 0}, {"actions": "x"}, {"by": "a\x00"}, {"after": "sus_" + "0" * 26}]
)
async def test_wrong_parameters_are_told(door: Door, query: dict[str, Any]) -> None:
    answer = await door.http.get("/v1/audit", params=query)
    assert answer.status_code == 422
    [error] = answer.json()["errors"]
    assert error["pointer"].startswith("?")
