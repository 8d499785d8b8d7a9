"""What callers send and get about the suppression list."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictStr

from postwerk.contracts.states import SuppressionScope


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid")


REASON = "^[a-z][a-z0-9_]{0,39}$"
"""manual, complaint, unsubscribe; what a reply said, such as user_unknown; or a word of the caller's own."""
ReasonInput = Annotated[StrictStr, Field(pattern=REASON)]


class SuppressionEntryRequest(_Request):
    """An address that shall get no mail."""

    address: StrictStr
    reason: ReasonInput | None = None
    detail: StrictStr | None = None


class SuppressionRequest(_Request):
    """One `address`, or up to 10,000 `addresses`; `reason` and `detail` hold for each without its own."""

    address: StrictStr | None = None
    addresses: list[StrictStr | SuppressionEntryRequest] | None = Field(default=None, max_length=10_000)
    reason: ReasonInput = "manual"
    detail: StrictStr = ""
    """For people; control characters are left out, what is longer than 1,000 characters is cut."""


class RefusedAddress(BaseModel):
    """An address that was not listed; `row` counts JSON from 0, CSV as a spreadsheet does (header: 1)."""

    row: int
    address: str
    code: str
    detail: str


class SuppressionsTaken(BaseModel):
    """The answer to new entries."""

    object: Literal["suppressions_taken"] = "suppressions_taken"
    added: int
    """New ones, and those that became broader."""
    known: int
    """Listed before, or twice in this list; such an entry stays as it was."""
    rejected: int
    errors: list[RefusedAddress]
    """The first 1,000."""
    errors_truncated: bool


class SuppressionView(BaseModel):
    """An address that gets no mail."""

    object: Literal["suppression"] = "suppression"
    address: str
    scope: SuppressionScope
    """`bulk`: no bulk sends, as after `unsubscribe`; `all`: no mail at all, as after every other reason."""
    reason: str
    source: str
    """`reply` (a server said so), `recipient` (by a link in a mail), `api`, or `import` (a CSV list)."""
    detail: str
    bulk_send: str | None
    """During which send a server or the recipient said so."""
    created_at: datetime
    unsubscribed_at: datetime | None
    """Since when the recipient wants no bulk mail, also where a broader reason stands above."""


class SuppressionList(BaseModel):
    """A page; `next` is the `after` of the following one."""

    object: Literal["list"] = "list"
    has_more: bool
    next: str | None
    data: list[SuppressionView]
