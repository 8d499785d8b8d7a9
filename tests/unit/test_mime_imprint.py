"""What an installation adds to a mail: the way out of a list, and signatures over all of it."""

from __future__ import annotations

import email
import email.policy
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postwerk.contracts.content import (
    Attachment,
    Content,
    ListUnsubscribe,
    Mailbox,
    MailIdentity,
    Recipient,
    Signing,
)
from postwerk.errors import ContentError
from postwerk.mime.composer import Composer
from postwerk.mime.dkim_keys import DkimKeys, new_key
from postwerk.mime.imprint import Imprint
from postwerk.mime.unsubscribing import UnsubscribeLinks
from postwerk.rules.tokens import Secret, TokenOf, Tokens
from tests.support.dkim import verified

IDENTITY = MailIdentity("bulk_0198c0de000070008000000000", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
TOKENS = Tokens([Secret(0, bytes(32))])
LINKS = UnsubscribeLinks("https://mail.example.com", TOKENS)
ANN = Recipient(7, "ann@example.org", "Ann", {"code": "c1"})
KEYS = [new_key("example.com", "r1", "rsa"), new_key("example.com", "e1", "ed25519")]
OUR_LINK = f"https://mail.example.com/u/{TOKENS.unsubscribe(IDENTITY.bulk_id, 7)}"


def a_content(**fields) -> Content:
    return Content(
        **{"sender": Mailbox(email="shop@news.example.com"), "subject": "s", "text": "t", **fields}
    )


def read(content: Content, imprint: Imprint):
    raw = Composer(content, IDENTITY, imprint).compose(ANN)
    return email.message_from_bytes(raw, policy=email.policy.default)


@pytest.fixture(scope="module")
def keys(tmp_path_factory) -> DkimKeys:
    folder = tmp_path_factory.mktemp("keys")
    for key, pem in KEYS:
        path = folder / key.domain / f"{key.selector}.pem"
        path.parent.mkdir(exist_ok=True)
        path.touch(0o600)
        path.write_bytes(pem)
    return DkimKeys(folder)


# Unsubscribing


def test_our_own_link_is_named_in_the_headers_and_in_the_body():
    content = a_content(list_unsubscribe=ListUnsubscribe(), html='<a href="{{ unsubscribe_url }}">x</a>')
    mail = read(content, Imprint(links=LINKS))
    assert mail["List-Unsubscribe"] == f"<{OUR_LINK}>"
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    body = mail.get_body(("html",))
    assert body is not None
    assert body.get_content() == f'<a href="{OUR_LINK}">x</a>\r\n'
    assert TOKENS.read_unsubscribe(OUR_LINK.rpartition("/")[2]) == TokenOf(IDENTITY.bulk_id, 7)


@pytest.mark.parametrize(
    ("wanted", "header", "post"),
    [
        ({"url": "https://shop.example/?c={{ code }}", "one_click": True}, "<https://shop.example/?c=c1>", 1),
        ({"url": "https://shop.example/u", "one_click": False}, "<https://shop.example/u>", False),
        ({"mailto": "o+{{ code }}@shop.example", "one_click": False}, "<mailto:o+c1@shop.example>", False),
        ({"mailto": "mailto:out@shop.example?subject=x", "one_click": True},
         f"<{OUR_LINK}>, <mailto:out@shop.example?subject=x>", True),
        ({"one_click": False}, f"<{OUR_LINK}>", False),
    ],
)  # fmt: skip
def test_each_way_out_is_written_as_it_is_meant(wanted, header, post):
    content = a_content(list_unsubscribe=ListUnsubscribe(**wanted))
    raw = Composer(content, IDENTITY, Imprint(links=LINKS)).compose(ANN)
    mail = email.message_from_bytes(raw)
    assert mail["List-Unsubscribe"].replace("\r\n", "") == header
    assert ("List-Unsubscribe-Post" in mail) is bool(post)
    assert b"=?" not in raw


@pytest.mark.parametrize(
    "url", ["javascript:x", "https://a b", "https://x>\r\nBcc: y", "https://ü.example", "https://x/<y>"]
)
def test_a_link_that_could_break_out_is_no_link(url):
    content = a_content(list_unsubscribe=ListUnsubscribe(url="{{ link }}"))
    with pytest.raises(ContentError):
        Composer(content, IDENTITY, Imprint()).compose(ANN._replace(variables={"link": url}))


def test_the_callers_own_variable_stays_what_it_was():
    content = a_content(
        list_unsubscribe=ListUnsubscribe(), text="{{ unsubscribe_url }}", variables={"unsubscribe_url": "own"}
    )
    assert read(content, Imprint(links=LINKS)).get_content() == "own\r\n"


def test_without_an_address_of_ours_there_is_no_mail_without_the_link():
    composer = Composer(a_content(list_unsubscribe=ListUnsubscribe()), IDENTITY)
    assert "POSTWERK_PUBLIC_URL" in composer.lacks
    with pytest.raises(ContentError, match="POSTWERK_PUBLIC_URL"):
        composer.compose(ANN)


# Signing


@pytest.mark.parametrize(
    ("choice", "selectors"),
    [
        (Signing(), ["e1", "r1"]),
        (Signing(selector="r1"), ["r1"]),
        (Signing(wanted=False), []),
        (Signing(selector="x"), []),
    ],
)
def test_the_send_says_which_key_signs(keys, choice, selectors):
    composer = Composer(a_content(dkim=choice), IDENTITY, Imprint(keys))
    mail = email.message_from_bytes(composer.compose(ANN))
    found = [line.partition(" s=")[2].partition(";")[0] for line in mail.get_all("DKIM-Signature", [])]
    assert found == selectors
    assert ("no DKIM key x" in composer.lacks) is (choice.selector == "x")


def test_nothing_is_signed_for_a_domain_without_a_key(keys):
    content = a_content(sender=Mailbox(email="a@elsewhere.example"))
    assert "DKIM-Signature" not in read(content, Imprint(keys))


texts = st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0{}%#"), max_size=120)
one_line = st.text(alphabet='aä ß=?_日,;"<>', max_size=120)


@settings(max_examples=200, deadline=None)
@given(subject=one_line, text=texts, html=texts | st.none(), attached=texts | st.none(), name=one_line)
def test_every_composed_mail_verifies(keys, subject, text, html, attached, name):
    content = a_content(
        subject=subject,
        text=text + "\n\n.\n \nend  \n\n",
        html=html,
        attachments=()
        if attached is None
        else (Attachment(name="a.txt", media_type="text/plain", text=attached),),
        list_unsubscribe=ListUnsubscribe(mailto="out@example.com"),
        headers={"X-A": subject},
    )
    composer = Composer(content, IDENTITY, Imprint(keys, LINKS))
    raw = composer.compose(ANN._replace(name=name))
    assert raw == Composer(content, IDENTITY, Imprint(keys, LINKS)).compose(ANN._replace(name=name))
    assert verified(raw, [key for key, _ in KEYS]) == [True, True]
