"""What is sent: a personalised mail, text and HTML, of 4 KB on the wire, and lists of recipients for it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from postwerk.contracts.content import Content, Mailbox, MailIdentity, Recipient
from postwerk.mime.composer import Composer

DOMAINS = ("gmail.com", "yahoo.com", "gmx.de", "example.com", "outlook.com")
SENDER = "news@shop.example"
WIRE_BYTES = 4096
_ROWS_PER_PIECE = 1000
_OFFERS = [
    "The garden chair you looked at is back in our store in {{ city }}, in green and in dark blue.",
    "Members of the club pay no postage until the end of May, {{ first_name }}; your code is {{ code }}.",
    "On Saturday we open at eight: coffee, cake and Müsli for everyone who comes before half past nine.",
    "Last year you bought seeds from us; the new catalogue has 120 pages and waits for you at the counter.",
    "Bring this mail along and show it to us: there is a small present for each of our customers.",
]
_TEXT = "Dear {{ first_name }},\n\n" + "\n\n".join(_OFFERS) + "\n\nhttps://shop.example/u/{{ code }}\n"
_HTML = (
    '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{{ city }}</title></head><body>'
    "<h1>Dear {{ first_name }},</h1>\n"
    + "\n".join(
        f'<p style="margin: 0 0 16px; font: 16px/24px sans-serif; color: rgb(51,51,51)">{line}</p>'
        for line in _OFFERS
    )
    + '\n<p><a href="https://shop.example/u/{{ code }}">Your page</a></p>\n'
    "<!-- FILL --></body></html>\n"
)


def request(**more: Any) -> dict[str, Any]:
    """The body of a `POST /v1/bulk-sends`."""
    return {
        "name": "bench",
        "from": {"email": SENDER, "name": "The Shop"},
        "reply_to": "help@shop.example",
        "subject": "{{ first_name }}, news from {{ city }}",
        "text": _TEXT,
        "html": _html_that_fills(),
        **more,
    }


def message(one: dict[str, Any]) -> dict[str, Any]:
    """The body of a `POST /v1/messages` for that recipient."""
    to = {"email": one["to"], "name": one["name"]}
    return {**request(), "to": to, "variables": one["variables"]}


def recipient(n: int) -> dict[str, Any]:
    return {
        "to": f"user{n}@{DOMAINS[n % len(DOMAINS)]}",
        "name": f"User {n}",
        "variables": {"first_name": f"User{n}", "city": "Zürich", "code": f"c{n:08}"},
    }


def csv_rows(count: int) -> Iterator[bytes]:
    """A list for `/recipients`."""
    yield b"email,name,first_name,city,code\n"
    for start in range(0, count, _ROWS_PER_PIECE):
        numbers = range(start, min(start + _ROWS_PER_PIECE, count))
        yield "".join(
            f"user{n}@{DOMAINS[n % len(DOMAINS)]},User {n},User{n},Zürich,c{n:08}\n" for n in numbers
        ).encode()


def wire_bytes(html: str) -> int:
    """How large a mail with this HTML is on the wire."""
    one = recipient(12345)
    content = Content(
        sender=Mailbox(email=SENDER, name="The Shop"),
        reply_to=(Mailbox(email="help@shop.example"),),
        subject="{{ first_name }}, news from {{ city }}",
        text=_TEXT,
        html=html,
    )
    composer = Composer(content, MailIdentity("bulk_0198c0de000070008000000000000000", datetime.now(UTC)))
    return len(composer.compose(Recipient(12345, one["to"], one["name"], one["variables"])))


def _html_that_fills() -> str:
    """A comment makes up for what is missing to 4 KB."""
    missing = WIRE_BYTES - wire_bytes(_HTML)
    return _HTML.replace("FILL", "FILL" + " fill" * (missing // 5))
