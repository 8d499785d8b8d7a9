"""The fields `list_unsubscribe` and `dkim` of a request."""

from __future__ import annotations

from collections.abc import Mapping

from api.request_schemas import DkimRequest, ListUnsubscribeRequest
from postwerk.contracts.content import ListUnsubscribe, Signing
from postwerk.errors import InvalidRequest
from postwerk.mime.dkim_keys import SELECTOR
from postwerk.mime.headers import is_template
from postwerk.mime.unsubscribing import HEADER


def read_list_unsubscribe(
    given: ListUnsubscribeRequest | bool, headers: Mapping[str, str], public_url: str
) -> ListUnsubscribe | None:
    """As it is stored. Raises InvalidRequest; also when our own link is wanted and has no address."""
    if given is False:
        return None
    _check_headers(headers)
    fields = ListUnsubscribeRequest() if given is True else given
    one_click = fields.one_click
    if one_click is None:
        one_click = fields.url is None and fields.mailto is None
    wanted = ListUnsubscribe(url=fields.url, mailto=fields.mailto, one_click=one_click)
    if fields.url is not None:
        _check_url(fields.url, one_click)
    if wanted.own_link and not public_url:
        raise InvalidRequest(
            "A link to unsubscribe needs to know where Postwerk is reached: set POSTWERK_PUBLIC_URL, or give "
            "a `url` of your own.",
            pointer="#/list_unsubscribe",
            code="no_public_url",
        )
    return wanted


def read_dkim(given: DkimRequest | bool) -> Signing:
    """As it is stored. Raises InvalidRequest."""
    if isinstance(given, bool):
        return Signing(wanted=given)
    if given.selector is not None and not SELECTOR.fullmatch(given.selector):
        raise InvalidRequest(
            "A selector is letters, digits, hyphens and dots.",
            pointer="#/dkim/selector",
            code="invalid_selector",
        )
    return Signing(selector=given.selector or "")


def _check_headers(headers: Mapping[str, str]) -> None:
    for name in headers:
        if name.lower() in (HEADER.lower(), f"{HEADER}-post".lower()):
            raise InvalidRequest(
                f"Give either the header {name} or list_unsubscribe.",
                pointer="#/list_unsubscribe",
                code="both_given",
            )


def _check_url(url: str, one_click: bool) -> None:
    """What begins with a tag is looked at when it is rendered."""
    if is_template(url[:3]):
        return
    if not url.lower().startswith(("https://", "http://")):
        raise InvalidRequest(
            "A link begins with https://.", pointer="#/list_unsubscribe/url", code="invalid_url"
        )
    if one_click and not url.lower().startswith("https://"):
        raise InvalidRequest(
            "One click needs a link that begins with https:// (RFC 8058).",
            pointer="#/list_unsubscribe/url",
            code="invalid_url",
        )
