"""Webhooks over HTTP: made, shown, changed, tried out, replayed; and who may."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from standardwebhooks import Webhook

from api import webhook_keeping
from api.dependencies import ApiConfig
from api.reconciler import Reconciler
from postwerk.archive.engine import Archive
from postwerk.archive.event_cursor import Cursor
from postwerk.archive.outbox import newest
from postwerk.archive.webhook_deliveries import deliveries
from postwerk.archive.webhooks import change_webhook
from postwerk.contracts.webhooks import WebhookState
from postwerk.webhooks.addresses import ResolverAway, Unresolved
from tests.support.api import Door, open_door
from tests.support.keys import a_key, caller, problem_of
from tests.support.receiver import Receiver, answer
from tests.support.webhooks import some_events, stored

URL = "https://shop.example/hook"
_KNOWN = {"shop.example": ["93.184.215.14"], "inside.example": ["93.184.215.14", "10.0.0.7"]}


async def resolve(name: str) -> list[str]:
    if name == "away.example":
        raise ResolverAway
    if name not in _KNOWN:
        raise Unresolved
    return _KNOWN[name]


@pytest.fixture
async def door(archive: Archive) -> AsyncIterator[Door]:
    async with open_door(archive, ApiConfig(webhook_resolve=resolve)) as door:
        yield door


@pytest.fixture
async def open_inside(archive: Archive) -> AsyncIterator[Door]:
    """An installation that calls its own networks."""
    async with open_door(archive, ApiConfig(webhook_allow_private=True)) as door:
        yield door


async def made(door: Door, **fields: Any) -> dict[str, Any]:
    answered = await door.http.post("/v1/webhooks", json={"url": URL, **fields})
    assert answered.status_code == 201, answered.text
    return dict(answered.json())


async def test_is_made_with_a_secret_that_is_shown_once(door: Door) -> None:
    await some_events(door.archive, 2)
    answered = await door.http.post(
        "/v1/webhooks",
        json={
            "url": "https://Shop.example",
            "description": "the shop",
            "types": ["message.*", "bulk_send.completed"],
            "batching": {"max_events": 500, "max_wait_ms": 1000},
        },
    )
    found = answered.json()
    assert answered.status_code == 201, answered.text
    assert answered.headers["location"].endswith(f"/v1/webhooks/{found['id']}")
    secret = found.pop("secret")
    assert Webhook(secret)
    assert len(secret) == 50
    assert found["url"] == "https://shop.example/"
    assert found["types"] == ["message.*", "bulk_send.completed"]
    assert found["batching"] == {"max_events": 500, "max_wait_ms": 1000}
    assert (found["state"], found["repeated"], found["owner"]) == ("enabled", False, "")
    async with door.archive.reading() as connection:
        assert found["position"] == str(await newest(connection)), "it is told of what happens from now on"
    shown = (await door.http.get(f"/v1/webhooks/{found['id']}")).json()
    listed = (await door.http.get("/v1/webhooks")).json()
    assert shown == found == listed["data"][0]
    assert door.temporal.types == {f"webhook-{found['id']}": "Webhook"}
    assert secret not in str(door.temporal.started)


REFUSED: tuple[tuple[dict[str, Any], str, str], ...] = (
    ({"url": "http://shop.example/"}, "#/url", "https_required"),
    ({"url": "https://10.0.0.1/"}, "#/url", "address_not_public"),
    ({"url": "https://inside.example/"}, "#/url", "address_not_public"),
    ({"url": "https://nowhere.example/"}, "#/url", "unknown_host"),
    ({"url": "https://u:p@shop.example/"}, "#/url", "invalid_url"),
    ({"url": "https://shop.example:25/"}, "#/url", "port_not_allowed"),
    ({"url": 5}, "#/url", "string_type"),
    ({"types": ["message.opened"]}, "#/types/0", "unknown_type"),
    ({"types": []}, "#/types", "missing"),
    ({"batching": {"max_events": 0}}, "#/batching/max_events", "greater_than_equal"),
    ({"batching": {"max_events": 1001}}, "#/batching/max_events", "less_than_equal"),
    ({"batching": {"max_wait_ms": 60_001}}, "#/batching/max_wait_ms", "less_than_equal"),
    ({"state": "gone"}, "#/state", "literal_error"),
    ({"description": "two\nlines"}, "#/description", "invalid_text"),
    ({"secret": "whsec_x"}, "#/secret", "unknown_field"),
)


async def test_what_cannot_be_is_refused_by_its_field(door: Door) -> None:
    for fields, pointer, code in REFUSED:
        answered = await door.http.post("/v1/webhooks", json={"url": URL, **fields})
        assert answered.status_code == 422, answered.text
        assert [(one["pointer"], one["code"]) for one in answered.json()["errors"]] == [(pointer, code)]
    assert (await door.http.get("/v1/webhooks")).json()["data"] == []


async def test_a_resolver_that_is_away_does_not_stop_it(door: Door) -> None:
    assert (await made(door, url="https://away.example/"))["url"] == "https://away.example/"


async def test_the_same_call_again_makes_it_once(door: Door) -> None:
    key = {"idempotency-key": "hook-1"}
    first, second = [await door.http.post("/v1/webhooks", json={"url": URL}, headers=key) for _ in range(2)]
    assert (first.json(), second.headers["idempotency-replayed"]) == (second.json(), "true")
    assert len((await door.http.get("/v1/webhooks")).json()["data"]) == 1


async def test_changes_are_stored_and_wake_it(door: Door) -> None:
    hook = await made(door)
    path = f"/v1/webhooks/{hook['id']}"
    changed = await door.http.patch(
        path, json={"types": ["*"], "repeated": True, "batching": {"max_events": 10}, "description": "new"}
    )
    assert changed.status_code == 200, changed.text
    found = changed.json()
    assert (found["types"], found["repeated"], found["description"]) == (None, True, "new")
    assert found["batching"] == {"max_events": 10, "max_wait_ms": 0}
    for body, code in (({}, "nothing_to_change"), ({"url": None}, "missing"), ({"url": "x"}, "invalid_url")):
        problem_of(await door.http.patch(path, json=body), 422, code)
    actions = [one["action"] for one in (await door.http.get("/v1/audit")).json()["data"]]
    assert actions == ["webhook.change", "webhook.create"]


async def test_disabled_and_enabled_again_it_goes_on_where_it_stopped_or_now(door: Door) -> None:
    hook = await made(door)
    path = f"/v1/webhooks/{hook['id']}"
    disabled = (await door.http.post(f"{path}/disable")).json()
    assert (disabled["state"], disabled["reason"]) == ("disabled", "disabled by hand")
    await some_events(door.archive, 1)
    enabled = (await door.http.post(f"{path}/enable")).json()
    assert (enabled["state"], enabled["reason"], enabled["position"]) == ("enabled", "", hook["position"])
    skipped = (await door.http.post(f"{path}/enable", json={"skip_missed": True})).json()
    assert skipped["position"] > hook["position"]


async def test_a_new_secret_signs_beside_the_former_one_for_a_while(door: Door) -> None:
    hook = await made(door)
    path = f"/v1/webhooks/{hook['id']}/rotate-secret"
    rotated = (await door.http.post(path)).json()
    row, now = await stored(door.archive, hook["id"]), datetime.now(UTC)
    assert row.secrets(now) == (rotated["secret"], hook["secret"])
    assert row.secrets(now + timedelta(hours=25)) == (rotated["secret"],)
    assert rotated["former_secret_until"] is not None
    at_once = (await door.http.post(path, json={"keep_former_for": 0})).json()
    assert (await stored(door.archive, hook["id"])).secrets(now) == (at_once["secret"],)
    problem_of(await door.http.post(path, json={"keep_former_for": "31d"}), 422, "out_of_range")
    shown = (await door.http.get(f"/v1/webhooks/{hook['id']}")).text
    assert all(one["secret"] not in shown for one in (hook, rotated, at_once))


async def test_deleted_it_is_not_there(door: Door) -> None:
    hook = await made(door)
    path = f"/v1/webhooks/{hook['id']}"
    assert (await door.http.delete(path)).status_code == 204
    for call in (door.http.get(path), door.http.delete(path), door.http.post(f"{path}/test")):
        problem_of(await call, 404, "not_found")
    problem_of(await door.http.get("/v1/webhooks/wh_none"), 404, "not_found")


async def test_a_test_is_sent_now_and_says_what_the_receiver_said(open_inside: Door) -> None:
    with Receiver(answer(201, "welcome"), answer(500, "no")) as receiver:
        hook = await made(open_inside, url=receiver.url, state="disabled", description="the shop")
        path = f"/v1/webhooks/{hook['id']}"
        said = (await open_inside.http.post(f"{path}/test")).json()
        failed = (await open_inside.http.post(f"{path}/test")).json()
        (got, _) = receiver.got
    assert (said["outcome"], said["status"], said["detail"], said["kind"]) == (
        "delivered",
        201,
        "welcome",
        "test",
    )
    assert (failed["outcome"], failed["status"], failed["next_at"]) == ("given_up", 500, None)
    event = got.verified(hook["secret"])
    assert event["type"] == "webhook.test"
    assert event["data"] == {"webhook_id": hook["id"], "description": "the shop"}
    assert got.message_id == said["message_id"]
    listed = (await open_inside.http.get(f"{path}/deliveries")).json()
    assert listed["data"] == [failed, said]
    only = (await open_inside.http.get(f"{path}/deliveries?outcome=delivered&limit=1")).json()
    assert (only["data"], only["has_more"]) == ([said], False)
    paged = (await open_inside.http.get(f"{path}/deliveries?limit=1")).json()
    after = (await open_inside.http.get(f"{path}/deliveries?after={paged['next']}")).json()
    assert (paged["data"], after["data"]) == ([failed], [said])


async def test_a_receiver_that_cannot_be_reached_is_an_answer_too(open_inside: Door) -> None:
    with Receiver() as receiver:
        url = receiver.url
    hook = await made(open_inside, url=url)
    said = (await open_inside.http.post(f"/v1/webhooks/{hook['id']}/test")).json()
    assert (said["outcome"], said["status"], said["detail"]) == ("given_up", None, "It takes no connection.")


async def replayed(door: Door, hook: dict[str, Any], **body: Any) -> httpx2.Response:
    return await door.http.post(f"/v1/webhooks/{hook['id']}/replay", json=body)


async def test_a_replay_reaches_from_what_is_named_to_what_was_taken(door: Door) -> None:
    hook = await made(door)
    await some_events(door.archive, 5)
    async with door.archive.reading() as connection:
        last = await newest(connection)
    fourth = str(Cursor(last.xid, last.id - 1))
    async with door.archive.writing() as connection:
        await change_webhook(connection, hook["id"], datetime.now(UTC), cursor=last)
    found = (await replayed(door, hook, since=fourth)).json()
    assert (found["after"], found["up_to"]) == (str(Cursor(last.xid, last.id - 2)), str(last))
    order = door.temporal.started[found["workflow_id"]]
    assert (order.webhook_id, order.last.id) == (hook["id"], last.id)
    assert found["workflow_id"] == f"webhook-{hook['id']}/{found['id']}"

    all_of_them = (await replayed(door, hook, since="2020-01-01T00:00:00Z")).json()
    assert Cursor(**door.temporal.started[all_of_them["workflow_id"]].position.model_dump()) < Cursor(
        last.xid, last.id - 4
    )
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    none_of_them = (await replayed(door, hook, since=later)).json()
    assert Cursor(**door.temporal.started[none_of_them["workflow_id"]].position.model_dump()) >= last
    assert set(door.temporal.types.values()) == {"Webhook", "WebhookReplay"}


async def test_a_replay_that_cannot_be_is_refused(door: Door) -> None:
    hook = await made(door)
    for body, pointer, code in (
        ({}, "#/since", "missing"),
        ({"since": "evt_1", "delivery": "whd_1"}, "#/since", "missing"),
        ({"since": "evt_1"}, "#/since", "invalid_cursor"),
        ({"since": "yesterday"}, "#/since", "invalid_moment"),
        ({"delivery": "x"}, "#/delivery", "invalid_id"),
        ({"delivery": f"whd_{'0' * 26}"}, "#/delivery", "unknown_delivery"),
    ):
        problem = problem_of(await replayed(door, hook, **body), 422, code)
        assert problem["errors"][0]["pointer"] == pointer
    await door.http.post(f"/v1/webhooks/{hook['id']}/disable")
    problem_of(await replayed(door, hook, since="2020-01-01T00:00:00Z"), 409, "conflict")
    await door.http.post(f"/v1/webhooks/{hook['id']}/enable")
    door.temporal.away = True
    problem_of(await replayed(door, hook, since="2020-01-01T00:00:00Z"), 503, "unavailable")


async def test_while_temporal_is_away_it_is_stored_and_the_reconciler_starts_it(door: Door) -> None:
    door.temporal.away = True
    hook = await made(door)
    other = await made(door, state="disabled")
    assert door.temporal.started == {}
    door.temporal.away = False
    await Reconciler(door.archive, door.parts.client, "postwerk").look(datetime.now(UTC))
    assert list(door.temporal.started) == [f"webhook-{hook['id']}"]
    assert other["state"] == WebhookState.DISABLED


async def test_the_reconciler_forgets_old_requests(open_inside: Door) -> None:
    with Receiver(answer(200), answer(500)) as receiver:
        hook = await made(open_inside, url=receiver.url)
        for _ in range(2):
            await open_inside.http.post(f"/v1/webhooks/{hook['id']}/test")
    reconciler = Reconciler(open_inside.archive, open_inside.parts.client, "postwerk")
    for hours, left in ((23, [500, 200]), (25, [500]), (167, [500]), (169, [])):
        await reconciler.look(datetime.now(UTC) + timedelta(hours=hours))
        async with open_inside.archive.reading() as connection:
            assert [one.status for one in await deliveries(connection, hook["id"])] == left


async def test_a_key_that_sends_has_webhooks_of_its_own_sends_alone(door: Door) -> None:
    keys = [await a_key(door.archive, scope) for scope in ("send", "send", "read", "admin")]
    async with (
        caller(door, keys[0].text) as mine,
        caller(door, keys[1].text) as other,
        caller(door, keys[2].text) as reads,
        caller(door, keys[3].text) as admin,
    ):
        own = (await mine.post("/v1/webhooks", json={"url": URL})).json()
        all_of_it = (await admin.post("/v1/webhooks", json={"url": URL})).json()
        assert (own["owner"], all_of_it["owner"]) == (keys[0].key.owner, "")
        assert [one["id"] for one in (await mine.get("/v1/webhooks")).json()["data"]] == [own["id"]]
        assert len((await admin.get("/v1/webhooks")).json()["data"]) == 2
        assert (await mine.get(f"/v1/webhooks/{own['id']}")).status_code == 200
        for hook in (own, all_of_it):
            problem_of(await other.get(f"/v1/webhooks/{hook['id']}"), 404, "not_found")
            problem_of(await other.post(f"/v1/webhooks/{hook['id']}/rotate-secret"), 404, "not_found")
            problem_of(await reads.get(f"/v1/webhooks/{hook['id']}"), 403, "missing_scope")
        problem_of(await reads.post("/v1/webhooks", json={"url": URL}), 403, "missing_scope")


async def test_one_owner_has_so_many_at_most(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook_keeping, "MOST_OF_ONE_OWNER", 2)
    for _ in range(2):
        await made(door)
    problem_of(await door.http.post("/v1/webhooks", json={"url": URL}), 409, "conflict")
