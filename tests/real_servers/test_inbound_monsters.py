"""Mails that are made to hurt, between good ones: read within time and memory, and nobody waits for them."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import psutil
import pytest

from postwerk.inbound.child import MEMORY_BYTES
from postwerk.inbound.reader import MailReader, Unreadable
from tests.support.returned import SAMPLES, a_dsn

MEGABYTE = 1024 * 1024


def dsn_with(head: bytes) -> bytes:
    """A good notification with such fields in front."""
    return head + a_dsn()


def deep(levels: int, same: bool) -> bytes:
    names = [b"b" if same else b"b%d" % level for level in range(levels)]
    return b"From: a@b.example\r\n" + b"".join(
        b'Content-Type: multipart/mixed; boundary="%s"\r\n\r\n--%s\r\n' % (name, name) for name in names
    )


MONSTERS = {
    "comments": dsn_with(b"To: " + b"(" * 20_000 + b"\r\n"),
    "brackets": dsn_with(b"Message-ID: <[[[[[[[[\r\n"),
    "addresses": dsn_with(b"To: " + b"a@b.example, " * 4_500 + b"\r\n"),
    "very many addresses": dsn_with(b"To: " + b"a@b.example, " * 50_000 + b"\r\n"),
    "encoded words": dsn_with(b"Subject: " + b"=?utf-8?q?=41?= " * 3_900 + b"\r\n"),
    "very many encoded words": dsn_with(b"Subject: " + b"=?utf-8?q?=41?= " * 20_000 + b"\r\n"),
    "nested": deep(2_000, same=False),
    "nested in one name": deep(2_000, same=True),
    "mails in mails": b"From: a@b.example\r\n" + b"Content-Type: message/rfc822\r\n\r\n" * 5_000,
    "parts": b'From: a@b.example\r\nContent-Type: multipart/mixed; boundary="x"\r\n\r\n'
    + b"--x\r\n\r\n" * 100_000,
    "a subject of a megabyte": b"Subject: " + b"x" * (MEGABYTE - 100) + b"\r\n\r\n",
    "fields": b"X: y\r\n" * 170_000,
    "folded": b"X: y\r\n" + b" \r\n" * 300_000,
    "no line ends": b"x" * MEGABYTE,
    "line ends": b"\r\n" * (MEGABYTE // 2),
    "nothing but NUL": b"\0" * MEGABYTE,
    "unknown charset": dsn_with(b"Subject: =?no-such-charset?b?////?=\r\n").replace(
        b"us-ascii", b"no-such-charset"
    ),
    "groups": a_dsn().replace(
        b"Arrival-Date",
        b"Final-Recipient: rfc822; a@b.example\r\nAction: failed\r\n\r\n" * 10_000 + b"Arrival-Date",
    ),
    "dashes": b'Content-Type: multipart/mixed; boundary="-"\r\n\r\n' + b"-" * MEGABYTE,
    "dashes in lines": b'Content-Type: multipart/mixed; boundary="-"\r\n\r\n' + b"---\n----\n" * 100_000,
    "spaces": b"Content-Type: multipart/mixed;" + b" " * 60_000 + b"\r\n\r\n",
    "boundaries": b"Content-Type: multipart/mixed;" + b'boundary="' * 6_000 + b"\r\n\r\n",
    "digits": b"From: MAILER-DAEMON@x.example\r\n\r\n" + b"550 " * 250_000,
    "addresses in words": b"From: MAILER-DAEMON@x.example\r\n\r\n" + b"<a@b.example>:\r\n" * 60_000,
    "at signs": b"From: postmaster@x.example\r\nSubject: failure\r\n\r\n" + b"@" * MEGABYTE,
    "angle brackets": b"From: postmaster@x.example\r\nSubject: failure\r\n\r\n" + b"<" * MEGABYTE,
    "words": b"From: MAILER-DAEMON@x.example\r\n\r\nThis is the qmail-send program\r\n\r\n"
    + b"<a " * 300_000,
    "base64 of nothing": b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    + b"=" * MEGABYTE,
}


@pytest.fixture
async def reader() -> AsyncIterator[MailReader]:
    made = MailReader()
    yield made
    await made.close()


@pytest.mark.parametrize("name", MONSTERS)
async def test_a_monster_costs_little_and_the_next_mail_is_read(reader: MailReader, name: str) -> None:
    await reader.read(SAMPLES[0].raw)
    assert reader.pid is not None
    process = psutil.Process(reader.pid)
    before = process.cpu_times().user
    began, most = time.monotonic(), 0
    try:
        await reader.read(MONSTERS[name][:MEGABYTE])
    except Unreadable:
        pass
    else:
        most = process.memory_info().vms
        assert process.cpu_times().user - before < 5
    assert time.monotonic() - began < 10
    assert most <= MEMORY_BYTES
    for sample in SAMPLES:
        began = time.monotonic()
        assert (await reader.read(sample.raw)).kind == sample.kind
        assert time.monotonic() - began < 1


async def test_the_reader_is_limited_by_the_system_and_knows_no_secret(
    reader: MailReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POSTWERK_DATABASE_URL", "postgresql://postwerk:secret@db/postwerk")
    await reader.read(SAMPLES[0].raw)
    process = psutil.Process(reader.pid)
    assert process.rlimit(psutil.RLIMIT_AS) == (MEMORY_BYTES, MEMORY_BYTES)
    assert 0 < process.rlimit(psutil.RLIMIT_CPU)[0] < 20
    assert process.rlimit(psutil.RLIMIT_FSIZE) == (0, 0)
    assert not any(name.startswith(("POSTWERK_", "TEMPORAL_")) for name in process.environ())
    assert process.memory_info().rss < 60 * MEGABYTE
