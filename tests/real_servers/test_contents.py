"""What a worker keeps of contents and files, and what the archive does with templates and blobs at once."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from hashlib import sha256

import pytest
from sqlalchemy import text

from activities.parts import Contents
from postwerk.archive.blobs import NewBlob, blob_data, blob_sizes, intact, store_blobs
from postwerk.archive.engine import Archive
from postwerk.archive.ids import new_bulk_id
from postwerk.archive.intake import NewBulkSend, queue_bulk_send, store_bulk_send
from postwerk.archive.relay_sizes import note_size_limit, size_limit
from postwerk.archive.templates import delete_template, put_template, template, templates, versions
from postwerk.contracts.content import Attachment, Content, Mailbox, Recipient
from postwerk.contracts.options import BulkOptions
from postwerk.contracts.states import BulkState
from postwerk.errors import ContentError, NotFound

NOW = datetime(2026, 1, 2, tzinfo=UTC)
ANN = Recipient(1, "ann@example.org", "", {})


async def a_send(archive: Archive, data: bytes) -> str:
    """A queued send with this file."""
    blob = NewBlob.of(data)
    attachment = Attachment(name="a.bin", media_type="application/pdf", blob=blob.id, size=len(data))
    content = Content(
        sender=Mailbox(email="a@shop.example"), subject="s", text="t", attachments=(attachment,)
    )
    options = BulkOptions()
    new = NewBulkSend(new_bulk_id(), "", content, options, None, NOW, blobs=(blob,))
    async with archive.writing() as connection:
        await store_bulk_send(connection, new, BulkState.STORING)
        await queue_bulk_send(connection, new.id, NOW, options)
    return new.id


async def test_a_blob_is_stored_once_and_known_by_its_hash(archive: Archive) -> None:
    blobs = [NewBlob.of(b"one"), NewBlob.of(b"two"), NewBlob.of(b"one")]
    for _ in range(2):
        async with archive.writing() as connection:
            await store_blobs(connection, blobs, NOW)
    async with archive.reading() as connection:
        ids = [blob.id for blob in blobs]
        assert await blob_sizes(connection, [*ids, "none"]) == {ids[0]: 3, ids[1]: 3}
        data = await blob_data(connection, ids[0])
        assert await blob_data(connection, "none") is None
    assert data == b"one"
    assert intact(ids[0], data)
    assert not intact(ids[0], b"onE")


async def test_batches_that_begin_together_share_one_load(archive: Archive) -> None:
    bulk_id = await a_send(archive, b"x" * 100_000)
    contents = Contents(archive)
    found = await asyncio.gather(*(contents.of(bulk_id) for _ in range(20)))
    assert len({id(one.composer) for one in found}) == 1
    first, second = (one.composer.mail(ANN) for one in found[:2])
    assert first.shared is second.shared
    assert first.size > 130_000


async def test_what_is_kept_is_bound_by_its_octets_and_the_newest_always_stays(archive: Archive) -> None:
    ids = [await a_send(archive, bytes([n]) * 100_000) for n in range(4)]
    contents = Contents(archive, most_octets=300_000)
    seen = [await contents.of(bulk_id) for bulk_id in ids]
    assert [contents.latest(bulk_id, seen[0]) is one for bulk_id, one in zip(ids, seen, strict=True)] == [
        True, False, True, True,
    ]  # fmt: skip
    tiny = Contents(archive, most_octets=1)
    await tiny.of(ids[0])
    newest = await tiny.of(ids[1])
    assert await tiny.of(ids[1]) is newest


@pytest.mark.parametrize("damage", ["UPDATE blob SET data = :other", "DELETE FROM blob WHERE data <> :other"])
async def test_a_damaged_or_missing_file_is_no_file(archive: Archive, damage: str) -> None:
    bulk_id = await a_send(archive, b"x" * 1_000)
    async with archive.writing() as connection:
        await connection.execute(text(damage), {"other": b"y" * 1_000})
    composer = (await Contents(archive).of(bulk_id)).composer
    with pytest.raises(ContentError) as failure:
        composer.mail(ANN)
    assert failure.value.code == "content_missing"


async def test_two_who_change_a_template_at_once_make_two_versions(archive: Archive) -> None:
    async def put(n: int) -> int:
        async with archive.writing() as connection:
            made, _ = await put_template(connection, "a", {"text": str(n)}, now=NOW, by="x")
            return made.version

    assert sorted(await asyncio.gather(*(put(n) for n in range(6)))) == [1, 2, 3, 4, 5, 6]
    async with archive.reading() as connection:
        kept = await versions(connection, "a", limit=10, before=100)
        assert [one.version for one in kept] == [6, 5, 4, 3, 2, 1]
        assert [one.version for one in await templates(connection, limit=10)] == [6]


async def test_a_deleted_template_is_gone_and_its_numbers_stay_used(archive: Archive) -> None:
    async with archive.writing() as connection:
        await put_template(connection, "a", {"text": "1"}, now=NOW, by="x")
        await delete_template(connection, "a", now=NOW, by="x")
        with pytest.raises(NotFound):
            await delete_template(connection, "a", now=NOW, by="x")
        for version in (None, 1, 2):
            with pytest.raises(NotFound):
                await template(connection, "a", version)
        again, is_new = await put_template(connection, "a", {"text": "1"}, now=NOW, by="x")
    assert (again.version, is_new) == (3, True)


async def test_the_size_a_relay_takes_is_remembered(archive: Archive) -> None:
    async with archive.writing() as connection:
        assert await size_limit(connection, "default") is None
        for octets in (50_000, 10_000, None):
            await note_size_limit(connection, "default", octets)
            assert await size_limit(connection, "default") == octets
        assert await size_limit(connection, "other") is None


def test_the_id_of_a_blob_is_its_sha256() -> None:
    assert NewBlob.of(b"x").id == sha256(b"x").hexdigest()
