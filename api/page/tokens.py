"""What ties a form, and a notice, to the browser that it was made for: codes keyed by its cookie."""

from __future__ import annotations

import base64
import hashlib
import hmac

import orjson

FIELD = "token"
"""Name of the field in each form."""


def form_token(cookie: str) -> str:
    return _code(cookie, b"form")


def fits(cookie: str, given: str) -> bool:
    return hmac.compare_digest(form_token(cookie).encode(), given.encode())


def sealed(cookie: str, document: object) -> str:
    """A small document as the value of another cookie, which only we can have made."""
    body = base64.urlsafe_b64encode(orjson.dumps(document)).decode().rstrip("=")
    return f"{body}.{_code(cookie, body.encode())}"


def unsealed(cookie: str, text: str) -> object:
    """None for anything that we have not made for this cookie."""
    body, _, code = text.partition(".")
    if not hmac.compare_digest(_code(cookie, body.encode("utf-8", "replace")).encode(), code.encode()):
        return None
    found: object = orjson.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    return found


def _code(cookie: str, about: bytes) -> str:
    return hmac.new(cookie.encode(), about, hashlib.sha256).hexdigest()
