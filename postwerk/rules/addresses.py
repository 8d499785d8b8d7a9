"""Addresses: what is taken, and the one form in which each is kept.

One validator decides (email-validator, with the options below); plain ASCII addresses take a
faster way to the same answer. No DNS is asked.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Any

from email_validator import EmailNotValidError, ValidatedEmail, validate_email

from postwerk.contracts.content import Mailbox
from postwerk.errors import InvalidRequest

MAX_LOCAL_OCTETS = 64  # RFC 5321 4.5.3.1.1
MAX_ADDRESS_OCTETS = 254  # RFC 5321 4.5.3.1.3 with RFC 3696 erratum 1690
MAX_NAME_CHARACTERS = 256

_ATOM = r"[A-Za-z0-9_!#$%&'*+\-/=?^`{|}~]+"
_PLAIN = re.compile(rf"({_ATOM}(?:\.{_ATOM})*)@([A-Za-z0-9.\-]{{1,253}})")
_AROUND = " \t\r\n\u00a0"
_NOT_IN_TEXT = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_ENCODED_WORD = re.compile(r"=\?[^?\s]*\?[^?\s]*\?", re.ASCII)
_NAMED = re.compile(r'(?:"((?:[^"\\]|\\.)*)"|([^"<>()\[\]:;@\\,]*?)) ?<([^<>]*)>')


def parse_address(text: str) -> str:
    """The normal form of one bare address: domain lower-cased, as an A-label; the local part as written."""
    text = text.strip(_AROUND)
    plain = _PLAIN.fullmatch(text)
    if plain is None:
        return _parse_carefully(text)
    local, domain = plain.groups()
    known = _domain_form(domain)
    # 64 + 190 octets are within every limit; longer ones are measured with care.
    if known is None or len(local) > MAX_LOCAL_OCTETS or len(domain) > 180 or "xn--" in known:
        return _parse_carefully(text)
    return f"{local}@{known}"


def parse_mailbox(value: str | dict[str, Any]) -> Mailbox:
    """A mailbox from "a@b", "Name <a@b>" or {"email": ..., "name": ...}; one address, no comments."""
    if isinstance(value, dict):
        return _mailbox_of_fields(value)
    if not isinstance(value, str):
        raise _refused("a mailbox is a string or an object with email and name")
    text = value.strip(_AROUND)
    if "<" not in text:
        return Mailbox(email=parse_address(text))
    named = _NAMED.fullmatch(text)
    if named is None:
        raise _refused('write one mailbox as "Name <address>"; quote a name that holds punctuation')
    quoted, bare, address = named.groups()
    name = bare if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
    return Mailbox(email=parse_address(address), name=parse_name(name))


def parse_name(name: str) -> str:
    """A display name that can stand in a header: no control characters, no encoded words."""
    if _NOT_IN_TEXT.search(name):
        raise _refused("the name contains a control character")
    if _ENCODED_WORD.search(name):
        # It could decode to a line break or a second address (CVE-2024-6923).
        raise _refused("write the name as plain text, not as an encoded word (=?...?=)")
    if len(name) > MAX_NAME_CHARACTERS:
        raise _refused(f"the name is longer than {MAX_NAME_CHARACTERS} characters")
    return name.strip()


def duplicate_key(address: str) -> str:
    """Two addresses with the same key are the same mailbox as far as finding duplicates goes."""
    return address.casefold()


def _mailbox_of_fields(fields: dict[str, Any]) -> Mailbox:
    email, name = fields.get("email"), fields.get("name") or ""
    if not isinstance(email, str) or not isinstance(name, str) or fields.keys() - {"email", "name"}:
        raise _refused("a mailbox object has the strings email and name, and nothing else")
    return Mailbox(email=parse_address(email), name=parse_name(name))


@lru_cache(maxsize=16384)
def _domain_form(domain: str) -> str | None:
    try:
        return _validate(f"a@{domain}").ascii_domain
    except EmailNotValidError:
        return None


def _parse_carefully(text: str) -> str:
    if len(text) > 2 * MAX_ADDRESS_OCTETS:  # before the validator's work, which grows with the length
        raise _refused("the address is too long")
    try:
        valid = _validate(text)
    except EmailNotValidError as error:
        raise _refused(_without_input(str(error))) from error
    # The validator lower-cases names such as "Postmaster" (RFC 2142); we keep the case (RFC 5321 2.4).
    local = unicodedata.normalize("NFC", text.rpartition("@")[0])
    address = f"{local}@{valid.ascii_domain}"
    if len(local.encode()) > MAX_LOCAL_OCTETS:
        raise _refused(f"the part before the @ is longer than {MAX_LOCAL_OCTETS} octets")
    if len(address.encode()) > MAX_ADDRESS_OCTETS:
        raise _refused(f"the address is longer than {MAX_ADDRESS_OCTETS} octets")
    return address


def _validate(text: str) -> ValidatedEmail:
    return validate_email(
        text,
        allow_smtputf8=True,
        allow_empty_local=False,
        allow_quoted_local=False,
        allow_domain_literal=False,
        allow_display_name=False,
        strict=True,
        check_deliverability=False,
        test_environment=True,
        globally_deliverable=True,
    )


def _without_input(reason: str) -> str:
    """The validator's reason, short: it goes into answers and reports."""
    reason = " ".join(reason.split())
    return reason[:200].rstrip(".")


def _refused(reason: str) -> InvalidRequest:
    return InvalidRequest(reason, code="invalid_address")
