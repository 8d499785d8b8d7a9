"""The peer: a Postfix queue that hands the same amount of mail to the same kind of sink.

Two ways, of which the faster counts: a queue that is full and let go, and mail pumped through. Doubts are
settled in its favour: no log, no DNS, no TLS, nothing but its own processes between queue and sink.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from pathlib import Path
from typing import Self

from bench.mail import WIRE_BYTES
from bench.programs import program, workplace
from bench.sink import SmtpSink
from postwerk.dev.ports import Ports, is_free
from postwerk.dev.process import Part, Process, Watchdog

PATIENCE_SECONDS = 300.0
_HEADERS_BYTES = 400
"""What smtp-source and Postfix write around the body."""
_SESSIONS = "20"
_MAIN = """\
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
command_directory = /usr/sbin
daemon_directory = {daemons}
mail_owner = postfix
setgid_group = postdrop
myhostname = bench.example
mydestination =
local_recipient_maps =
alias_maps =
alias_database =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_recipient_restrictions = {restriction}
smtpd_peername_lookup = no
relayhost = [127.0.0.1]:{sink}
disable_dns_lookups = yes
smtp_host_lookup = native
smtp_tls_security_level = none
smtpd_tls_security_level = none
smtp_destination_concurrency_limit = {connections}
default_process_limit = {connections}
smtpd_client_connection_count_limit = 0
in_flow_delay = 0
"""
_MASTER = """\
127.0.0.1:{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
local unix - n n - - local
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
"""
_FREE, _HELD = "permit_mynetworks", "static:HOLD"


def measure_round(messages: int) -> dict[str, float]:
    """Its queue let go, and mail pumped through."""
    return {"drain": drain(messages), "pump": pump(messages)}


def medians(rounds: list[dict[str, float]]) -> dict[str, float]:
    drained = round(statistics.median(one["drain"] for one in rounds))
    pumped = round(statistics.median(one["pump"] for one in rounds))
    return {
        "postfix_per_s": max(drained, pumped),
        "postfix_drain_per_s": drained,
        "postfix_pump_per_s": pumped,
    }


def drain(messages: int) -> float:
    """Fill the queue while everything is held, let it go, and wait for the last 250."""
    with (
        workplace() as folder,
        SmtpSink(folder) as sink,
        Postfix(folder, sink.port, restriction=_HELD) as postfix,
    ):
        filling = time.monotonic()
        postfix.take(messages)
        filled = time.monotonic() - filling
        released = postfix.let_go()
        seconds = sink.wait_for(messages, PATIENCE_SECONDS) - released
    return _told("Postfix, full queue let go", messages, seconds, f"; filling it took {filled:.1f} s")


def pump(messages: int) -> float:
    """Hand it mail while it hands mail on."""
    with (
        workplace() as folder,
        SmtpSink(folder) as sink,
        Postfix(folder, sink.port, restriction=_FREE) as postfix,
    ):
        began = time.monotonic()
        postfix.take(messages)
        seconds = sink.wait_for(messages, PATIENCE_SECONDS) - began
    return _told("Postfix, mail pumped through", messages, seconds)


def _told(title: str, messages: int, seconds: float, more: str = "") -> float:
    print(f"{title}: {messages / seconds:,.0f}/s ({messages:,} in {seconds:.2f} s{more})", flush=True)
    return messages / seconds


class Postfix:
    """`with Postfix(folder, sink_port) as postfix:` an instance of its own, which knows nothing of /etc."""

    def __init__(self, folder: Path, sink_port: int, *, restriction: str, connections: int = 20) -> None:
        self.port = Ports(usual=False).take(0)
        self._folder = folder / "postfix"
        self._sink_port = sink_port
        self._restriction = restriction
        self._connections = connections

    def __enter__(self) -> Self:
        self._configure()
        self._run("postfix", "check")
        self._watchdog = Watchdog()
        command = (program("postfix"), "-c", str(self._folder), "start-fg")
        log = self._folder / "output.log"
        self._master = Process(Part("postfix", command), log, dict(os.environ), self._watchdog)
        try:
            self._wait_until_it_answers()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        self._run("postfix", "abort", must=False)
        self._master.end(10)
        self._watchdog.close()

    def take(self, messages: int) -> None:
        """Give it mail over SMTP, as much as it takes."""
        door = f"127.0.0.1:{self.port}"
        options = ["-s", _SESSIONS, "-m", str(messages), "-l", str(WIRE_BYTES - _HEADERS_BYTES)]
        addresses = ["-f", "news@shop.example", "-t", "user@example.com", "-N"]
        subprocess.run([program("smtp-source"), *options, *addresses, door], check=True)

    def let_go(self) -> float:
        """Release what was held, and try all of it; answers the moment from which it may go out."""
        self._run("postsuper", "-H", "ALL")
        released = time.monotonic()
        self._run("postqueue", "-f")
        return released

    def _configure(self) -> None:
        for part in ("queue", "data"):
            (self._folder / part).mkdir(parents=True)
        subprocess.run(["chown", "postfix", str(self._folder / "data")], check=True)
        main = _MAIN.format(
            folder=self._folder,
            daemons=_daemons(),
            sink=self._sink_port,
            restriction=self._restriction
            if self._restriction == _FREE
            else f"check_client_access {_HELD}, permit",
            connections=self._connections,
        )
        (self._folder / "main.cf").write_text(main)
        (self._folder / "master.cf").write_text(_MASTER.format(port=self.port))

    def _run(self, name: str, *arguments: str, must: bool = True) -> None:
        done = subprocess.run(
            [program(name), "-c", str(self._folder), *arguments], capture_output=True, text=True
        )
        if must and done.returncode:
            raise RuntimeError(f"{name} {' '.join(arguments)}: {done.stderr or done.stdout}")

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + 20
        while is_free(self.port):
            if time.monotonic() > deadline or self._master.exit_code is not None:
                raise RuntimeError(f"Postfix does not come up: {self._master.last_lines(5)}")
            time.sleep(0.05)


def _daemons() -> str:
    return subprocess.run(
        [program("postconf"), "-dh", "daemon_directory"], capture_output=True, text=True, check=True
    ).stdout.strip()
