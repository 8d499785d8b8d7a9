"""What follows from a mail that came back."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from postwerk.archive.ids import new_bulk_id
from postwerk.contracts.inbound import Found, InboundKind, Reported
from postwerk.rules.returned import (
    WAITS_AT_MOST,
    look_again_at,
    meaning_of,
    names_another,
    reported_of,
    verdict_of,
)
from postwerk.rules.tokens import Secret, TokenOf, Tokens

TOKENS = Tokens([Secret(0, b"s" * 32)])
TODAY = date(2026, 11, 22)
BULK = new_bulk_id()
LOCAL = TOKENS.bounce_local_part(BULK, 7, TODAY)
TO = f"{LOCAL}@bounce.example"
BOUNCE = Found(InboundKind.BOUNCE, (Reported("gone@example.com", action="failed", status="5.1.1"),))
COMPLAINT = Found(InboundKind.COMPLAINT, feedback="abuse")


def about(found: Found = BOUNCE, *, sender: str = "", to: str = TO, today: date = TODAY) -> TokenOf | None:
    return meaning_of(found, sender, to, TOKENS, today).about


def test_a_valid_token_names_the_message() -> None:
    assert about() == TokenOf(BULK, 7)
    assert about(to=TO.upper()) == TokenOf(BULK, 7)


def test_one_flipped_bit_anywhere_names_nobody() -> None:
    for position in range(len(LOCAL)):
        for bit in range(7):
            letter = chr(ord(LOCAL[position]) ^ (1 << bit))
            forged = LOCAL[:position] + letter + LOCAL[position + 1 :]
            if forged.lower() != LOCAL:
                assert about(to=f"{forged}@bounce.example") is None


@pytest.mark.parametrize(
    "to", ["", "@", "b-@bounce.example", "news@bounce.example", "b-" + "0" * 60 + "@b.example"]
)
def test_without_a_token_there_is_no_message(to: str) -> None:
    meaning = meaning_of(BOUNCE, "", to, TOKENS, TODAY)
    assert meaning.about is None
    assert "token" in meaning.why


def test_an_old_token_is_not_believed() -> None:
    assert about(today=TODAY + timedelta(days=31)) is None


def test_a_mail_with_a_sender_is_a_bounce_only_if_a_machine_says_so() -> None:
    assert about(sender="somebody@example.com") is None
    written_by_a_machine = Found(BOUNCE.kind, BOUNCE.reported, auto_submitted=True)
    assert about(written_by_a_machine, sender="somebody@example.com") == TokenOf(BULK, 7)


@pytest.mark.parametrize("kind", [InboundKind.AUTO_REPLY, InboundKind.OTHER])
def test_other_mail_changes_nothing(kind: InboundKind) -> None:
    assert about(Found(kind)) is None


@pytest.mark.parametrize(
    "trace",
    [
        f"<{TO}>",
        f"<mailto:stop@shop.example>, <https://shop.example/u/{TOKENS.unsubscribe(BULK, 7)}>",
        f"<mailto:u+{TOKENS.unsubscribe(BULK, 7)}@shop.example>",
        f"<{TOKENS.unsubscribe(BULK, 7)}@shop.example>",
    ],
    ids=["return path", "link", "mailto", "message id"],
)
def test_a_complaint_finds_its_message_by_a_signed_token(trace: str) -> None:
    found = Found(InboundKind.COMPLAINT, feedback="abuse", traces=("noise", trace))
    assert about(found, to="fbl@bounce.example", sender="fbl@provider.example") == TokenOf(BULK, 7)


@pytest.mark.parametrize(
    "trace",
    ["", f"<{BULK}.7@shop.example>", f"<b-{'0' * 60}@bounce.example>"],
    ids=["none", "not signed", "forged"],
)
def test_a_complaint_without_a_signed_token_finds_nobody(trace: str) -> None:
    found = Found(InboundKind.COMPLAINT, feedback="abuse", traces=(trace,))
    assert about(found, to="fbl@bounce.example") is None


@pytest.mark.parametrize("feedback", ["not-spam", "auth-failure", "virus", ""])
def test_feedback_that_is_no_complaint_changes_nothing(feedback: str) -> None:
    assert about(Found(InboundKind.COMPLAINT, feedback=feedback)) is None


@pytest.mark.parametrize(
    ("status", "diagnostic", "reason", "suppress"),
    [
        ("5.1.1", "550 5.1.1 User unknown", "user_unknown", True),
        ("5.0.0", "550 5.1.1 User unknown", "user_unknown", True),
        ("", "550 No such user here", "user_unknown", True),
        ("5.2.1", "550 5.2.1 The email account is disabled", "user_disabled", True),
        ("5.1.2", "", "bad_domain", True),
        ("5.2.2", "552 5.2.2 over quota", "mailbox_full", False),
        ("", "552 Mailbox is full", "mailbox_full", False),
        ("5.7.1", "550 5.7.1 Message rejected by policy", "policy_refused", False),
        (
            "4.4.7",
            "550 5.1.1 User unknown",
            "refused_for_now",
            False,
        ),  # given up: not what the server said last
        ("4.2.2", "452 4.2.2 Mailbox full", "mailbox_full", False),
        ("4.1.1", "450 4.1.1 User unknown", "refused_for_now", False),  # tried for days, never said for good
        ("5.0.0", "", "recipient_refused", False),
        ("", "", "recipient_refused", False),
        ("2.0.0", "", "recipient_refused", False),
    ],
)
def test_why_it_bounced(status: str, diagnostic: str, reason: str, suppress: bool) -> None:
    verdict = verdict_of(Reported("a@b.example", action="failed", status=status, diagnostic=diagnostic))
    assert (verdict.reason, verdict.suppress) == (reason, suppress)


def test_another_recipient_than_the_message_went_to_is_noticed() -> None:
    forwarded = Reported("inner@example.com", original="ada@example.com", action="failed")
    invented = Reported("victim@example.com", action="failed")
    assert not names_another(forwarded, "Ada@example.com")
    assert names_another(invented, "ada@example.com")
    assert not names_another(Reported(), "ada@example.com")
    assert reported_of(Found(InboundKind.BOUNCE, (invented,)), "ada@example.com") == invented


def test_a_bounce_that_came_early_is_looked_at_ever_more_rarely_and_not_for_ever() -> None:
    came = now = datetime(2026, 11, 22, tzinfo=UTC)
    looks = 0
    while (again := look_again_at(came, now)) is not None:
        assert timedelta(seconds=2) <= again - now <= timedelta(hours=1)
        now, looks = again, looks + 1
    assert now - came >= WAITS_AT_MOST
    assert looks < 220
