"""Mails with everything in them, for the sandbox's inbox."""

from __future__ import annotations

from email.message import EmailMessage
from email.policy import SMTP

PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(range(64))


def rich_mail(subject: str = "Grüße aus Köln") -> bytes:
    """Text, HTML with a picture by `cid:`, two attachments; line ends as on the wire."""
    mail = EmailMessage()
    mail["From"] = "Jürgen Müller <j@example.de>"
    mail["To"] = "Ann <ann@example.com>"
    mail["Subject"] = subject
    mail["Message-ID"] = "<rich@example.de>"
    mail.set_content("Hallo, lies https://example.de/a?b=1&c=<2>.\n")
    html = '<h1>Frühling</h1><img src="cid:logo@x"><script>alert(1)</script>'
    links = '<a href="https://example.de/bestätigen?a=1&b=2">Ja</a><a href="javascript:alert(1)">Nein</a>'
    mail.add_alternative(html + links, subtype="html")
    markup = mail.get_payload()[1]
    assert isinstance(markup, EmailMessage)
    markup.add_related(PICTURE, "image", "png", cid="<logo@x>", filename="logo.png")
    mail.add_attachment(b"%PDF-1.4", maintype="application", subtype="pdf", filename="Rechnung März.pdf")
    mail.add_attachment(b"a,b\n", maintype="text", subtype="csv", filename='../../"etc"/\u202epass;wd.csv')
    return mail.as_bytes(policy=SMTP)
