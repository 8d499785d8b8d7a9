"""A mail as its reader would see it: made as it will be made, and taken apart again."""

from __future__ import annotations

import email.policy
from email.message import EmailMessage
from email.parser import BytesParser

from api.schemas import HeaderView, Sample, SampleError
from postwerk.contracts.content import Recipient
from postwerk.errors import ContentError
from postwerk.mime.composer import Composer

LONGEST_BODY = 100_000
"""Characters of a body that are shown."""
_parse = BytesParser(policy=email.policy.default).parsebytes


def a_sample(composer: Composer, index: int, recipient: Recipient) -> Sample:
    """The mail of this recipient, or why there is none."""
    try:
        mail = composer.compose(recipient)
    except ContentError as error:
        return _failed(index, recipient, error)
    parsed = _parse(mail)
    assert isinstance(parsed, EmailMessage)
    return Sample(
        index=index,
        to=recipient.address,
        subject=str(parsed["Subject"] or ""),
        text=_body(parsed, "plain"),
        html=_body(parsed, "html"),
        headers=[HeaderView(name=name, value=str(value)) for name, value in parsed.items()],
        error=None,
    )


def _body(mail: EmailMessage, kind: str) -> str | None:
    part = mail.get_body(preferencelist=(kind,))
    return None if part is None else str(part.get_content())[:LONGEST_BODY]


def _failed(index: int, recipient: Recipient, error: ContentError) -> Sample:
    why = SampleError(code=error.code, detail=error.message)
    return Sample(
        index=index, to=recipient.address, subject=None, text=None, html=None, headers=[], error=why
    )
