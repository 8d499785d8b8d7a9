"""One POP3 session: commands and their answers (RFC 1939), each waited for before the next is read."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Sequence

from postwerk.sandbox.framing import with_stuffing
from postwerk.sandbox.inbox_reader import InboxReader
from postwerk.sandbox.ledger import Ledger
from postwerk.sandbox.maildrop import Drop, Maildrop
from postwerk.sandbox.replies import NAME

LONGEST_LINE = 255
"""Of a command, with its end (RFC 2449 4)."""

_CAPABILITIES = ("TOP", "UIDL", "USER", "PIPELINING", "RESP-CODES", "EXPIRE NEVER", "IMPLEMENTATION Postwerk")


class Pop3Error(Exception):
    """The answer to this command is -ERR; the text says why."""


class Pop3Session:
    """One client's dialogue."""

    def __init__(
        self,
        inbox: InboxReader,
        ledger: Ledger,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        idle_seconds: float,
    ) -> None:
        self._inbox = inbox
        self._ledger = ledger
        self._reader = reader
        self._writer = writer
        self._idle_seconds = idle_seconds
        self._user = ""
        self._drop: Maildrop | None = None
        self._is_over = False

    async def run(self) -> None:
        self._say(f"+OK {NAME} POP3, any password will do")
        while not self._is_over:
            await asyncio.wait_for(self._writer.drain(), self._idle_seconds)
            line = await self._line()
            if line is None:
                return
            verb, _, argument = line.partition(" ")
            try:
                await self._obey(verb.upper(), argument.strip())
            except Pop3Error as error:
                self._say(f"-ERR {error}")
        await asyncio.wait_for(self._writer.drain(), self._idle_seconds)

    async def _line(self) -> str | None:
        """The next command; None at the end, and after a line that is too long."""
        try:
            line = await asyncio.wait_for(self._reader.readuntil(b"\n"), self._idle_seconds)
        except asyncio.IncompleteReadError:
            return None
        except asyncio.LimitOverrunError:
            self._say("-ERR Command line too long")
            return None
        return line.decode("utf-8", "replace").rstrip("\r\n")

    async def _obey(self, verb: str, argument: str) -> None:
        commands = _BEFORE_LOGIN if self._drop is None else _AFTER_LOGIN
        command = commands.get(verb)
        if command is None:
            known = verb in _BEFORE_LOGIN or verb in _AFTER_LOGIN
            raise Pop3Error("Not now: log in first, and only once" if known else "Command not known here")
        await command(self, argument)

    # Before and after the login.

    async def _capa(self, _argument: str) -> None:
        self._say_many("Capability list follows", _CAPABILITIES)

    async def _quit(self, _argument: str) -> None:
        self._is_over = True
        if self._drop is None or not self._drop.deleted:
            self._say("+OK Bye")
            return
        try:
            count = await self._ledger.delete(self._drop.deleted)
        except sqlite3.Error as error:
            raise Pop3Error("[SYS/TEMP] The ledger could not be written, nothing was deleted") from error
        self._say(f"+OK Bye, {count} deleted")

    async def _take_user(self, argument: str) -> None:
        if not argument:
            raise Pop3Error("Say whose mail: an address, a domain or all")
        self._user = argument
        self._say("+OK Any password will do")

    async def _pass(self, _argument: str) -> None:
        if not self._user:
            raise Pop3Error("USER first")
        await self._ledger.flush()
        self._drop = Maildrop(await self._inbox.drops(self._user))
        self._say(f"+OK {self._drop.count} messages ({self._drop.size} octets)")

    # What is in the maildrop.

    async def _stat(self, _argument: str) -> None:
        self._say(f"+OK {self._open.count} {self._open.size}")

    async def _list(self, argument: str) -> None:
        self._tell(argument, lambda drop: str(drop.size))

    async def _uidl(self, argument: str) -> None:
        self._tell(argument, lambda drop: drop.unique_id)

    def _tell(self, argument: str, fact: Callable[[Drop], str]) -> None:
        """One line about one message, or a line for each."""
        if argument:
            number, drop = self._one(argument)
            self._say(f"+OK {number} {fact(drop)}")
            return
        lines = [f"{number} {fact(drop)}" for number, drop in self._open.kept()]
        self._say_many(f"{len(lines)} messages", lines)

    async def _retr(self, argument: str) -> None:
        _, drop = self._one(argument)
        self._say_message(await self._bytes(drop))

    async def _top(self, argument: str) -> None:
        number, _, lines = argument.partition(" ")
        if not (lines.isascii() and lines.isdecimal() and len(lines) < 10):
            raise Pop3Error("Say TOP, the number of a message and a number of lines")
        _, drop = self._one(number)
        self._say_message(_first_lines(await self._bytes(drop), int(lines)))

    async def _dele(self, argument: str) -> None:
        number, _ = self._one(argument)
        self._open.delete(number)
        self._say(f"+OK Message {number} goes at QUIT")

    async def _rset(self, _argument: str) -> None:
        self._open.keep_all()
        self._say(f"+OK {self._open.count} messages")

    async def _noop(self, _argument: str) -> None:
        self._say("+OK")

    @property
    def _open(self) -> Maildrop:
        assert self._drop is not None
        return self._drop

    def _one(self, written: str) -> tuple[int, Drop]:
        number = int(written) if written.isascii() and written.isdecimal() and len(written) < 10 else 0
        drop = self._open.get(number)
        if drop is None:
            raise Pop3Error("No such message")
        return number, drop

    async def _bytes(self, drop: Drop) -> bytes:
        raw = await self._inbox.raw(drop.body_id)
        if raw is None:
            raise Pop3Error("That message was deleted meanwhile")
        return raw

    def _say_many(self, headline: str, lines: Sequence[str]) -> None:
        self._say("\r\n".join([f"+OK {headline}", *lines, "."]))

    def _say_message(self, content: bytes) -> None:
        self._say("+OK Message follows")
        self._writer.write(with_stuffing(content) + b".\r\n")

    def _say(self, line: str) -> None:
        self._writer.write(line.encode("utf-8", "replace") + b"\r\n")


def _first_lines(message: bytes, count: int) -> bytes:
    """The headers, and so many lines of what is behind them (RFC 1939 7)."""
    head, gap, body = message.partition(b"\r\n\r\n")
    lines = body.split(b"\r\n", count)
    return head + gap + (body if len(lines) <= count else b"".join(line + b"\r\n" for line in lines[:count]))


_Command = Callable[[Pop3Session, str], Awaitable[None]]
_BEFORE_LOGIN: dict[str, _Command] = {
    "CAPA": Pop3Session._capa,
    "USER": Pop3Session._take_user,
    "PASS": Pop3Session._pass,
    "QUIT": Pop3Session._quit,
}
_AFTER_LOGIN: dict[str, _Command] = {
    "CAPA": Pop3Session._capa,
    "STAT": Pop3Session._stat,
    "LIST": Pop3Session._list,
    "UIDL": Pop3Session._uidl,
    "RETR": Pop3Session._retr,
    "TOP": Pop3Session._top,
    "DELE": Pop3Session._dele,
    "RSET": Pop3Session._rset,
    "NOOP": Pop3Session._noop,
    "QUIT": Pop3Session._quit,
}
