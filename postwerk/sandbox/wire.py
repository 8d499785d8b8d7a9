"""Bytes to command lines and messages, answers to bytes: strict about CRLF, without await, so it is fast."""

from __future__ import annotations

import asyncio
from typing import cast

from postwerk.sandbox import framing
from postwerk.sandbox.behaviour import Answer

_LONGEST_COMMAND = 2048  # RFC 5321 4.5.3.1.4 says 512, and extensions (SIZE, DSN) may add to it
_MOST_BUFFERED = 256 * 1024

_BAD_LINE = Answer(500, "5.5.2 Syntax error, a command is one line that ends with CRLF")
_COMMAND_TOO_LONG = Answer(500, "5.5.2 Command line too long")


class Wire(asyncio.Protocol):
    """One connection's bytes; what they mean is said by `welcome`, `handle` and `take` of the session."""

    def __init__(self, max_message_bytes: int) -> None:
        self._transport: asyncio.Transport
        self._max_message_bytes = max_message_bytes
        self._buffer = bytearray()
        self._lines: list[bytes] = []
        self._in_message = False
        self._searched = 0
        self._too_large = False
        self._leaving = False
        # A reply is still to come; what was pipelined behind it waits in the buffer (RFC 2920 3.2).
        self._waiting = False
        self._late_seconds = 0.0

    def welcome(self) -> Answer:
        """The banner; 421 closes the connection, and code 0 is silence."""
        raise NotImplementedError

    def handle(self, verb: bytes, argument: bytes) -> Answer | None:
        """Obey one command."""
        raise NotImplementedError

    def take(self, message: bytes, fault: Answer | None) -> Answer | None:
        """Take one message (dots already taken out), or say that its bytes are at fault."""
        raise NotImplementedError

    # What a session tells its wire.

    def expect_message(self) -> None:
        """From here on bytes are a message, until the final dot."""
        # The CRLF of the DATA line counts as the one before a dot (RFC 5321 4.1.1.4).
        self._buffer[:0] = b"\r\n"
        self._in_message, self._searched, self._too_large = True, 0, False

    def wait(self) -> None:
        """Hold back everything behind this point until `resume`."""
        self._waiting = True

    def resume(self, answer: Answer) -> None:
        """Say what was waited for and go on with what has been pipelined."""
        if self._transport.is_closing():
            return
        self._waiting = False
        self._say(answer)
        self._transport.resume_reading()
        self._work()

    def be_late(self, seconds: float) -> None:
        """Hold the next answer back for so long; the longest wish counts."""
        self._late_seconds = max(self._late_seconds, seconds)

    def hang_up(self) -> None:
        """Close the connection once what has been said is out."""
        self._leaving = True

    def leave(self, answer: Answer) -> None:
        """Say goodbye from outside the dialogue."""
        if not self._waiting:
            self._say(answer)
        self._leaving = True
        self._send()

    # What asyncio tells us.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._say(self.welcome())
        self._send()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._waiting:
            self._work()
        elif len(self._buffer) > _MOST_BUFFERED:
            self._transport.pause_reading()

    def _work(self) -> None:
        while not self._waiting and not self._leaving:
            if not (self._read_message() if self._in_message else self._read_command()):
                break
        self._send()

    def _read_command(self) -> bool:
        """Obey one command if a whole line of it is there."""
        end = self._buffer.find(b"\n")
        if end < 0 and len(self._buffer) <= _LONGEST_COMMAND:
            return False
        line = bytes(self._buffer[: end + 1])
        del self._buffer[: end + 1]
        if end < 0:
            self.hang_up()
        self._say(self._obey(line) if 0 <= end <= _LONGEST_COMMAND else _COMMAND_TOO_LONG)
        return True

    def _obey(self, line: bytes) -> Answer | None:
        # RFC 5321 2.3.8: CR and LF appear only together. A bare LF is where smuggling starts.
        if not line.endswith(b"\r\n") or b"\r" in line[:-2] or b"\0" in line:
            return _BAD_LINE
        verb, _, argument = line[:-2].partition(b" ")
        return self.handle(verb, argument)

    def _read_message(self) -> bool:
        """Take the message if its end is there."""
        end = self._buffer.find(framing.END_OF_DATA, max(0, self._searched - 4))
        if end < 0:
            self._searched = len(self._buffer)
            self._forget_if_too_large()
            return False
        wire = bytes(self._buffer[: end + 2])
        del self._buffer[: end + 5]
        self._in_message = False
        self._say(self._taken(framing.without_stuffing(wire)))
        return True

    def _forget_if_too_large(self) -> None:
        # Twice the limit leaves room for the dots that stuffing added; the exact check follows at the end.
        if len(self._buffer) > 2 * self._max_message_bytes:
            self._too_large = True
            del self._buffer[:-4]
            self._searched = 0

    def _taken(self, message: bytes) -> Answer | None:
        if self._too_large or len(message) > self._max_message_bytes:
            return self.take(b"", framing.TOO_LARGE)
        return self.take(message, framing.fault_in(message))

    def _say(self, answer: Answer | None) -> None:
        if answer is None:
            return
        if self._late_seconds:
            self._say_late(answer)
            return
        if answer.code:
            self._lines.append(answer.wire)
        # RFC 5321 3.8: 421 announces that the server closes the connection.
        if answer.code == 421 or answer.closes:
            self.hang_up()

    def _say_late(self, answer: Answer) -> None:
        seconds, self._late_seconds = self._late_seconds, 0.0
        self.wait()
        asyncio.get_running_loop().call_later(seconds, self.resume, answer)

    def _send(self) -> None:
        if self._lines and not self._transport.is_closing():
            self._transport.write(b"".join(self._lines))
        self._lines.clear()
        if self._leaving:
            self._transport.close()


def written_address(peer: tuple[str, int, *tuple[object, ...]] | None) -> str:
    """Host and port of a socket as people write them; empty when it is gone already."""
    if not peer:
        return ""
    host, port = peer[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
