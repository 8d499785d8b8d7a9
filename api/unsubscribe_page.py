"""The page behind a link to unsubscribe: nothing is loaded for it, no script runs, nothing is tracked."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from html import escape

from fastapi.responses import HTMLResponse

_STYLE = (
    "body{margin:15vh auto;max-width:30rem;padding:0 1rem;font:1.1rem/1.5 system-ui,sans-serif;color:#222;"
    "background:#fff}button{font:inherit;padding:.6rem 1.4rem;border:0;border-radius:4px;background:#1a56b0;"
    "color:#fff;cursor:pointer}button:focus-visible{outline:3px solid #f0a000}"
)
_STYLE_HASH = b64encode(sha256(_STYLE.encode()).digest()).decode()
_HEADERS = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    "X-Robots-Tag": "noindex, nofollow",
}


def asking(sender: str) -> HTMLResponse:
    """With the button that acts; nothing has happened yet."""
    return _page(
        "Unsubscribe",
        f"<p>You got a mail from <strong>{escape(sender)}</strong>. Do you want no more mailings?</p>"
        '<form method="post"><input type="hidden" name="List-Unsubscribe" value="One-Click">'
        "<button>Unsubscribe</button></form>",
    )


def done() -> HTMLResponse:
    return _page("You are unsubscribed", "<p>No more mailings go to your address.</p>")


def unknown() -> HTMLResponse:
    """The same for a link that was damaged, made up, or is about a mail nobody knows any more."""
    return _page("This link is not valid", "<p>Please copy it from the mail as a whole.</p>", 404)


def _page(title: str, inside: str, status: int = 200) -> HTMLResponse:
    return HTMLResponse(
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<style>{_STYLE}</style></head><body><h1>{title}</h1>{inside}</body></html>\n",
        status,
        _HEADERS,
    )
