"""Our end of postwerk/inbound/child.py: hands it a mail, waits, and kills it when it takes too long."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

import postwerk
from postwerk.contracts.inbound import Found, Reported
from postwerk.inbound.child import LENGTH_BYTES
from postwerk.smtp.reply import clean_line

READ_SECONDS = 10.0
"""Wall clock for one mail."""
_LONGEST_ANSWER = 4 * 1024 * 1024
_MAILS_A_PROCESS = 500
"""Then a fresh one: whatever a library leaves behind goes with it."""
_COMMAND = (sys.executable, "-m", "postwerk.inbound.child")
# It reads what strangers write: of our environment, with its secrets, it gets nothing.
_ENVIRONMENT = {
    "PATH": os.defpath,
    "PYTHONPATH": str(Path(postwerk.__file__).resolve().parents[1]),
    "LANG": "C.UTF-8",
    "MALLOC_ARENA_MAX": "1",
}


class Unreadable(Exception):
    """The mail cannot be read, and never will be; the argument says why."""


class ReaderDied(Exception):
    """The process ended over this mail, or had to be killed; the argument says how."""


class MailReader:
    """One reading process at a time, started when it is needed."""

    def __init__(self, seconds: float = READ_SECONDS) -> None:
        self._seconds = seconds
        self._process: Process | None = None
        self._read = 0

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    async def read(self, raw: bytes) -> Found:
        """What was found in a mail. Raises Unreadable, ReaderDied."""
        try:
            process = await self._running()
            async with asyncio.timeout(self._seconds):
                answer = await _ask(process, raw)
        except TimeoutError as error:
            await self.close()
            raise ReaderDied(f"reading took more than {self._seconds:g} seconds") from error
        except (OSError, EOFError) as error:
            how = await self.close()
            raise ReaderDied(f"its reader ended with {how}") from error
        except BaseException:
            await self.close()  # half an answer must not be taken for that to the next mail
            raise
        return await self._understood(answer)

    async def close(self) -> str:
        """Kill it; says how it ended."""
        process, self._process, self._read = self._process, None, 0
        if process is None:
            return "nothing"
        if process.returncode is None:
            # Not process.kill(): that looks whether it has ended, and then nobody learns any more how.
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
        code = await process.wait()
        return f"signal {-code}" if code < 0 else f"exit code {code}"

    async def _running(self) -> Process:
        process = self._process
        if process is not None and (process.returncode is not None or self._read >= _MAILS_A_PROCESS):
            await self.close()
        if self._process is None:
            self._process = await asyncio.create_subprocess_exec(
                *_COMMAND, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, env=_ENVIRONMENT, cwd="/"
            )
        self._read += 1
        return self._process

    async def _understood(self, answer: bytes) -> Found:
        try:
            document = msgspec.json.decode(answer)
            if "unreadable" not in document:
                return _clean(msgspec.convert(document["found"], Found))
        except (msgspec.MsgspecError, KeyError, TypeError) as error:
            raise Unreadable("its reader gave no answer") from error
        await self.close()
        raise Unreadable(clean_line(str(document["unreadable"])))


async def _ask(process: Process, raw: bytes) -> bytes:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(len(raw).to_bytes(LENGTH_BYTES, "big") + raw)
    await process.stdin.drain()
    length = int.from_bytes(await process.stdout.readexactly(LENGTH_BYTES), "big")
    if length > _LONGEST_ANSWER:
        raise EOFError
    return await process.stdout.readexactly(length)


def _clean(found: Found) -> Found:
    """Printable text, within limits: it goes into the archive and before people's eyes."""
    words: dict[str, Any] = {
        name: clean_line(getattr(found, name)) for name in ("reporting_mta", "feedback", "message_id", "how")
    }
    return Found(
        kind=found.kind,
        auto_submitted=found.auto_submitted,
        reported=tuple(_clean_reported(one) for one in found.reported),
        traces=tuple(clean_line(one) for one in found.traces),
        **words,
    )


def _clean_reported(one: Reported) -> Reported:
    return Reported(**{name: clean_line(getattr(one, name)) for name in Reported.__slots__})
