"""Drafts of the page in the archive: said anew while they are open, and their lists kept as long as that."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from postwerk.archive import drafts, reads
from postwerk.archive.engine import Archive
from postwerk.archive.intake import NewBulkSend, add_recipients, queue_bulk_send, store_bulk_send
from postwerk.contracts.content import Content, Mailbox
from postwerk.contracts.options import BulkOptions
from postwerk.contracts.states import BulkState
from postwerk.errors import Conflict, NotFound
from postwerk.rules.recipients import new_recipient

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
CONTENT = Content(sender=Mailbox(email="news@shop.example"), subject="one", text="x")
DRAFT = NewBulkSend("bulk_" + "1" * 26, "a", CONTENT, BulkOptions(), None, NOW)


async def test_a_draft_is_said_anew_until_it_is_started(archive: Archive) -> None:
    anew = replace(
        DRAFT,
        name="b",
        content=CONTENT.model_copy(update={"subject": "two"}),
        options=BulkOptions(rate="5/s"),
        metadata={"crm": 1},
    )
    async with archive.writing() as connection:
        await store_bulk_send(connection, DRAFT, BulkState.OPEN)
        await add_recipients(connection, DRAFT.id, [new_recipient("ada@example.com")])
        await drafts.rewrite_draft(connection, anew)
    async with archive.writing() as connection:
        send, content = (
            await reads.bulk_send(connection, DRAFT.id),
            await reads.content_of(connection, DRAFT.id),
        )
        assert (send.name, send.options.rate, send.metadata, send.accepted) == ("b", "5/s", {"crm": 1}, 1)
        assert content.subject == "two"
        await queue_bulk_send(connection, DRAFT.id, NOW, anew.options)
        with pytest.raises(Conflict):
            await drafts.rewrite_draft(connection, DRAFT)


async def test_a_list_is_kept_piece_by_piece_while_its_send_is_open(archive: Archive) -> None:
    async with archive.writing() as connection:
        with pytest.raises(Conflict):
            await drafts.begin_list(connection, "list_1", DRAFT.id, "a.csv", columns=None, now=NOW)
        await store_bulk_send(connection, DRAFT, BulkState.OPEN)
        for id in ("list_1", "list_2"):
            await drafts.begin_list(connection, id, DRAFT.id, "a.csv", columns={"charset": ""}, now=NOW)
        for number in range(drafts.PIECES_AT_ONCE + 1):
            await drafts.add_piece(connection, "list_1", number, b"\x00%d" % number)
        assert await drafts.draft_lists(connection, DRAFT.id) == []  # they have not arrived as a whole
        await drafts.set_list(connection, "list_1", state=drafts.HERE)

        [one] = await drafts.draft_lists(connection, DRAFT.id)
        assert (one.id, one.pieces, one.state, one.columns) == ("list_1", 21, drafts.HERE, {"charset": ""})
        assert one.octets == sum(len(b"\x00%d" % number) for number in range(21))
        assert await drafts.piece(connection, "list_1", 20) == b"\x0020"
        assert await drafts.tell_columns(connection, one, {"charset": "", "columns": 1})
        assert not await drafts.tell_columns(connection, one, {"charset": "", "columns": 2})
        [told] = await drafts.draft_lists(connection, DRAFT.id)
        assert told.columns == {"charset": "", "columns": 1}
        with pytest.raises(NotFound):
            await drafts.draft_list(connection, "bulk_" + "2" * 26, "list_1")
        assert await drafts.lists_left_over(connection, NOW) == []
        assert await drafts.lists_left_over(connection, NOW + timedelta(days=1)) == ["list_2"]

        await queue_bulk_send(connection, DRAFT.id, NOW, DRAFT.options)
        assert sorted(await drafts.lists_left_over(connection, NOW)) == ["list_1", "list_2"]
        steps = 0
        while await drafts.erase_list(connection, "list_1"):
            steps += 1
        assert steps == 2
        assert await drafts.draft_lists(connection, DRAFT.id) == []
        with pytest.raises(NotFound):
            await drafts.piece(connection, "list_1", 0)
