"""A mail taken apart for people to look at."""

from __future__ import annotations

import base64
from email.message import EmailMessage

from api.page import mail_reading
from api.page.mail_reading import shown_mail

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def a_mail(html: str, picture: bytes = PNG, kind: str = "png") -> bytes:
    mail = EmailMessage()
    mail["Subject"] = "Grüße"
    mail.set_content("plain\n")
    mail.add_alternative(html, subtype="html")
    related = mail.get_body(("html",))
    assert related is not None
    related.add_related(picture, "image", kind, cid="<logo@shop>", filename="logo.png")
    mail.add_attachment(b"%PDF", maintype="application", subtype="pdf", filename="a<b>.pdf")
    return mail.as_bytes(policy=mail.policy.clone(linesep="\r\n"))


def test_its_parts_are_told_apart() -> None:
    seen = shown_mail(a_mail("<p>Hello</p>"))
    assert (seen.subject, seen.text, seen.html) == ("Grüße", "plain\r\n", "<p>Hello</p>\r\n")
    assert [(file.name, file.octets) for file in seen.files] == [("logo.png", len(PNG)), ("a<b>.pdf", 4)]
    assert seen.headers.startswith("Subject: =?utf-8?")
    assert "Hello" not in seen.headers


def test_small_pictures_that_come_along_stand_in_the_html() -> None:
    seen = shown_mail(a_mail('<img src="cid:logo@shop"><img src="cid:logo%40shop"><img src="cid:none">'))
    assert seen.html is not None
    assert seen.html.count('src="data:image/png;base64,iVBOR') == 2
    assert 'src="cid:none"' in seen.html


def test_what_is_no_picture_or_too_large_stays_out() -> None:
    assert "data:" not in (shown_mail(a_mail('<img src="cid:logo@shop">', kind="x-html")).html or "")
    large = b"x" * (mail_reading.MOST_PICTURE + 1)
    assert "data:" not in (shown_mail(a_mail('<img src="cid:logo@shop">', picture=large)).html or "")


def test_a_mail_of_text_alone_has_no_html() -> None:
    seen = shown_mail(b"Subject: x\r\n\r\nhello\r\n")
    assert (seen.html, seen.text, seen.files) == (None, "hello\r\n", ())
