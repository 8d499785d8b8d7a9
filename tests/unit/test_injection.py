"""From the API's border to the bytes: whatever a text holds, the mail has the headers that were meant."""

from __future__ import annotations

import email
import email.policy
import json
from datetime import UTC, datetime
from html import unescape
from typing import Any

import pytest

from api.taking.json_body import read_json
from api.taking.ndjson_rows import read_entry
from api.taking.request import new_bulk_send, read_request
from postwerk.contracts.content import MailIdentity, Recipient
from postwerk.contracts.options import RetrySchedule
from postwerk.errors import PostwerkError
from postwerk.mime.composer import Composer
from postwerk.rules.recipients import Refusal
from tests.support.api import a_bulk_send
from tests.support.hostile import INJECTIONS, NAUGHTY

NOW = datetime(2026, 11, 22, tzinfo=UTC)
FIELDS = {
    "subject": lambda value: {"subject": value},
    "from name": lambda value: {"from": {"email": "news@shop.example", "name": value}},
    "from as text": lambda value: {"from": f"{value} <news@shop.example>"},
    "reply-to name": lambda value: {"reply_to": [{"email": "help@shop.example", "name": value}]},
    "to name": lambda value: {"recipients": [{"to": "ada@example.com", "name": value}]},
    "to as text": lambda value: {"recipients": [{"to": f"{value} <ada@example.com>"}]},
    "custom value": lambda value: {"headers": {"X-Custom": value, "X-Last": "1"}},
    "custom name": lambda value: {"headers": {value: "1", "X-Last": "1"}},
    "variable in subject": lambda value: _with_variable(value, subject="Hi {{ v }}"),
    "variable in a header": lambda value: _with_variable(
        value, headers={"X-Custom": "{{ v }}", "X-Last": "1"}
    ),
    "variable in text": lambda value: _with_variable(value, text="Dear {{ v }},"),
    "variable in html": lambda value: _with_variable(value, html="<p title='{{ v }}'>{{ v }}</p>"),
    "variable of all": lambda value: {"subject": "Hi {{ v }}", "variables": {"v": value}},
}


def _with_variable(value: str, **fields: Any) -> dict[str, Any]:
    return {**fields, "recipients": [{"to": "ada@example.com", "variables": {"v": value, "first_name": "A"}}]}


def composed(fields: dict[str, Any]) -> bytes:
    """The mail that a request makes; PostwerkError where it is refused."""
    body = json.dumps(a_bulk_send() | fields).encode()
    document, [entry] = read_json(body)
    new = new_bulk_send(read_request(document), RetrySchedule(), ["default"], NOW, bulk_id="bulk_1")
    found = read_entry(0, entry)
    if isinstance(found, Refusal):
        raise PostwerkError(found.detail)
    variables = json.loads(found.variables) if found.variables else {}
    recipient = Recipient(1, found.address, found.name, variables)
    return Composer(new.content, MailIdentity("bulk_1", NOW)).compose(recipient)


def header_names(mail: bytes) -> list[str]:
    """By the rules of RFC 5322 2.2 alone; whatever is no header line fails."""
    head = mail.partition(b"\r\n\r\n")[0]
    lines = head.split(b"\r\n")
    assert all(len(line) <= 998 and b"\r" not in line and b"\n" not in line for line in lines)
    fields = [line for line in lines if line[:1] not in (b" ", b"\t")]
    assert all(b":" in line for line in fields)
    return [line.partition(b":")[0].decode("ascii") for line in fields]


def addresses(mail: bytes) -> list[list[str]]:
    parsed = email.message_from_bytes(mail, policy=email.policy.default)
    return [[one.addr_spec for one in parsed[name].addresses] for name in ("From", "To")]


@pytest.mark.parametrize("value", INJECTIONS, ids=lambda value: repr(value)[:50])
@pytest.mark.parametrize("field", FIELDS)
def test_a_text_makes_no_header_and_no_address(field: str, value: str) -> None:
    try:
        mail = composed(FIELDS[field](value))
    except PostwerkError:
        return
    meant = header_names(composed(FIELDS[field]("X-Plain")))
    if field == "custom name":
        meant = [value if name == "X-Plain" else name for name in meant]
    if not value.strip():  # an empty header is left out
        meant = [name for name in meant if name != "X-Custom"]
    assert header_names(mail) == meant
    assert [name.lower() for name in email.message_from_bytes(mail)] == [name.lower() for name in meant]
    if "as text" not in field:
        assert addresses(mail) == [["news@shop.example"], ["ada@example.com"]]
    assert b"\r\nBcc:" not in mail.partition(b"\r\n\r\n")[0]


def test_most_of_these_cases_are_mails() -> None:
    """A border that refused everything would pass the test above."""
    made = 0
    for fields in FIELDS.values():
        for value in INJECTIONS:
            try:
                made += bool(composed(fields(value)))
            except PostwerkError:
                continue
    assert 150 < made < len(FIELDS) * len(INJECTIONS)


SOURCE = {
    "subject": "Hi {{ v }}!",
    "text": "Dear {{ v }}!\n",
    "html": "<p title='{{ v }}'>{{ v }}</p>",
    "headers": {"X-Custom": "a {{ v }} b"},
}


@pytest.mark.parametrize("value", NAUGHTY, ids=lambda value: repr(value)[:50])
def test_a_naughty_variable_is_read_back_as_it_was_given(value: str) -> None:
    for field, source in SOURCE.items():
        try:
            mail = composed(_with_variable(value, **{field: source}))
        except PostwerkError:
            assert field in ("subject", "headers")  # what does not fit on one line of a header
            assert len(value) > 900 or not value.isprintable()
            continue
        assert header_names(mail) == header_names(composed(_with_variable("plain", **{field: source})))
        _read_back(mail, field, value)


def _read_back(mail: bytes, field: str, value: str) -> None:
    parsed = email.message_from_bytes(mail, policy=email.policy.default)
    lines = value.replace("\r\n", "\n").replace("\r", "\n")
    if field == "text":
        assert _part(parsed, "plain") == f"Dear {lines}!\n"
    elif field == "html":
        assert unescape(_part(parsed, "html")).strip() == f"<p title='{lines}'>{lines}</p>"
    else:
        name, meant = ("Subject", f"Hi {value}!") if field == "subject" else ("X-Custom", f"a {value} b")
        assert _decoded(mail, name) == meant


def _part(parsed: Any, kind: str) -> str:
    part = parsed.get_body(preferencelist=(kind,))
    text = part.get_payload(decode=True).decode()
    assert "\r" not in text.replace("\r\n", "")
    return text.replace("\r\n", "\n")


def _decoded(mail: bytes, name: str) -> str:
    """Unfolded, then the encoded words decoded, as RFC 2047 says it."""
    from email.header import decode_header, make_header

    raw = email.message_from_bytes(mail, policy=email.policy.compat32)[name]
    value = str(raw).replace("\r\n", "").replace("\n", "")
    return str(make_header(decode_header(value))) if "=?" in value else value
