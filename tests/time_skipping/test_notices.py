"""When a sender is told: failures soon, a delay after a day, the end at the end. All real but the time."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from temporalio.client import WorkflowFailureError

from postwerk.archive import reads
from postwerk.archive.engine import Archive
from postwerk.contracts.content import Mailbox
from postwerk.contracts.options import Notify, NotifyMode, NotifyOn
from postwerk.contracts.states import MessageState
from tests.support.notices import notices_of
from tests.support.sandbox import SandboxProcess
from tests.support.seeding import a_stored_bulk_send
from tests.support.worker import carried, skipping_server, started, working

ONE_DATABASE = pytest.mark.parametrize("archive", ["sqlite"], indirect=True)
"""For what the archive's dialect cannot change."""
ALL = (NotifyOn.FAILURE, NotifyOn.DELAY, NotifyOn.COMPLETION)


def wishes(*on: NotifyOn, mode: NotifyMode = NotifyMode.DIGEST) -> Notify:
    return Notify(to=(Mailbox(email="me@shop.example"),), on=on or (NotifyOn.FAILURE,), mode=mode)


async def test_a_delay_is_told_once_after_a_day_and_the_end_once_at_the_end(archive: Archive) -> None:
    addresses = ["defer+x@example.com", "ok+y@example.com"]
    async with skipping_server() as environment:
        with SandboxProcess() as sandbox:
            order = await a_stored_bulk_send(archive, addresses, notify=wishes(*ALL))
            async with working(environment.client, archive, sandbox.relay_url) as queue:
                await carried(environment.client, order, queue)

    delay, end = await notices_of(archive, order.bulk_id)
    async with archive.reading() as connection:
        send = await reads.bulk_send(connection, order.bulk_id)
    assert send.started_at is not None
    late_by = delay.told_at - send.started_at - timedelta(hours=24)
    assert abs(late_by) < timedelta(minutes=1)
    assert "1 of 2 not yet delivered" in delay.mail["Subject"]
    assert (end.kind, end.seq) == ("completion", 0)
    assert "1 of 2 failed" in end.mail["Subject"]
    assert send.finished_at is not None
    assert end.told_at >= send.finished_at


async def test_each_failure_is_told_soon_and_each_delay_after_a_day(archive: Archive) -> None:
    notify = wishes(NotifyOn.FAILURE, NotifyOn.DELAY, mode=NotifyMode.EACH)
    addresses = ["bounce+1@example.com", "defer+2@example.com", "ok+3@example.com"]
    async with skipping_server() as environment:
        with SandboxProcess() as sandbox:
            order = await a_stored_bulk_send(archive, addresses, notify=notify)
            async with working(environment.client, archive, sandbox.relay_url) as queue:
                handle = await started(environment.client, order, queue)
                await environment.sleep(timedelta(minutes=2))
                soon = [(one.seq, one.kind) for one in await notices_of(archive, order.bulk_id)]
                await handle.result()
                history = await handle.fetch_history()

    assert soon == [(1, "failure")]
    found = await notices_of(archive, order.bulk_id)
    assert [(one.seq, one.kind) for one in found] == [(1, "failure"), (2, "delay"), (2, "failure")]
    assert [one.status["Status"] for one in found] == ["5.1.1", "4.7.1", "4.4.7"]
    assert len(history.events) < 700


@ONE_DATABASE
async def test_a_send_shorter_than_a_day_is_never_late(archive: Archive) -> None:
    async with skipping_server() as environment:
        with SandboxProcess() as sandbox:
            order = await a_stored_bulk_send(
                archive, ["defer+x@example.com"], notify=wishes(*ALL), deadline=timedelta(hours=24)
            )
            async with working(environment.client, archive, sandbox.relay_url) as queue:
                await carried(environment.client, order, queue)
    assert [one.kind for one in await notices_of(archive, order.bulk_id)] == ["completion"]


@ONE_DATABASE
@pytest.mark.parametrize(
    ("addresses", "told"),
    [(["bounce+1@example.com", "defer+2@example.com"], 1), (["defer+1@example.com"], 0)],
)
async def test_a_cancelled_send_tells_of_what_had_failed_before(
    archive: Archive, addresses: list[str], told: int
) -> None:
    async with skipping_server() as environment:
        with SandboxProcess() as sandbox:
            order = await a_stored_bulk_send(archive, addresses, notify=wishes())
            async with working(environment.client, archive, sandbox.relay_url) as queue:
                handle = await started(environment.client, order, queue)
                await environment.sleep(timedelta(hours=2))
                await handle.cancel()
                with pytest.raises(WorkflowFailureError):
                    await handle.result()
    found = await notices_of(archive, order.bulk_id)
    assert len(found) == told
    assert all("cancelled, 1 of 2 failed" in one.mail["Subject"] for one in found)


@ONE_DATABASE
async def test_a_notice_that_cannot_be_stored_keeps_no_send_from_its_end(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_arguments: Any) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("postwerk.archive.notices.store_notice", fail)
    async with skipping_server() as environment:
        with SandboxProcess() as sandbox:
            order = await a_stored_bulk_send(archive, ["bounce+1@example.com"], notify=wishes())
            async with working(environment.client, archive, sandbox.relay_url) as queue:
                counts = await carried(environment.client, order, queue)
    assert counts.states == {MessageState.BOUNCED: 1}
    assert await notices_of(archive, order.bulk_id) == []
