"""Names what went wrong on the wire, once, so that no exception text travels any further."""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Iterator

from aiosmtplib import SMTPException

from postwerk.contracts.smtp import Stage, Trouble
from postwerk.smtp.reply import NotSmtp, clean_line

WIRE_ERRORS = (SMTPException, OSError)
"""All that a wire may raise; ssl errors, timeouts and name errors are OSErrors."""

_CUT_OFF = (ssl.SSLEOFError, ssl.SSLZeroReturnError)
_OUR_SHORTAGE = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL}


def trouble_of(error: BaseException, stage: Stage) -> tuple[Trouble, str]:
    """What `error` means at `stage`, with one clean line for people."""
    chain = list(_chain(error))
    # TLS first: a certificate error is also an OSError and a ValueError, and aiosmtplib may have wrapped it.
    for cause in chain:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return Trouble.CERTIFICATE, clean_line(f"certificate refused: {cause.verify_message}")
    for cause in chain:
        if isinstance(cause, ssl.SSLError) and not isinstance(cause, _CUT_OFF):
            return Trouble.TLS, clean_line(f"TLS failed: {cause.reason or 'handshake'}")
    if isinstance(error, NotSmtp):
        return Trouble.PROTOCOL, clean_line(error.message)
    if isinstance(error, TimeoutError):
        return Trouble.TIMEOUT, f"no answer in time ({stage})"
    if stage is Stage.CONNECT:
        return _connect_trouble(error)
    return Trouble.LOST, f"connection lost ({stage})"


def _connect_trouble(error: BaseException) -> tuple[Trouble, str]:
    if isinstance(error, socket.gaierror):
        return Trouble.REFUSED, "the host name does not resolve"
    if isinstance(error, OSError) and error.errno in _OUR_SHORTAGE:
        return Trouble.LOCAL, f"no socket left here: {errno.errorcode[error.errno]}"
    if isinstance(error, ConnectionResetError):
        return Trouble.LOST, "connection reset at once"
    if isinstance(error, ConnectionRefusedError):
        return Trouble.REFUSED, "connection refused"
    return Trouble.REFUSED, clean_line(f"no connection: {getattr(error, 'strerror', None) or error}")


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and what it was raised from."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__
