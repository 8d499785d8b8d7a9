"""What a bulk send leaves out of the rules of large mailbox providers."""

from __future__ import annotations

import pytest

from postwerk.contracts.content import Content, ListUnsubscribe, Mailbox, Signing
from postwerk.rules.bulk_rules import bulk_rule_warnings

WITHOUT_NUMBERS = {"free_mailer_sender", "unsubscribe_not_https", "unknown_selector"}
HTTPS = "https://mail.shop.example"


def codes(*, signed=True, public_url=HTTPS, recipients=10, sender="a@shop.example", **fields) -> list[str]:
    content = Content(sender=Mailbox(email=sender), subject="s", text="t", **fields)
    found = list(bulk_rule_warnings(content, recipients, signed=signed, public_url=public_url))
    assert all(("5,000" in one.detail) or one.code in WITHOUT_NUMBERS for one in found)
    return [one.code for one in found]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"list_unsubscribe": ListUnsubscribe()}, []),
        ({}, ["no_list_unsubscribe"]),
        ({"list_unsubscribe": ListUnsubscribe(one_click=False)}, ["no_one_click"]),
        ({"list_unsubscribe": ListUnsubscribe(mailto="a@x", one_click=False)}, ["no_one_click"]),
        ({"list_unsubscribe": ListUnsubscribe(url="https://x", one_click=True)}, []),
        ({"list_unsubscribe": ListUnsubscribe(url="https://x", one_click=True), "public_url": ""}, []),
        ({"list_unsubscribe": ListUnsubscribe(), "public_url": "http://x"}, ["unsubscribe_not_https"]),
        ({"headers": {"List-Unsubscribe": "<https://x>"}}, ["no_one_click"]),
        ({"headers": {"List-Unsubscribe": "<https://x>", "LIST-UNSUBSCRIBE-POST": "x"}}, []),
        ({"list_unsubscribe": ListUnsubscribe(), "signed": False}, ["not_signed"]),
        (
            {"list_unsubscribe": ListUnsubscribe(), "signed": False, "dkim": Signing(wanted=False)},
            ["not_signed"],
        ),
        (
            {"list_unsubscribe": ListUnsubscribe(), "signed": False, "dkim": Signing(selector="s1")},
            ["unknown_selector"],
        ),
        ({"list_unsubscribe": ListUnsubscribe(), "sender": "me@gmail.com"}, ["free_mailer_sender"]),
        ({"list_unsubscribe": ListUnsubscribe(), "sender": "me@yahoo.co.jp"}, ["free_mailer_sender"]),
    ],
)
def test_what_is_missing_is_told(fields, expected):
    assert codes(**fields) == expected


def test_many_recipients_are_named():
    content = Content(sender=Mailbox(email="a@shop.example"), subject="s", text="t")
    (found,) = bulk_rule_warnings(content, 12_345, signed=True, public_url="")
    assert "12,345" in found.detail
