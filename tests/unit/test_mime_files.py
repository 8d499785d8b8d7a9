"""Files that go along: read back by readers nobody here wrote; hostile names stay in their own header."""

from __future__ import annotations

import email
import email.policy
import logging
import timeit
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import mailparser
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postwerk.contracts.content import Attachment, Content, Mailbox, MailIdentity, Recipient
from postwerk.errors import ContentError, InvalidRequest
from postwerk.mime.attachments import base64_lines, encoded_size
from postwerk.mime.composer import Composer
from postwerk.mime.file_names import content_id, file_name, looks_executable, media_type
from postwerk.mime.frame import MISSING, fixed_size
from postwerk.smtp.envelope import stuff_dots

IDENTITY = MailIdentity("bulk_0199", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
ANN = Recipient(7, "ann@example.org", "Ann", {})
PNG, PDF = b"\x89PNG\r\n\x1a\n" + bytes(range(256)), b"%PDF-1.7\n" + b"x" * 5_000
ICS = b"BEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\nBEGIN:VEVENT\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"


def an_id(data: bytes) -> str:
    return sha256(data).hexdigest()


def a_file(
    data: bytes = PDF, name: str = "a.pdf", media_type: str = "application/pdf", **more: Any
) -> Attachment:
    return Attachment(name=name, media_type=media_type, blob=an_id(data), size=len(data), **more)


def a_composer(*attachments: Attachment, **fields: Any) -> Composer:
    given = {"text": "Hello", "html": '<p>Hello <img src="cid:logo"></p>', **fields}
    content = Content(sender=Mailbox(email="shop@example.com"), subject="s", attachments=attachments, **given)
    return Composer(content, IDENTITY, files={an_id(data): data for data in (PNG, PDF, ICS)})


def structure(part: Any) -> Any:
    """Content types as they stand in each other."""
    kind = part.get_content_type()
    return (kind, [structure(inner) for inner in part.iter_parts()]) if part.is_multipart() else kind


def read(raw: bytes) -> Any:
    mail = email.message_from_bytes(raw, policy=email.policy.default)
    assert [defect for part in mail.walk() for defect in part.defects] == []
    return mail


LOGO = a_file(PNG, "logo.png", "image/png", content_id="logo", inline=True)
INVITATION = a_file(ICS, "invite.ics", "text/calendar", method="REQUEST")
_BODIES = ("multipart/alternative", ["text/plain", "text/html"])
_SHOWN = ("multipart/related", ["text/html", "image/png"])


@pytest.mark.parametrize(
    ("attachments", "fields", "expected"),
    [
        ([a_file()], {}, ("multipart/mixed", [_BODIES, "application/pdf"])),
        ([a_file()], {"html": None}, ("multipart/mixed", ["text/plain", "application/pdf"])),
        ([LOGO], {}, ("multipart/alternative", ["text/plain", _SHOWN])),
        ([LOGO], {"text": None}, _SHOWN),
        (
            [LOGO, a_file()],
            {},
            ("multipart/mixed", [("multipart/alternative", ["text/plain", _SHOWN]), "application/pdf"]),
        ),
        (
            [INVITATION],
            {},
            (
                "multipart/mixed",
                [("multipart/alternative", ["text/plain", "text/html", "text/calendar"]), "application/ics"],
            ),
        ),
        (
            [INVITATION, LOGO],
            {"text": None},
            (
                "multipart/mixed",
                [("multipart/alternative", [_SHOWN, "text/calendar"]), "application/ics"],
            ),
        ),
        (
            [INVITATION],
            {"html": None},
            (
                "multipart/mixed",
                [("multipart/alternative", ["text/plain", "text/calendar"]), "application/ics"],
            ),
        ),
    ],
)
def test_each_part_stands_where_mail_programs_look_for_it(attachments, fields, expected) -> None:
    assert structure(read(a_composer(*attachments, **fields).compose(ANN))) == expected


def test_an_invitation_is_an_alternative_with_its_method_and_a_file() -> None:
    parts = [p for p in read(a_composer(INVITATION).compose(ANN)).walk() if "ics" in str(p["content-type"])]
    alternative = next(
        part
        for part in read(a_composer(INVITATION).compose(ANN)).walk()
        if part.get_content_type() == "text/calendar"
    )
    assert alternative["content-type"].params["method"] == "REQUEST"
    assert alternative.get_content_disposition() is None
    assert alternative.get_payload(decode=True) == parts[0].get_payload(decode=True) == ICS
    assert (parts[0].get_filename(), parts[0].get_content_disposition()) == ("invite.ics", "attachment")


NAMES = [
    "a.pdf",
    "Prospekt 2026.pdf",
    "Übersicht.pdf",
    "資料.pdf",
    "two  spaces.pdf",
    'quote".pdf',
    "semi;colon=x.pdf",
    "percent%41.pdf",
    "Preisliste für alle Länder und Gegenden dieser Erde, Ausgabe Frühling 2026.pdf",
    "ü" * 120 + ".pdf",
    "😀.pdf",
]


@pytest.mark.parametrize("name", NAMES)
def test_every_reader_finds_the_same_file_under_its_own_name(name: str, caplog: Any) -> None:
    caplog.set_level(logging.CRITICAL)
    raw = a_composer(a_file(name=name), LOGO).compose(ANN)
    for policy in (email.policy.default, email.policy.compat32):
        found = {part.get_filename(): part for part in email.message_from_bytes(raw, policy=policy).walk()}
        assert found[name].get_payload(decode=True) == PDF
        assert found["logo.png"]["Content-ID"] == "<logo>"
    assert {one["filename"] for one in mailparser.parse_from_bytes(raw).attachments} == {name, "logo.png"}
    typed = next(part for part in read(raw).walk() if part.get_filename() == name)
    assert typed["content-type"].params["name"] == name
    assert all(len(line) <= 78 or b"boundary" in line for line in raw.split(b"\r\n"))


# Forty values that try to leave their header.
HOSTILE = [
    "a\r\nBcc: x@evil.example", "a\nBcc: x@evil.example", "a\rBcc: x@evil.example", "a\r\n\r\n<b>body</b>",
    "a\x00b", "a\x0bb", "a\x0cb", "a\x1cb", "a\x1db", "a\x1eb", "a\x85b", "a\u2028b", "a\u2029b",
    "a\x7fb",
    "../../etc/passwd", "..\\..\\boot.ini", "/etc/passwd", "C:\\x.pdf", "dir/a.pdf", "", " ", ".", "..",
    "...",
    "a\u202efdp.exe", "a\u2066b", "a\u200fb", "\ufeffa", "a\u200bb", "a\ud800b", "x" * 256, "ü" * 128,
    'a"; filename="b.exe', "a; x=y\r\n\tz", "=?utf-8?q?a=0D=0ABcc:_x?=", "=?utf-8?b?DQpCY2M6IHg=?=",
    "a>\r\nX: y",
    "a\r\n--=_boundary", "<a@b>\r\nContent-Type: text/html", "text/html\r\n\r\n<script>",
]  # fmt: skip
HEADERS = ["content-type", "content-transfer-encoding", "content-disposition"]


def test_there_are_forty() -> None:
    assert len(set(HOSTILE)) == 40


@pytest.mark.parametrize("value", HOSTILE)
def test_a_hostile_file_name_is_refused_or_stays_a_name(value: str) -> None:
    try:
        taken = file_name(value, "#/attachments/0/filename")
    except InvalidRequest as error:
        refusal = error
    else:
        refusal = None
    if refusal is not None:
        assert (refusal.pointer, refusal.code) == ("#/attachments/0/filename", "invalid_filename")
        return
    _, attached = read(a_composer(a_file(name=taken)).compose(ANN)).iter_parts()
    assert attached.get_filename() == taken
    assert [name.lower() for name in attached] == HEADERS


@pytest.mark.parametrize("value", HOSTILE)
def test_a_hostile_content_id_is_refused(value: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        content_id(value, "#/attachments/0/content_id")
    assert refusal.value.code == "invalid_content_id"


@pytest.mark.parametrize("value", HOSTILE)
def test_a_hostile_content_type_is_refused(value: str) -> None:
    for written in (value, f"text/{value}", f"text/plain; {value}", f"text/plain; charset={value}"):
        if written == "dir/a.pdf":
            continue  # so it could be called
        with pytest.raises(InvalidRequest) as refusal:
            media_type(written, "a.pdf", "#/attachments/0/content_type")
        assert refusal.value.code == "invalid_content_type"


@pytest.mark.parametrize("value", HOSTILE)
@pytest.mark.parametrize("field", ["name", "media_type", "content_id", "charset", "method"])
def test_what_was_stored_by_a_bug_cannot_leave_its_header_either(field: str, value: str) -> None:
    """The last door: a content from the archive is not believed."""
    hostile = a_file(media_type="text/calendar" if field in ("charset", "method") else "application/pdf")
    composer = a_composer(hostile.model_copy(update={field: value}))
    try:
        mail = read(composer.compose(ANN))
    except ContentError:
        return
    headers = [name.lower() for part in mail.walk() for name in part]
    assert set(headers) <= {
        *HEADERS,
        "content-id",
        "date",
        "from",
        "mime-version",
        "to",
        "subject",
        "message-id",
    }
    assert b"evil.example" not in composer.compose(ANN).partition(b"\r\n\r\n")[0]


@pytest.mark.parametrize(
    ("given", "name", "expected"),
    [
        (None, "a.pdf", ("application/pdf", "")),
        (None, "a.unheard", ("application/octet-stream", "")),
        (None, "a.eml", ("application/octet-stream", "")),
        ("Text/CSV; charset=UTF-8", "a", ("text/csv", "utf-8")),
        ('text/plain;charset="iso-8859-1"', "a", ("text/plain", "iso-8859-1")),
        ("application/vnd.ms-excel", "a", ("application/vnd.ms-excel", "")),
    ],
)
def test_what_a_file_is(given: str | None, name: str, expected: tuple[str, str]) -> None:
    assert media_type(given, name, "#") == expected


@pytest.mark.parametrize(
    "given", ["multipart/mixed", "message/rfc822", "pdf", "text/html; boundary=x", "a/b/c"]
)
def test_what_no_file_is(given: str) -> None:
    with pytest.raises(InvalidRequest):
        media_type(given, "a", "#")


def test_programs_are_told_apart_by_their_names() -> None:
    assert [looks_executable(name) for name in ("a.exe", "A.EXE ", "a.pdf.scr", "a.pdf", "exe")] == [
        True, True, True, False, True,
    ]  # fmt: skip


def test_a_missing_file_fails_each_message_and_none_goes_out_without_it() -> None:
    content = Content(sender=Mailbox(email="a@example.com"), subject="s", text="t", attachments=(a_file(),))
    for files in ({}, {an_id(PDF): None}):
        with pytest.raises(ContentError) as failure:
            Composer(content, IDENTITY, files=files).compose(ANN)
        assert failure.value.code == MISSING == "content_missing"


def test_all_messages_share_the_same_bytes_which_need_no_dot_stuffing() -> None:
    composer = a_composer(a_file(PNG, "x.png", "image/png"), LOGO, INVITATION)
    first, second = (composer.mail(ANN._replace(seq=seq)) for seq in (1, 2))
    assert first.shared is second.shared
    assert len(first.own) < 2_000
    assert stuff_dots(first.whole()) == stuff_dots(first.own) + first.shared
    assert first.whole() == composer.compose(ANN._replace(seq=1))
    assert first.own[first.body_at - 4 : first.body_at] == b"\r\n\r\n"


@settings(deadline=None, max_examples=60)
@given(st.binary(max_size=3_000))
def test_any_bytes_come_back_and_their_size_is_known_before(data: bytes) -> None:
    assert encoded_size(len(data)) == len(base64_lines(data))
    attachment = a_file(data, "x.bin", "application/octet-stream")
    content = Content(sender=Mailbox(email="a@example.com"), subject="s", text="t", attachments=(attachment,))
    composer = Composer(content, IDENTITY, files={an_id(data): data})
    _, attached = read(composer.compose(ANN)).iter_parts()
    assert attached.get_payload(decode=True) == data
    assert composer.shared_octets <= fixed_size(content.attachments) + 200


def test_a_shared_file_costs_next_to_nothing_for_each_message() -> None:
    plain = a_composer()
    data = PDF * 200
    content = Content(
        sender=Mailbox(email="a@example.com"),
        subject="s",
        text="Hello",
        html="<p>Hello</p>",
        attachments=(a_file(data, "x.pdf"),),
    )
    with_file = Composer(content, IDENTITY, files={an_id(data): data})

    def cost(composer: Composer) -> float:
        return min(timeit.repeat(lambda: composer.mail(ANN), number=50, repeat=7)) / 50

    assert with_file.shared_octets > 1_000_000
    assert cost(with_file) < 2 * cost(plain)
