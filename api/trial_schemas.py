"""What callers send for a test mail."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field, StrictInt

from api.request_schemas import JsonObject, MailboxInput


class TestOrder(BaseModel):
    """To whom the test mail goes, and whose mail it shows: that of the first recipient if nothing is said."""

    __test__: ClassVar[bool] = False
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    to: MailboxInput
    variables: JsonObject | None = None
    """Instead of the first recipient's; with `as`, over that recipient's."""
    recipient: StrictInt | None = Field(default=None, alias="as", ge=1, le=10**15)
    """`seq` of the recipient whose mail it shows."""
