"""Bytes of a list into text: BOM, then declared charset, then UTF-8, then Windows-1252 if it reads well."""

from __future__ import annotations

import codecs
import re

import charset_normalizer

from postwerk.errors import InvalidRequest

_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_LONGEST_BOM = 3
_UTF8_LETTER = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
# Python knows codecs that are no text encodings; these are the ones lists really come in.
_READABLE = {
    *(
        "utf-8",
        "utf-16",
        "utf-16-le",
        "utf-16-be",
        "ascii",
        "iso8859-1",
        "iso8859-2",
        "iso8859-7",
        "iso8859-9",
    ),
    *(
        "iso8859-15",
        "cp1250",
        "cp1251",
        "cp1252",
        "cp1253",
        "cp1254",
        "cp1257",
        "koi8-r",
        "koi8-u",
        "mac-roman",
    ),
    *("cp437", "cp850", "gb18030", "gbk", "big5", "shift_jis", "cp932", "euc_jp", "euc_kr"),
}


class TextReader:
    """Decodes a stream. Without BOM and charset the first piece that is not ASCII decides."""

    def __init__(self, charset: str | None = None) -> None:
        self._declared = _known(charset) if charset else None
        self._head: bytes | None = b""
        self._held = b""
        self._decoder: codecs.IncrementalDecoder | None = None

    def feed(self, data: bytes, *, last: bool = False) -> str:
        """The text of the next bytes. Raises InvalidRequest when they do not fit the encoding."""
        if self._head is not None:
            data = self._head + data
            if len(data) < _LONGEST_BOM and not last:
                self._head = data
                return ""
            self._head = None
            data = self._after_bom(data)
        return self._decode(data, last)

    def _after_bom(self, data: bytes) -> bytes:
        for mark, encoding in _BOMS:
            if data.startswith(mark):
                self._decoder = _decoder(encoding)
                return data[len(mark) :]
        if self._declared:
            self._decoder = _decoder(self._declared)
        return data

    def _decode(self, data: bytes, last: bool) -> str:
        if self._decoder is None:
            data, self._held = self._held + data, b""
            if data.isascii():
                return data.decode("ascii")
            encoding = _guess(data, last)
            if encoding is None:
                self._held = data
                return ""
            self._decoder = _decoder(encoding)
        try:
            return self._decoder.decode(data, last)
        except UnicodeDecodeError as error:
            raise _unreadable(f"The text is not valid {error.encoding}") from error


def _decoder(encoding: str) -> codecs.IncrementalDecoder:
    return codecs.getincrementaldecoder(encoding)("strict")


def _known(charset: str) -> str:
    try:
        name = codecs.lookup(charset[:40]).name
    except (LookupError, ValueError) as error:
        raise _unreadable("The declared charset is not known") from error
    if name not in _READABLE:
        raise _unreadable("The declared charset is not taken here")
    return name


def _guess(data: bytes, last: bool) -> str | None:
    """None when the only character that could tell is cut in two."""
    decoder = _decoder("utf-8")
    try:
        decoder.decode(data, last)
    except UnicodeDecodeError:
        # Old spreadsheets write Windows-1252. Anything else would be a guess with wrong names in the mail,
        # and so would be UTF-8 with a damaged byte.
        if _UTF8_LETTER.search(data):
            raise _unreadable("The text is not valid UTF-8") from None
        if charset_normalizer.from_bytes(data[:65536], cp_isolation=["cp1252"]).best() is None:
            raise _unreadable("The text is neither UTF-8 nor Windows-1252") from None
        return "cp1252"
    return None if decoder.getstate()[0] and not _UTF8_LETTER.search(data) else "utf-8"


def _unreadable(what: str) -> InvalidRequest:
    return InvalidRequest(
        f"{what}; save the list as UTF-8 or declare its charset in Content-Type.", code="invalid_encoding"
    )
