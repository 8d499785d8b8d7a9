"""Messages that coalesce: what the archive decides on both databases, and the workflow of a key."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from api.reconciler import Reconciler
from postwerk.archive import coalescing, reads
from postwerk.archive.coalescing import Coalescing
from postwerk.archive.engine import Archive
from postwerk.archive.ids import new_bulk_id
from postwerk.archive.intake import NewBulkSend
from postwerk.archive.message_intake import store_message
from postwerk.contracts.coalescing import Arrival, WindowEnd, WindowOrder
from postwerk.contracts.options import BulkOptions
from postwerk.contracts.states import SendKind
from tests.support.messages import PostOffice, open_post_office
from tests.support.sandbox import SandboxProcess
from tests.support.seeding import a_content, a_recipient

NOW = datetime(2026, 11, 22, 8, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
ON_SQLITE = pytest.mark.parametrize("archive", ["sqlite"], indirect=True)


async def stored(
    archive: Archive, rank: int, seconds: float = 0, *, key: str = "quota-4711", owner: str = ""
) -> Arrival:
    """A message that waits since so many seconds after NOW."""
    at = NOW + timedelta(seconds=seconds)
    kind = SendKind.MESSAGE
    new = NewBulkSend(new_bulk_id(), "", a_content(), BulkOptions(), None, at, kind=kind, owner=owner)
    async with archive.writing() as connection:
        await store_message(connection, new, a_recipient("ok@example.com"), at)
        wish = Coalescing(key, rank, MINUTE)
        return await coalescing.wait_with_others(connection, new.id, owner, wish, lambda: at)


async def ended(archive: Archive, opener: Arrival) -> WindowEnd:
    order = WindowOrder(opener=opener.bulk_id, ends=opener.ends)
    async with archive.writing() as connection:
        return await coalescing.end_window(connection, order, opener.ends, shard=1)


async def standing(archive: Archive, *arrivals: Arrival) -> list[tuple[str, str]]:
    """State and what it was folded into."""
    async with archive.reading() as connection:
        found = await coalescing.coalesced_of(connection, {one.bulk_id for one in arrivals})
    return [(found[one.bulk_id].state, found[one.bulk_id].folded_into) for one in arrivals]


async def test_the_highest_rank_is_sent_and_the_others_end_folded_into_it(archive: Archive) -> None:
    low, high, middle = [await stored(archive, rank, n) for n, rank in enumerate((70, 90, 80))]
    end = await ended(archive, low)

    assert end.send is not None
    assert (end.send.bulk_id, end.send.kind, end.folded) == (high.bulk_id, SendKind.MESSAGE, 2)
    assert end.send.batches is not None
    into = high.bulk_id
    assert await standing(archive, low, high, middle) == [("folded", into), ("sent", ""), ("folded", into)]
    async with archive.reading() as connection:
        for one in (low, middle):
            message = await reads.message(connection, one.bulk_id, 1)
            assert (message.state, message.last_reason) == ("suppressed", "coalesced")
            told = await reads.accounting(connection, one.bulk_id)
            assert (told["state"], told["adds_up"]) == ("completed", True)
        assert (await reads.accounting(connection, high.bulk_id))["stored"] == {"queued": 1}


async def test_among_equals_the_latest_is_sent(archive: Archive) -> None:
    first, second, third = [await stored(archive, 80, n) for n in range(3)]
    end = await ended(archive, first)
    assert end.send is not None
    assert end.send.bulk_id == third.bulk_id
    assert (await standing(archive, second))[0] == ("folded", third.bulk_id)


async def test_to_decide_again_decides_nothing_else(archive: Archive) -> None:
    """The worker died when it had decided."""
    low, high = await stored(archive, 70), await stored(archive, 90, 1)
    first = await ended(archive, low)
    again = await ended(archive, low)
    assert first.send is not None
    assert again.send == first.send
    assert await standing(archive, low, high) == [("folded", high.bulk_id), ("sent", "")]


async def test_who_comes_behind_the_end_is_in_the_next_window(archive: Archive) -> None:
    inside, outside = await stored(archive, 70, 59), await stored(archive, 90, 60)
    await stored(archive, 10, 0)
    end = await ended(archive, inside)  # who was believed to have opened it
    assert end.first == outside
    assert end.send is not None
    assert end.send.bulk_id == inside.bulk_id
    assert await standing(archive, outside) == [("waiting", "")]


async def test_other_keys_and_other_owners_have_nothing_to_do_with_it(archive: Archive) -> None:
    one = await stored(archive, 70)
    others = [await stored(archive, 90, key="quota-1"), await stored(archive, 90, owner="key_1")]
    await ended(archive, one)
    assert await standing(archive, one, *others) == [("sent", ""), ("waiting", ""), ("waiting", "")]
    assert len({one.workflow_id for one in (one, *others)}) == 3
    assert "4711" not in one.workflow_id


async def test_who_was_cancelled_meanwhile_takes_no_part(archive: Archive) -> None:
    low, high = await stored(archive, 70), await stored(archive, 90, 1)
    async with archive.writing() as connection:
        where = {"id": high.bulk_id}
        await connection.execute(text("UPDATE message SET state = 'cancelled' WHERE bulk_id = :id"), where)
    end = await ended(archive, low)
    assert end.send is not None
    assert end.send.bulk_id == low.bulk_id
    assert await standing(archive, low, high) == [("sent", ""), ("withdrawn", low.bulk_id)]
    async with archive.reading() as connection:
        assert (await reads.bulk_send(connection, high.bulk_id)).state == "completed"


async def test_when_nobody_is_left_nothing_is_sent(archive: Archive) -> None:
    only = await stored(archive, 70)
    async with archive.writing() as connection:
        await connection.execute(text("UPDATE bulk_send SET state = 'cancelling'"))
    assert (await ended(archive, only)).send is None
    assert (await ended(archive, only)).send is None
    assert await standing(archive, only) == [("withdrawn", "")]


async def test_those_that_no_workflow_may_know_of_are_found(archive: Archive) -> None:
    told, untold = await stored(archive, 70), await stored(archive, 80, 1)
    async with archive.writing() as connection:
        await coalescing.note_handed(connection, told.bulk_id)

    async def found(now: datetime) -> list[str]:
        async with archive.reading() as connection:
            some = await coalescing.arrivals_not_handed(
                connection, now - timedelta(seconds=5), now - timedelta(seconds=30)
            )
            assert await reads.bulk_sends_not_started(connection, now) == []
        return [one.bulk_id for one in some]

    assert await found(NOW + timedelta(seconds=3)) == []
    assert await found(NOW + timedelta(seconds=7)) == [untold.bulk_id]
    assert await found(NOW + timedelta(seconds=91)) == [untold.bulk_id, told.bulk_id]


def coalesce(rank: int, window: str = "2s", key: str = "quota-4711") -> dict[str, Any]:
    return {"key": key, "rank": rank, "window": window}


async def ended_as(office: PostOffice, *taken: dict[str, Any]) -> list[tuple[str, str, str | None]]:
    """State, state among the others, and what it was folded into."""
    answer = []
    for one in taken:
        message = await office.until(one["id"], "delivered", "suppressed", "cancelled")
        answer.append((message["state"], message["coalesced"]["state"], message["coalesced"]["into"]))
    return answer


@ON_SQLITE
async def test_one_notice_for_an_app_that_crosses_three_thresholds(archive: Archive) -> None:
    with SandboxProcess() as sandbox:
        async with open_post_office(archive, sandbox) as office:
            taken = [await office.send("ok+1@example.com", coalesce=coalesce(r)) for r in (70, 90, 80)]
            waiting = await office.show(taken[0]["id"])
            assert waiting["waits_for"]["reason"] == "coalescing"
            assert waiting["waits_for"]["until"]
            assert waiting["coalesced"] | {"arrived_at": ""} == {
                "key": "quota-4711", "rank": 70, "state": "waiting", "arrived_at": "", "into": None,
            }  # fmt: skip
            into = taken[1]["id"]
            assert await ended_as(office, *taken) == [
                ("suppressed", "folded", into),
                ("delivered", "sent", None),
                ("suppressed", "folded", into),
            ]
            folded = await office.show(taken[0]["id"])
            assert folded["reason"] == "coalesced"
            # The next one opens a window of its own.
            later = await office.send("ok+1@example.com", coalesce=coalesce(10, "1s"))
            assert await ended_as(office, later) == [("delivered", "sent", None)]
        assert len(sandbox.messages()) == 2


@ON_SQLITE
async def test_hundred_keys_in_random_order_while_windows_end(archive: Archive) -> None:
    """Whoever arrives as a window ends is in it or opens the next one: each window sends exactly one."""
    with SandboxProcess() as sandbox:
        async with open_post_office(archive, sandbox) as office:
            taken: list[dict[str, Any]] = []

            async def keep_sending(key: str) -> None:
                for rank in range(12):
                    one = coalesce(rank, "1s", key)
                    taken.append(await office.send(f"ok+{key}@example.com", coalesce=one))
                    await asyncio.sleep(0.27)

            await asyncio.gather(*[keep_sending(f"key-{n}") for n in range(4)])
            ends = await ended_as(office, *taken)
        sent = {one["id"] for one, end in zip(taken, ends, strict=True) if end[1] == "sent"}
        assert {end[2] for end in ends if end[1] == "folded"} <= sent
        assert all(state == ("delivered" if among == "sent" else "suppressed") for state, among, _ in ends)
        assert len(sandbox.messages()) == len(sent)


@ON_SQLITE
async def test_what_no_workflow_was_told_of_is_handed_in_by_the_reconciler(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And its workflow may be terminated as well: the archive knows who waits."""
    with SandboxProcess() as sandbox:
        async with open_post_office(archive, sandbox) as office:

            async def away(_arrival: Arrival) -> bool:
                return False

            monkeypatch.setattr(office.parts.starter, "hand_in", away)
            lost = await office.send("ok+1@example.com", coalesce=coalesce(90, "4s"))
            monkeypatch.undo()
            known = await office.send("ok+1@example.com", coalesce=coalesce(80, "4s"))
            async with archive.reading() as connection:
                arrival = await coalescing.waiting_arrival(connection, known["bulk_send"])
            assert arrival is not None
            await office.client.get_workflow_handle(arrival.workflow_id).terminate("a test")
            reconciler = Reconciler(archive, office.client, office.queue)
            await reconciler.look(office.parts.now() + timedelta(seconds=6))
            await reconciler.look(office.parts.now() + timedelta(seconds=60))
            assert await ended_as(office, known, lost) == [
                ("suppressed", "folded", lost["id"]),
                ("delivered", "sent", None),
            ]


@ON_SQLITE
async def test_one_that_waits_is_cancelled_paused_and_resumed_like_any_other(archive: Archive) -> None:
    with SandboxProcess() as sandbox:
        async with open_post_office(archive, sandbox) as office:
            gone = await office.send("ok+1@example.com", coalesce=coalesce(90, "3s"))
            kept = await office.send("ok+1@example.com", coalesce=coalesce(80, "3s"))
            await office.order(f"/v1/bulk-sends/{gone['bulk_send']}/cancel")
            await office.until_send(gone["bulk_send"], "cancelled")
            await office.order(f"/v1/bulk-sends/{kept['bulk_send']}/pause")
            await office.order(f"/v1/bulk-sends/{kept['bulk_send']}/resume")
            assert (await office.show(kept["id"]))["waits_for"]["reason"] == "coalescing"
            assert await ended_as(office, kept) == [("delivered", "sent", None)]
            assert (await office.show(gone["id"]))["coalesced"]["state"] == "withdrawn"
