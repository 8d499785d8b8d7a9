"""The process that reads mails, one after the other: `python -m postwerk.inbound.child`.

It is given its own limits, knows no setting and no secret, and whoever started it kills it when it takes too
long. A length and that many bytes on standard input, a length and that much JSON on standard output.
"""

from __future__ import annotations

import os
import resource
import sys
import time
from typing import BinaryIO

import msgspec

from postwerk.inbound.parts import TooComplex
from postwerk.inbound.reading import read_mail

MEMORY_BYTES = 300 * 1024 * 1024
CPU_SECONDS = 5
"""For one mail."""
LENGTH_BYTES = 8


def main() -> int:
    """Read until standard input ends."""
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # whatever a library prints is no answer
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    while (raw := _next_mail(sys.stdin.buffer)) is not None:
        _limit_cpu()
        answer = _answer(raw)
        answers.write(len(answer).to_bytes(LENGTH_BYTES, "big") + answer)
    return 0


def _next_mail(door: BinaryIO) -> bytes | None:
    head = door.read(LENGTH_BYTES)
    return door.read(int.from_bytes(head, "big")) if len(head) == LENGTH_BYTES else None


def _limit_cpu() -> None:
    """The limit counts from the start of the process."""
    seconds = int(time.process_time()) + 1 + CPU_SECONDS
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, resource.RLIM_INFINITY))


def _answer(raw: bytes) -> bytes:
    try:
        return msgspec.json.encode({"found": read_mail(raw)})
    except TooComplex as error:
        return msgspec.json.encode({"unreadable": f"not looked into: {error}"})
    except (Exception, RecursionError) as error:  # noqa: BLE001  parsers raise almost anything on broken mail
        return msgspec.json.encode({"unreadable": f"the parser ended with {type(error).__name__}"})


if __name__ == "__main__":
    sys.exit(main())
