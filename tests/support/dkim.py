"""Signatures, checked by an implementation that is not ours."""

from __future__ import annotations

from collections.abc import Sequence

import dkim

from postwerk.mime.dkim_keys import DkimKey


def verified(mail: bytes, keys: Sequence[DkimKey]) -> list[bool]:
    """Whether each DKIM-Signature of the mail holds, in their order; `keys` are what DNS would publish."""
    records = {f"{key.record_name}.".encode(): key.record.encode() for key in keys}

    def txt(name: bytes | str, timeout: int = 5) -> bytes | None:
        return records.get(name if isinstance(name, bytes) else name.encode())

    count = mail.partition(b"\r\n\r\n")[0].lower().count(b"dkim-signature:")
    return [_holds(mail, number, txt) for number in range(count)]


def _holds(mail: bytes, number: int, txt: object) -> bool:
    try:
        return bool(dkim.DKIM(mail).verify(idx=number, dnsfunc=txt))
    except dkim.DKIMException:
        return False
