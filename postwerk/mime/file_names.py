"""What a file that goes along may be called, and be: names, media types and content ids that are taken."""

from __future__ import annotations

import mimetypes
import re
import unicodedata

from postwerk.errors import InvalidRequest

MOST_NAME_OCTETS = 255
MEDIA_TYPE = re.compile(r"[a-z]+/[a-z0-9][a-z0-9.+_-]{0,99}")
CONTENT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+=-]{0,199}")
"""No character that a header, a URL or an attribute reads differently."""
METHOD = re.compile(r"PUBLISH|REQUEST|REPLY|ADD|CANCEL|REFRESH|COUNTER|DECLINECOUNTER")
OCTETS = "application/octet-stream"

# Control characters, line ends, lone surrogates; and what turns the reading direction: "exe.fdp" must not
# be shown as "pdf.exe" (U+202E), nor a name hold what nobody sees.
_NOT_IN_A_NAME = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
_ENCODED_WORD = re.compile(r"=\?[^?]*\?[^?]*\?")
"""Some readers would decode it, whatever it decodes to."""
_PARAMETERS = re.compile(
    r"""\s*([A-Za-z]+/[A-Za-z0-9][A-Za-z0-9.+_-]{0,99})\s*(?:;\s*charset="?([A-Za-z0-9][A-Za-z0-9._+-]{0,38})"?\s*)?""",
    re.ASCII,
)
_KNOWN = mimetypes.MimeTypes()
"""Python's own table, and what it lacks; the machine's own one would differ from machine to machine."""
for _ending, _type in (
    (".ics", "text/calendar"),
    (".vcf", "text/vcard"),
    (".md", "text/markdown"),
    (".log", "text/plain"),
    (".webp", "image/webp"),
    (".docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    (".xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    (".pptx", "application/vnd.openxmlformats-officedocument.presentationml.presentation"),
    (".odt", "application/vnd.oasis.opendocument.text"),
    (".ods", "application/vnd.oasis.opendocument.spreadsheet"),
):
    _KNOWN.add_type(_type, _ending)
_RISKY = frozenset(
    [
        "ade",
        "adp",
        "apk",
        "app",
        "appx",
        "appxbundle",
        "bat",
        "cab",
        "chm",
        "cmd",
        "com",
        "cpl",
        "dll",
        "dmg",
        "exe",
        "hta",
        "ins",
        "iso",
        "isp",
        "jar",
        "js",
        "jse",
        "lib",
        "lnk",
        "mde",
        "msc",
        "msi",
        "msix",
        "msixbundle",
        "msp",
        "mst",
        "nsh",
        "pif",
        "ps1",
        "scr",
        "sct",
        "shb",
        "sys",
        "vb",
        "vbe",
        "vbs",
        "vhd",
        "vxd",
        "wsc",
        "wsf",
        "wsh",
    ]
)
"""What Gmail refuses by its name, and others like to; support.google.com/mail/answer/6590."""


def file_name(given: str, pointer: str) -> str:
    """The name composed (NFC), without outer spaces; nothing else is mended. Raises InvalidRequest."""
    name = unicodedata.normalize("NFC", given.strip(" ")) if given.isprintable() else given
    if reason := _objection(name):
        raise InvalidRequest(reason, pointer=pointer, code="invalid_filename")
    return name


def _objection(name: str) -> str:
    if not name or name.strip(".") == "":
        return "A file needs a name."
    if "/" in name or "\\" in name:
        return "Give the file's name alone, without a path."
    if _NOT_IN_A_NAME.search(name):
        return "The name contains a control character, or one that cannot be seen."
    if _ENCODED_WORD.search(name):
        return "Write the name as plain text, not as an encoded word (=?...?=)."
    if len(name.encode()) > MOST_NAME_OCTETS:
        return f"The name is longer than {MOST_NAME_OCTETS} octets."
    return ""


def media_type(given: str | None, name: str, pointer: str) -> tuple[str, str]:
    """Media type and charset (or ""), as given or by the name's ending. Raises InvalidRequest."""
    if given is None:
        guessed = _KNOWN.guess_type(name)[0] or OCTETS
        return (guessed if MEDIA_TYPE.fullmatch(guessed) and not _is_structure(guessed) else OCTETS), ""
    read = _PARAMETERS.fullmatch(given)
    kind = read.group(1).lower() if read else ""
    if read is None or not MEDIA_TYPE.fullmatch(kind):
        raise InvalidRequest(
            "Write a media type such as application/pdf; of parameters, only charset is taken.",
            pointer=pointer,
            code="invalid_content_type",
        )
    if _is_structure(kind):
        raise InvalidRequest(
            f"A file cannot be {kind}; send it as {OCTETS}.", pointer=pointer, code="invalid_content_type"
        )
    return kind, (read.group(2) or "").lower()


def _is_structure(kind: str) -> bool:
    """RFC 2046 5: made of parts, or a mail, neither of which may be base64."""
    return kind.startswith(("multipart/", "message/"))


def content_id(given: str, pointer: str) -> str:
    """Without angle brackets. Raises InvalidRequest."""
    found = given[1:-1] if given.startswith("<") and given.endswith(">") else given
    if not CONTENT_ID.fullmatch(found):
        raise InvalidRequest(
            "A content id has 1 to 200 letters, digits and . _ @ + = -, and begins with a letter or digit.",
            pointer=pointer,
            code="invalid_content_id",
        )
    return found


def looks_executable(name: str) -> bool:
    """Many servers refuse a mail for such a file."""
    return name.rstrip(". ").rpartition(".")[2].lower() in _RISKY
