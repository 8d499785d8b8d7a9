"""The command line: `python -m postwerk.sandbox`."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import uvloop

from postwerk.errors import ConfigurationError
from postwerk.sandbox.config import SandboxConfig
from postwerk.sandbox.domains import load_rules
from postwerk.sandbox.late_bounce import read_target
from postwerk.sandbox.login import Credentials
from postwerk.sandbox.rate import Rate
from postwerk.sandbox.server import serve

_CANNOT_START = 2
# The ledger's thread has little to do and must not wait the default 5 ms behind a busy event loop to do it.
_SWITCH_INTERVAL_SECONDS = 0.0005

_ADDRESSES = """\
The local part, up to a `+`, says what happens (N: only the first N attempts; without it always):
  ok, anything else      250
  deferN                 451 at RCPT
  greylist               450 at RCPT until --greylist-seconds after the first contact
  bounce                 550 at RCPT
  full                   452 at RCPT, mailbox full
  slowN                  250, N seconds late (2 without a number)
  rateN                  421 4.7.28 at RCPT, and the connection closes
  disabledN              550 5.2.1 at RCPT
  policyN                554 5.7.1 at RCPT, as block lists are told of
  hintN                  451 "try again in N seconds" at RCPT, the first time only (60 without a number)
  random4-N              the first time one of four 4xx at RCPT, for N percent of all addresses
  reject-after-dotN      554 after the final dot
  hang-after-dotN        taken, but no reply ever
  drop-after-dotN        taken, then the connection closes without a reply
  latebounceN            250, and N seconds later it comes back (1 without a number; with --bounces-to)
  drop-at-dataN          the connection closes at DATA, nothing is taken

Whole domains have bad days by rules, in --domains FILE or, while it runs, by HTTP:
  PUT /api/domains/yahoo.com {"preset": "yahoo-tss04"}
  PUT /api/domains/example.com {"stage": "rcpt", "answer": "450 4.7.1 Slow down", "rate": "30/min"}
  DELETE /api/domains/yahoo.com
GET /api/domains/presets names the presets; the domain * is every domain.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a sandbox; the exit code is 2 when it cannot start."""
    sys.setswitchinterval(_SWITCH_INTERVAL_SECONDS)
    try:
        config = parse(arguments)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(config, _say))
    except ConfigurationError as error:
        sys.stderr.write(f"sandbox: {error}\n")
        return _CANNOT_START
    return 0


def parse(arguments: Sequence[str] | None = None) -> SandboxConfig:
    """Read the command line."""
    return _config(_parser().parse_args(arguments))


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m postwerk.sandbox",
        description="A fake mail server: the recipient's address says how it behaves. It delivers nothing.",
        epilog=_ADDRESSES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument(
        "--smtp-port", type=int, default=2525, help="0 chooses a free one (default: %(default)s)"
    )
    parser.add_argument(
        "--http-port", type=int, default=8025, help="0 chooses a free one (default: %(default)s)"
    )
    parser.add_argument(
        "--pop3-port", type=int, metavar="N", help="offer POP3 too, 0 chooses a free one; loopback only"
    )
    parser.add_argument(
        "--http-name",
        action="append",
        default=[],
        metavar="NAME",
        help="a name of this host in addresses of the inbox; may be repeated (default: localhost, and any "
        "name when --host is not a loopback address)",
    )
    parser.add_argument("--ledger", type=Path, metavar="FILE", help="keep what was taken in this SQLite file")
    parser.add_argument("--max-connections", type=int, metavar="N", help="one more is answered with 421")
    parser.add_argument(
        "--rate-per-connection", metavar="RATE", help="messages, e.g. 10/s; above it 421 4.7.0"
    )
    parser.add_argument(
        "--rate-per-domain", metavar="RATE", help="recipients, e.g. 100/s; above it 450 4.7.1"
    )
    parser.add_argument(
        "--ack-delay", type=float, default=0.0, metavar="SECONDS", help="before each 250 to a dot"
    )
    parser.add_argument(
        "--greylist-seconds", type=float, default=300.0, metavar="SECONDS", help="(default: 300)"
    )
    parser.add_argument(
        "--credentials", metavar="USER:PASSWORD", help="offer AUTH and ask for it; loopback only"
    )
    parser.add_argument(
        "--bounces-to", metavar="HOST:PORT", help="by LMTP, the bounces of latebounce addresses"
    )
    parser.add_argument(
        "--domains", type=Path, metavar="FILE", help="rules by recipient domain, a TOML table for each"
    )
    parser.add_argument(
        "--max-message-bytes", type=int, default=25 * 1024 * 1024, metavar="N", help="SIZE offered"
    )
    parser.add_argument("--no-smtputf8", action="store_true", help="do not offer SMTPUTF8")
    return parser


def _config(given: argparse.Namespace) -> SandboxConfig:
    return SandboxConfig(
        host=given.host,
        smtp_port=given.smtp_port,
        http_port=given.http_port,
        pop3_port=given.pop3_port,
        http_name=tuple(given.http_name),
        ledger=given.ledger,
        max_connections=given.max_connections,
        rate_per_connection=_rate(given.rate_per_connection),
        rate_per_domain=_rate(given.rate_per_domain),
        ack_delay=timedelta(seconds=given.ack_delay),
        greylist_for=timedelta(seconds=given.greylist_seconds),
        max_message_bytes=given.max_message_bytes,
        smtputf8=not given.no_smtputf8,
        credentials=Credentials.parse(given.credentials) if given.credentials is not None else None,
        bounces_to=read_target(given.bounces_to) if given.bounces_to else None,
        domains=load_rules(given.domains) if given.domains else {},
    )


def _rate(written: str | None) -> Rate | None:
    return Rate.parse(written) if written else None
