"""Notices as mails: attachments, status reports and digests, parsed back; hostile words stay words."""

from __future__ import annotations

import csv
import email
import email.policy
import io
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postwerk.contracts.content import Attachment, Content, Mailbox, MailIdentity, Recipient, StatusReport
from postwerk.contracts.notices import Reason, ToldMessage, ToldSend
from postwerk.contracts.options import BulkOptions, Notify
from postwerk.contracts.states import BulkState, MessageState
from postwerk.errors import ContentError
from postwerk.mime.composer import Composer
from postwerk.mime.digest import FailureList, delay_digest, end_digest
from postwerk.mime.dsn import status_notification

NOW = datetime(2027, 1, 2, 3, 4, 5, tzinfo=UTC)
IDENTITY = MailIdentity("bulk_0199", NOW)
READER = Recipient(1, "me@shop.example", "Me", {})
ORIGINAL = "From: news@shop.example\r\nSubject: Hello\r\nMessage-ID: <bulk_1.7@shop.example>\r\n"

HOSTILE = [
    "5.1.1 no such user",
    "5.1.1 first line\n5.1.1 second line\n5.1.1 third",
    "5.1.1 x\r\n\r\nFinal-Recipient: rfc822; victim@example.org\r\nAction: delivered\r\nStatus: 2.0.0",
    "x\nBcc: victim@example.org",
    "x\r\n--=_abc\r\nContent-Type: text/html\r\n\r\n<script>",
    "=?utf-8?q?a=0D=0AAction:_delivered?=",
    "=?utf-8?b?YQ0KQmNjOiB2QHkub3Jn?= =?utf-8?q?b?=",
    "Größe überschritten, 邮箱已满 😀",
    "w" * 1000,
    "ü" * 500,
    "a " * 500,
    "{{ 7 * 7 }} {% include 'x' %} {# no #}",
    ".\r\n.\r\nQUIT",
    "From here on",
    "\x00\x07\x1b[31m\x7f\x85\u2028\u2029",
    "",
    " ",
    ';;; <a@b> (comment "quoted',
]


def a_send(**changes: object) -> ToldSend:
    fields: dict[str, object] = {
        "id": "bulk_1",
        "name": "spring",
        "state": BulkState.COMPLETED,
        "content": Content(sender=Mailbox(email="news@shop.example", name="Shop"), subject="s", text="t"),
        "options": BulkOptions(),
        "notify": Notify(to=(Mailbox(email="me@shop.example"),)),
        "accepted_at": NOW,
        "finished_at": NOW + timedelta(hours=1),
        "deadline": NOW + timedelta(days=5),
        "accepted": 1010,
        "counts": {MessageState.DELIVERED: 1000, MessageState.BOUNCED: 7, MessageState.EXPIRED: 3},
    }
    return ToldSend(**(fields | changes))  # type: ignore[arg-type]


def a_message(**changes: object) -> ToldMessage:
    fields: dict[str, object] = {
        "seq": 7,
        "address": "ann@example.org",
        "name": "Ann",
        "variables": {},
        "state": MessageState.BOUNCED,
        "attempts": 2,
        "changed_at": NOW,
        "reason": "user_unknown",
        "code": 550,
        "enhanced": "5.1.1",
        "said": "5.1.1 no such user",
        "host": "mx.example.org",
        "last_attempt_at": NOW + timedelta(minutes=3),
    }
    return ToldMessage(**(fields | changes))  # type: ignore[arg-type]


def a_dsn(original: str = ORIGINAL, **changes: object) -> Content:
    return status_notification(
        a_send(),
        a_message(**changes),
        original=original,
        message_id="<bulk_1.7@shop.example>",
        reporting_mta="mail.shop.example",
    )


def mail_of(content: Content) -> EmailMessage:
    """Composed from what the archive would hold, checked as bytes, and parsed back."""
    raw = Composer(Content.model_validate_json(content.model_dump_json()), IDENTITY).compose(READER)
    assert raw.isascii()
    lines = raw.split(b"\r\n")
    assert not any(b"\r" in line or b"\n" in line for line in lines)
    assert max(map(len, lines)) <= 998
    assert not any(line == b"." for line in lines)
    mail = email.message_from_bytes(raw, policy=email.policy.default)
    assert isinstance(mail, EmailMessage)
    assert not any(part.defects for part in mail.walk())
    return mail


def parts_of(mail: EmailMessage) -> list[str]:
    return [part.get_content_type() for part in mail.iter_parts()]


def text_of(mail: EmailMessage) -> str:
    """The text for people."""
    body = next(mail.iter_parts()) if mail.is_multipart() else mail
    return str(body.get_content()).replace("\r\n", "\n")


def status_groups(mail: EmailMessage) -> list[dict[str, str]]:
    """The groups of fields of the delivery status."""
    (status,) = [one for one in mail.iter_parts() if one.get_content_type() == "message/delivery-status"]
    groups = status.get_payload()
    return [{name: str(value) for name, value in group.items()} for group in groups if group.items()]


# Delivery status notifications


def test_a_bounce_is_reported_in_three_parts() -> None:
    mail = mail_of(a_dsn())
    assert mail.get_content_type() == "multipart/report"
    assert mail.get_param("report-type") == "delivery-status"
    assert parts_of(mail) == ["text/plain", "message/delivery-status", "text/rfc822-headers"]
    assert (mail["From"], mail["To"]) == ("Postwerk <news@shop.example>", "Me <me@shop.example>")
    assert mail["Subject"] == "Undelivered: ann@example.org"
    assert mail["Auto-Submitted"] == "auto-replied"
    assert mail["References"] == "<bulk_1.7@shop.example>"
    _, _, original = mail.iter_parts()
    assert "mx.example.org said:\n\n    550 5.1.1 no such user\n" in text_of(mail)
    assert original.get_payload(decode=True) == ORIGINAL.encode()
    assert status_groups(mail) == [
        {"Reporting-MTA": "dns; mail.shop.example", "Arrival-Date": "Sat, 02 Jan 2027 03:04:05 +0000"},
        {
            "Final-Recipient": "rfc822; ann@example.org",
            "Action": "failed",
            "Status": "5.1.1",
            "Remote-MTA": "dns; mx.example.org",
            "Diagnostic-Code": "smtp; 550 5.1.1 no such user",
            "Last-Attempt-Date": "Sat, 02 Jan 2027 03:07:05 +0000",
        },
    ]


def test_a_delay_says_until_when_it_is_tried() -> None:
    mail = mail_of(a_dsn(state=MessageState.DEFERRED, code=451, enhanced="4.7.1", said="4.7.1 later"))
    _, recipient = status_groups(mail)
    assert mail["Subject"] == "Delayed: ann@example.org"
    assert (recipient["Action"], recipient["Status"]) == ("delayed", "4.7.1")
    assert recipient["Will-Retry-Until"] == "Thu, 07 Jan 2027 03:04:05 +0000"


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"enhanced": ""}, "5.0.0"),
        ({"enhanced": "4.2.2"}, "5.0.0"),  # bounced all the same: the class must say so
        ({"enhanced": "5.1.1\r\nAction: delivered"}, "5.0.0"),
        ({"state": MessageState.EXPIRED, "code": 451, "enhanced": "4.2.2"}, "4.4.7"),
        ({"state": MessageState.FAILED, "code": None, "enhanced": ""}, "5.0.0"),
        ({"state": MessageState.QUEUED, "code": None, "enhanced": ""}, "4.0.0"),
        ({"state": MessageState.SENDING, "enhanced": "5.1.1"}, "4.0.0"),
    ],
)
def test_the_status_says_the_same_as_the_action(changes: dict[str, object], status: str) -> None:
    assert status_groups(mail_of(a_dsn(**changes)))[1]["Status"] == status


def test_without_a_reply_no_server_is_quoted() -> None:
    _, recipient = status_groups(mail_of(a_dsn(code=None, enhanced="", said="connection refused")))
    assert recipient["Diagnostic-Code"] == "x-postwerk; connection refused"
    assert "Remote-MTA" not in recipient


@pytest.mark.parametrize(
    ("host", "written"),
    [("127.0.0.1", "dns; [127.0.0.1]"), ("2001:db8::1", "dns; [2001:db8::1]"), ("x\r\nAction: y", None)],
)
def test_a_host_is_a_name_or_an_address_or_not_there(host: str, written: str | None) -> None:
    assert status_groups(mail_of(a_dsn(host=host)))[1].get("Remote-MTA") == written


def test_an_internationalized_recipient_is_written_in_seven_bits() -> None:
    original = "To: 用户@example.org\r\nSubject: x\r\n"
    mail = mail_of(a_dsn(original, address="用户@example.org"))
    assert status_groups(mail)[1]["Final-Recipient"] == r"utf-8; \x{7528}\x{6237}@example.org"
    *_, headers = mail.iter_parts()
    assert headers.get_payload(decode=True).decode() == original


def assert_only_what_was_meant(mail: EmailMessage) -> None:
    assert parts_of(mail) == ["text/plain", "message/delivery-status", "text/rfc822-headers"]
    assert set(mail.keys()) == {
        *("Date", "From", "To", "Subject", "Message-ID", "MIME-Version"),
        *("Auto-Submitted", "References", "Content-Type"),
    }
    message, recipient = status_groups(mail)
    assert set(message) == {"Reporting-MTA", "Arrival-Date"}
    assert set(recipient) <= {
        *("Final-Recipient", "Action", "Status", "Remote-MTA", "Diagnostic-Code", "Last-Attempt-Date"),
    }
    assert (recipient["Action"], recipient["Final-Recipient"]) == ("failed", "rfc822; ann@example.org")
    assert recipient["Status"] in ("5.1.1", "5.0.0")


@pytest.mark.parametrize("said", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("code", [550, None])
def test_no_words_of_a_server_add_a_field_or_a_part(said: str, code: int | None) -> None:
    try:
        mail = mail_of(a_dsn(said=said, code=code))
    except ContentError:
        assert "\0" in said  # the archive holds none
        return
    assert_only_what_was_meant(mail)
    assert "?=" not in status_groups(mail)[1].get("Diagnostic-Code", "")


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(st.sampled_from(HOSTILE), st.text(max_size=40)), max_size=5).map("".join))
def test_no_random_words_do_either(said: str) -> None:
    try:
        said.encode()
        mail = mail_of(a_dsn(said=said))
    except (ContentError, UnicodeEncodeError):
        return
    assert_only_what_was_meant(mail)


def test_old_and_new_contents_are_read_from_the_archive() -> None:
    old = Content.model_validate({"sender": {"email": "a@example.org"}, "subject": "s", "text": "t"})
    assert (old.attachments, old.report, old.return_path) == ((), None, None)
    dsn = a_dsn()
    assert Content.model_validate_json(dsn.model_dump_json()) == dsn
    assert isinstance(dsn.report, StatusReport)
    first, again = (Composer(dsn, IDENTITY).compose(READER) for _ in range(2))
    assert first == again


def test_the_headers_of_a_message_are_those_it_was_sent_with() -> None:
    content = Content(
        sender=Mailbox(email="news@shop.example", name="Shöp"),
        subject="Grüße, {{ who }}",
        text="t",
        headers={"X-Secret": "x"},
    )
    composer = Composer(content, IDENTITY)
    recipient = Recipient(7, "ann@example.org", "Ann", {"who": "Ann"})
    lines = composer.identifying_headers(recipient).splitlines()
    assert [line.partition(":")[0] for line in lines] == ["Date", "From", "To", "Subject", "Message-ID"]
    sent = composer.compose(recipient).decode().split("\r\n")
    assert set(lines) <= set(sent)


def test_a_message_that_could_not_be_made_is_known_by_the_rest() -> None:
    content = Content(sender=Mailbox(email="a@example.org"), subject="{{ missing }}", text="t")
    headers = Composer(content, IDENTITY).identifying_headers(Recipient(7, "ann@example.org", "Ann", {}))
    assert "Subject" not in headers
    assert "Message-ID: <bulk_0199.7@example.org>" in headers


# Attachments


@pytest.mark.parametrize(
    "name",
    [
        "failed.csv",
        "a b.csv",
        "größe.csv",
        "邮" * 40 + ".csv",
        'a"; x="b.csv',
        "a\\b.csv",
        "100%.csv",
        "'x'*.csv",
        "../../etc/passwd",
        "x" * 300 + ".csv",
        "=?utf-8?q?x?=.csv",
    ],
)
def test_a_file_is_read_back_under_its_name(name: str) -> None:
    text = "a,b\r\nü,--=_x\r\n.\r\n"
    content = Content(
        sender=Mailbox(email="a@example.org"),
        subject="s",
        text="see there",
        attachments=(Attachment(name=name, media_type="text/csv", text=text),),
    )
    mail = mail_of(content)
    assert mail.get_content_type() == "multipart/mixed"
    _, attached = mail.iter_parts()
    assert text_of(mail) == "see there\n"
    assert attached.get_filename() == name
    assert attached.get_content_type() == "text/csv"
    assert attached.get_content_disposition() == "attachment"
    assert attached.get_payload(decode=True).decode() == text


def test_alternatives_stand_inside_what_has_attachments() -> None:
    content = Content(
        sender=Mailbox(email="a@example.org"),
        subject="s",
        text="t",
        html="<p>t</p>",
        attachments=(Attachment(name="a.txt", media_type="text/plain", text="x"),) * 2,
    )
    assert parts_of(mail_of(content)) == ["multipart/alternative", "text/plain", "text/plain"]


@pytest.mark.parametrize(
    ("name", "media_type"),
    [("a\r\nBcc: x", "text/csv"), ("a\0", "text/csv"), ("a.csv", "text/csv\r\nBcc: x"), ("a.csv", "csv")],
)
def test_an_attachment_that_could_break_its_headers_is_refused(name: str, media_type: str) -> None:
    attachment = Attachment(name=name, media_type=media_type, text="x")
    with pytest.raises(ContentError):
        mail_of(
            Content(sender=Mailbox(email="a@example.org"), subject="s", text="t", attachments=(attachment,))
        )


# Digests


def read_list(mail: EmailMessage) -> list[dict[str, str]]:
    _, attached = mail.iter_parts()
    return list(csv.DictReader(io.StringIO(attached.get_payload(decode=True).decode(), newline="")))


def a_list(*messages: ToldMessage) -> FailureList:
    failures = FailureList()
    failures.add(messages)
    return failures


WHY = [Reason(MessageState.BOUNCED, "user_unknown", 7), Reason(MessageState.EXPIRED, "reply 451", 3)]


def test_a_digest_counts_explains_and_lists() -> None:
    mail = mail_of(end_digest(a_send(), WHY, a_list(a_message()), "https://post.shop.example/"))
    assert mail["Subject"] == "spring: completed, 10 of 1,010 failed"
    assert mail["Auto-Submitted"] == "auto-generated"
    text = text_of(mail)
    for line in ("1,000 delivered", "7 bounced", "3 expired", "1,010 in all"):
        assert f"{line}\n" in text
    assert "7 bounced: user_unknown\n" in text
    assert read_list(mail) == [
        {
            "address": "ann@example.org",
            "state": "bounced",
            "reason": "user_unknown",
            "code": "550",
            "enhanced": "5.1.1",
            "reply": "5.1.1 no such user",
            "attempts": "2",
            "changed_at": "2027-01-02T03:04:05Z",
        }
    ]


def test_a_digest_of_success_has_no_list() -> None:
    send = a_send(counts={MessageState.DELIVERED: 1010})
    mail = mail_of(end_digest(send, [], a_list(), ""))
    assert mail.get_content_type() == "text/plain"
    assert mail["Subject"] == "spring: completed, 0 of 1,010 failed"


def test_a_list_that_grows_too_large_says_what_it_leaves_out_and_where_that_is() -> None:
    failures = FailureList(most_bytes=400)
    failures.add([a_message()] * 10)
    assert failures.full
    assert len(failures.text.encode()) <= 400
    mail = mail_of(end_digest(a_send(), WHY, failures, "https://post.shop.example/"))
    text = text_of(mail)
    assert f"the first {failures.rows} of them; {10 - failures.rows} are left out" in text
    assert "GET https://post.shop.example/v1/bulk-sends/bulk_1/messages?state=bounced\n" in text
    assert len(read_list(mail)) == failures.rows


@pytest.mark.parametrize("said", HOSTILE, ids=range(len(HOSTILE)))
def test_no_words_of_a_server_break_the_list(said: str) -> None:
    mail = mail_of(end_digest(a_send(), WHY, a_list(a_message(said=said), a_message()), ""))
    rows = read_list(mail)
    assert len(rows) == 2
    assert rows[1]["address"] == "ann@example.org"
    assert said not in text_of(mail) or not said.strip()


@pytest.mark.parametrize("cell", ["=cmd|'/C calc'!A0", "+1", "-1", "@x", "\t=1"])
def test_no_cell_is_a_formula(cell: str) -> None:
    (row,) = read_list(mail_of(end_digest(a_send(), WHY, a_list(a_message(said=cell, address=cell)), "")))
    assert row["address"].startswith("'")
    assert row["reply"].startswith("'")


def test_a_delay_is_told_with_its_reasons() -> None:
    send = a_send(
        state=BulkState.RUNNING,
        finished_at=None,
        counts={MessageState.DELIVERED: 1000, MessageState.DEFERRED: 8, MessageState.QUEUED: 2},
    )
    mail = mail_of(delay_digest(send, [Reason(MessageState.DEFERRED, "reply 451", 8)], NOW, ""))
    assert mail["Subject"] == "spring: 10 of 1,010 not yet delivered"
    assert "8 deferred: reply 451\n" in text_of(mail)
    assert "Tried until: 2027-01-07 03:04 UTC\n" in text_of(mail)


def test_a_name_full_of_tags_is_shown_and_not_run() -> None:
    send = a_send(name="{{ 7 * 7 }}{% if %}")
    assert mail_of(end_digest(send, [], a_list(), ""))["Subject"].startswith("{{ 7 * 7 }}{% if %}: completed")
