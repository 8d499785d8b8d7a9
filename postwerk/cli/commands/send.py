"""`postwerk send`: a mail to many. The options are the fields of `POST /v1/bulk-sends`."""

from __future__ import annotations

import argparse

from postwerk.cli.client.options import later, pair, ready, whole


def add_options(parser: argparse.ArgumentParser) -> None:
    ready(parser, later("send_work"))
    parser.add_argument(
        "--campaign", metavar="FILE", help="the request as YAML, TOML or JSON; what options say wins over it"
    )
    _add_recipients(parser)
    _add_content(parser)
    _add_options(parser)
    doing = parser.add_argument_group("what to do with it")
    doing.add_argument(
        "--dry-run", action="store_true", help="check everything and show some mails; store and send nothing"
    )
    doing.add_argument("--samples", type=whole(0), default=1, metavar="N", help="mails to show, up to 10 (1)")
    doing.add_argument(
        "--idempotency-key",
        metavar="KEY",
        help="the same command with the same key sends once, also after a crash (a fresh one)",
    )
    doing.add_argument("--watch", action="store_true", help="until it has ended; 1 when not all went well")


def _add_recipients(parser: argparse.ArgumentParser) -> None:
    to = parser.add_argument_group("to whom (instead of the campaign file's recipients)")
    to.add_argument("--to", action="append", metavar="ADDRESS", help="repeatable")
    to.add_argument(
        "--recipients",
        action="append",
        metavar="FILE",
        help="CSV (header row: to, name, variables) or NDJSON of any length; - is stdin; repeatable",
    )
    to.add_argument("--format", choices=("csv", "ndjson"), help="of --recipients, if it cannot be told")
    to.add_argument("--charset", metavar="NAME", help="of a CSV file, if it is not UTF-8")
    to.add_argument("--strict", action="store_true", help="send to nobody if a recipient cannot be taken")


def _add_content(parser: argparse.ArgumentParser) -> None:
    content = parser.add_argument_group("what (templates: {{ first_name }})")
    content.add_argument("--from", dest="from_", metavar="MAILBOX", help='an address, or "Name <address>"')
    content.add_argument("--subject", metavar="TEXT")
    content.add_argument("--text", metavar="FILE", help="the plain text")
    content.add_argument("--html", metavar="FILE", help="the HTML")
    content.add_argument("--reply-to", action="append", metavar="MAILBOX", help="repeatable")
    content.add_argument("--return-path", metavar="ADDRESS", help="where bounces go")
    content.add_argument("--header", action="append", default=[], metavar="'NAME: VALUE'", help="repeatable")
    content.add_argument(
        "--var", action="append", type=pair, default=[], metavar="NAME=VALUE", help="for all; repeatable"
    )


def _add_options(parser: argparse.ArgumentParser) -> None:
    how = parser.add_argument_group("how")
    how.add_argument("--name", metavar="TITLE", help="for people; no personal data")
    how.add_argument("--rate", metavar="RATE", help='100/s, "30/min,burst=5", 1000/h, 10000/d')
    how.add_argument("--relay", metavar="NAME", help="which relay takes it, if there are several")
    how.add_argument("--retry", metavar="SCHEDULE", help="bulk, postfix, 1m,5m,1h or initial=5m,factor=2")
    how.add_argument("--deadline", metavar="TIME", help="1 minute to 7 days: 2d, 36h (5d)")
    how.add_argument("--recipients-per-child", type=whole(1), metavar="N", help="messages of a batch")
    how.add_argument("--notify", action="append", metavar="MAILBOX", help="who is told; repeatable")
    how.add_argument("--notify-on", metavar="WHAT,...", help="failure,delay,completion (failure)")
    how.add_argument("--notify-mode", metavar="MODE", help="digest or dsn (digest)")
    how.add_argument("--auto-pause", metavar="SHARE[,N]", help="0.05,100: pause at 5%% bounces after 100")
    how.add_argument("--max-consecutive-config-errors", type=whole(1), metavar="N")
    how.add_argument("--on-ambiguous", choices=("resend", "stop"), help="no reply to the final dot (resend)")
    how.add_argument("--metadata", action="append", type=pair, default=[], metavar="NAME=VALUE")
