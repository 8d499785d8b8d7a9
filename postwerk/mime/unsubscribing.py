"""How a recipient leaves: the link of a message, and the headers that name it (RFC 2369, RFC 8058)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

from postwerk.contracts.content import ListUnsubscribe
from postwerk.errors import ContentError
from postwerk.mime.headers import MAX_VALUE_CHARACTERS
from postwerk.rules.tokens import Tokens

HEADER = "List-Unsubscribe"
_URL = re.compile(r"https?://[!#-;=?-~]+")
_MAILTO = re.compile(r"mailto:[!#-;=?-~]+@[!#-;=?-~]+")


@dataclass(frozen=True, slots=True)
class UnsubscribeLinks:
    """Our own links: where `/u/<token>` is reached, and what signs the token."""

    base: str
    """POSTWERK_PUBLIC_URL, without a slash at its end."""
    tokens: Tokens

    def link(self, bulk_id: str, seq: int) -> str:
        return f"{self.base}/u/{self.tokens.unsubscribe(bulk_id, seq)}"


class Leaving(NamedTuple):
    """The ways out that one message names; empty ones are not offered."""

    url: str = ""
    mailto: str = ""


def unsubscribe_headers(leaving: Leaving, wanted: ListUnsubscribe) -> bytes:
    """The lines; never encoded, and folded only between the two ways (RFC 2369 2). Raises ContentError."""
    ways = [_way(leaving.url, _URL, "a link")] if leaving.url else []
    if leaving.mailto:
        address = leaving.mailto
        mailto = address if address.startswith("mailto:") else f"mailto:{address}"
        ways.append(_way(mailto, _MAILTO, "a mail address"))
    if not ways:
        return b""
    lines = f"{HEADER}: " + ",\r\n ".join(ways) + "\r\n"
    if wanted.one_click and leaving.url.startswith("http"):
        lines += "List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"  # RFC 8058 3.1
    return lines.encode("ascii")


def _way(value: str, shape: re.Pattern[str], what: str) -> str:
    # Both are ASCII without spaces or brackets: nothing can break out of its header, or of its <>.
    if not shape.fullmatch(value):
        raise ContentError(f"{HEADER} needs {what}, in ASCII and without spaces", code="render_failed")
    if len(value) + len(HEADER) + 6 > MAX_VALUE_CHARACTERS:
        raise ContentError(f"{HEADER} is longer than {MAX_VALUE_CHARACTERS} characters", code="too_large")
    return f"<{value}>"
