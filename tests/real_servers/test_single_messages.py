"""A transactional message from POST to its end, and everything an operator may do to it meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from temporalio.client import WorkflowExecutionStatus

from api.reconciler import Reconciler
from postwerk.archive.engine import Archive
from tests.support.messages import PostOffice, open_post_office
from tests.support.sandbox import SandboxProcess

pytestmark = pytest.mark.parametrize("archive", ["sqlite"], indirect=True)


@pytest.fixture
async def office(archive: Archive) -> AsyncIterator[PostOffice]:
    with SandboxProcess() as sandbox:
        async with open_post_office(archive, sandbox) as opened:
            yield opened


async def test_one_is_sent_by_a_workflow_without_children(office: PostOffice) -> None:
    taken = await office.send("Ada <ok+1@example.com>", name="order", metadata={"order": 4711})
    assert (taken["object"], taken["state"]) == ("message", "queued")
    assert taken["id"] == f"{taken['bulk_send']}.1"

    message = await office.until(taken["id"], "delivered")
    assert (message["variables"], message["metadata"]) == ({"number": 4711}, {"order": 4711})
    assert message["coalesced"] is None
    send = await office.until_send(taken["bulk_send"], "completed")
    assert (send["kind"], send["accepted"], send["metadata"]) == ("message", 1, {"order": 4711})
    assert send["started_at"]
    found = await office.client.get_workflow_handle(taken["workflow_id"]).describe()
    assert (found.workflow_type, found.parent_id) == ("Message", None)
    kinds = [event.event_type async for event in found_events(office, taken["workflow_id"])]
    assert len(kinds) < 20, kinds


async def found_events(office: PostOffice, workflow_id: str):  # type: ignore[no-untyped-def]
    async for event in office.client.get_workflow_handle(workflow_id).fetch_history_events():
        yield event


async def test_who_is_refused_for_now_is_tried_again_and_a_bounce_is_final(office: PostOffice) -> None:
    deferred, bounced = await office.send("defer1+1@example.com"), await office.send("bounce+2@example.com")
    assert (await office.until(bounced["id"], "bounced"))["last_reply"]["code"] == 550
    message = await office.until(deferred["id"], "delivered")
    assert [attempt["outcome"] for attempt in message["attempts"]] == ["deferred", "delivered"]


async def test_who_is_on_the_suppression_list_gets_nothing_and_the_answer_says_so(office: PostOffice) -> None:
    answer = await office.http.post("/v1/suppressions", json={"address": "ok+no@example.com"})
    assert answer.status_code in (200, 201), answer.text
    taken = await office.send("ok+no@example.com")
    assert taken["state"] == "suppressed"
    await office.until_send(taken["bulk_send"], "completed")
    assert (await office.show(taken["id"]))["state"] == "suppressed"


async def test_it_is_held_released_cancelled_and_expired_like_any_other(office: PostOffice) -> None:
    """By the queue's operations: on the message itself."""
    held, ended, late = [await office.send(f"defer+{n}@example.com") for n in range(3)]
    for one in (held, ended, late):
        await office.until(one["id"], "deferred")
    await office.order("/v1/queue/hold", filter={"ids": [held["id"]]})
    await office.order("/v1/queue/cancel", filter={"ids": [ended["id"]]})
    await office.order("/v1/queue/expire", filter={"ids": [late["id"]]})
    for one, state in ((held, "held"), (ended, "cancelled"), (late, "expired")):
        await office.until(one["id"], state)
    for one in (ended, late):
        await office.until_send(one["bulk_send"], "completed")
    await office.order("/v1/queue/release", filter={"ids": [held["id"]]})
    message = await office.until(held["id"], "deferred")
    assert message["operation"]["verb"] == "release"


async def test_its_send_is_paused_resumed_changed_and_cancelled(office: PostOffice) -> None:
    taken = await office.send("defer+1@example.com", retry={"initial": "1h", "jitter": 0})
    bulk_id = taken["bulk_send"]
    await office.until(taken["id"], "deferred")
    await office.order(f"/v1/bulk-sends/{bulk_id}/pause")
    assert (await office.send_of(bulk_id))["state"] == "paused"
    assert (await office.show(taken["id"]))["waits_for"]["reason"] == "held"
    await office.order(f"/v1/bulk-sends/{bulk_id}/resume")
    await office.until_send(bulk_id, "running")
    changed = await office.http.patch(
        f"/v1/bulk-sends/{bulk_id}", json={"retry": {"initial": 1, "maximum": 2, "jitter": 0}}
    )
    assert changed.status_code == 200, changed.text
    before = (await office.show(taken["id"]))["attempt_count"]
    await office._until(lambda: office.show(taken["id"]), lambda found: found["attempt_count"] > before + 1)
    await office.order(f"/v1/bulk-sends/{bulk_id}/cancel")
    await office.until(taken["id"], "cancelled")
    await office.until_send(bulk_id, "cancelled")
    handle = office.client.get_workflow_handle(taken["workflow_id"])
    assert (await handle.describe()).status is not WorkflowExecutionStatus.RUNNING


async def test_a_failed_one_is_started_again_under_the_same_id(office: PostOffice) -> None:
    taken = await office.send("bounce+again@example.com")
    await office.until_send(taken["bulk_send"], "completed")
    await office.order(f"/v1/bulk-sends/{taken['bulk_send']}/retry-failed")
    await office._until(lambda: office.show(taken["id"]), lambda found: found["attempt_count"] == 2)
    await office.until_send(taken["bulk_send"], "completed")
    found = await office.client.get_workflow_handle(taken["workflow_id"]).describe()
    assert found.workflow_type == "Message"


async def test_its_sender_is_told_as_of_any_send(office: PostOffice) -> None:
    notify = {"to": "me@example.com", "on": ["failure"], "mode": "each"}
    taken = await office.send("bounce+told@example.com", notify=notify)
    await office.until_send(taken["bulk_send"], "completed")

    async def notices() -> list[dict[str, str]]:
        answer = await office.http.get("/v1/bulk-sends", params={"kind": "notice"})
        return list(answer.json()["data"])

    for _ in range(100):
        if found := await notices():
            break
        await asyncio.sleep(0.1)
    assert [one["notice_of"] for one in found] == [taken["bulk_send"]]
    listed = (await office.http.get("/v1/bulk-sends")).json()["data"]
    assert listed == []


async def test_one_whose_workflow_was_terminated_is_closed_as_what_it_is(office: PostOffice) -> None:
    taken = await office.send("defer+1@example.com")
    await office.until(taken["id"], "deferred")
    await office.client.get_workflow_handle(taken["workflow_id"]).terminate("a test")
    reconciler = Reconciler(office.parts.archive, office.client, office.queue)
    for _ in range(3):
        await reconciler.look(office.parts.now())
    assert (await office.until(taken["id"], "cancelled"))["state"] == "cancelled"
    await office.until_send(taken["bulk_send"], "cancelled")


async def test_signals_of_the_command_line_mean_what_they_mean_for_a_bulk_send(office: PostOffice) -> None:
    taken = await office.send("defer+1@example.com", retry={"initial": "1h", "jitter": 0})
    await office.until(taken["id"], "deferred")
    handle = office.client.get_workflow_handle(taken["workflow_id"])
    await handle.signal("hold")
    await office.until_send(taken["bulk_send"], "paused")
    assert (await handle.query("progress"))["state"] == "paused"
    await handle.signal("release")
    await office.until_send(taken["bulk_send"], "running")
    before = (await office.show(taken["id"]))["attempt_count"]
    await handle.signal("retry_now")
    await office._until(lambda: office.show(taken["id"]), lambda found: found["attempt_count"] > before)
    await handle.cancel()
    await office.until_send(taken["bulk_send"], "cancelled")
