"""What large mailbox providers ask of bulk mail, and what a send leaves out of it (Gmail, Yahoo, Outlook).

From about 5,000 mails a day of one domain on they ask for SPF, DKIM and DMARC of the From domain, and for a
link that unsubscribes by one click (RFC 8058). What is missing is told, never refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from postwerk.contracts.content import Content, ListUnsubscribe
from postwerk.rules.domain_records import is_free_mailer

BULK_FROM = 5_000
"""Mails a day that make a sender a bulk sender for good."""
_OFTEN = "Gmail and Yahoo ask for it from 5,000 mails a day on"


class BulkWarning(NamedTuple):
    """`code` is stable for programs, `pointer` a JSON pointer into the request."""

    code: str
    pointer: str
    detail: str


def bulk_rule_warnings(
    content: Content, recipients: int, *, signed: bool, public_url: str
) -> Iterator[BulkWarning]:
    """What is missing. `signed`: there is a DKIM key for it; `public_url` is where our own links lead."""
    domain = content.sender.email.rpartition("@")[2]
    if is_free_mailer(domain):
        detail = f"{domain} belongs to a mailbox provider: others refuse mail that does not come from there."
        yield BulkWarning("free_mailer_sender", "#/from", detail)
    selector = content.dkim.selector if content.dkim.wanted else ""
    if not signed and selector:
        detail = f"There is no DKIM key {selector} for {domain} here: the mail waits until a worker has it."
        yield BulkWarning("unknown_selector", "#/dkim/selector", detail)
    elif not signed:
        how = "dkim is false" if not content.dkim.wanted else f"there is no DKIM key for {domain} here"
        detail = f"The mail is not signed ({how}); let the relay sign it. {_said(recipients)}."
        yield BulkWarning("not_signed", "#/dkim", detail)
    yield from _ways_out(content, recipients, public_url)


def _ways_out(content: Content, recipients: int, public_url: str) -> Iterator[BulkWarning]:
    pointer, wanted = "#/list_unsubscribe", content.list_unsubscribe
    headers = {name.lower(): value for name, value in content.headers.items()}
    if wanted is None and "list-unsubscribe" not in headers:
        detail = f"Recipients cannot unsubscribe by a header. {_said(recipients)}."
        yield BulkWarning("no_list_unsubscribe", pointer, detail)
    elif not _has_one_click(wanted, headers):
        yield BulkWarning(
            "no_one_click", pointer, f"Unsubscribing takes more than one click. {_said(recipients)}."
        )
    elif wanted is not None and wanted.own_link and not public_url.startswith("https://"):
        detail = "The link to unsubscribe does not begin with https://: one click needs that (RFC 8058)."
        yield BulkWarning("unsubscribe_not_https", pointer, detail)


def _has_one_click(wanted: ListUnsubscribe | None, headers: Mapping[str, str]) -> bool:
    if wanted is None:
        return "list-unsubscribe-post" in headers
    return wanted.one_click and (wanted.own_link or wanted.url is not None)


def _said(recipients: int) -> str:
    if recipients >= BULK_FROM:
        return f"{_OFTEN}, and this send has {recipients:,}"
    return _OFTEN
