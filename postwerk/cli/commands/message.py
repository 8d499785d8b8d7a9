"""`postwerk message`: one transactional mail. The options of `send` are the fields of `POST /v1/messages`."""

from __future__ import annotations

import argparse

from postwerk.cli.client.options import add_limit, later, leaf, pair, whole

STATES = (
    *("queued", "sending", "deferred", "held", "delivered", "bounced"),
    *("expired", "cancelled", "suppressed", "failed", "unknown"),
)


def add_options(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(required=True, metavar="WHAT", title="what to do")
    _add_send(leaf(commands, "send", "Send one mail.", later("message_work", "send")))
    listing = leaf(commands, "list", "The messages, newest first.", later("message_work", "list_all"))
    listing.add_argument("--state", choices=STATES)
    listing.add_argument("--to", metavar="ADDRESS")
    add_limit(listing, 50)
    showing = leaf(commands, "show", "One message with every attempt.", later("queue_show"))
    showing.add_argument("id", metavar="ID")
    what = showing.add_mutually_exclusive_group()
    what.add_argument("--log", action="store_true", help="its attempts")
    what.add_argument("--headers", action="store_true", help="its header as it goes out")
    what.add_argument("--raw", action="store_true", help="the whole mail, byte for byte")


def _add_send(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--to", metavar="MAILBOX", required=True, help='an address, or "Name <address>"')
    content = parser.add_argument_group("what (templates: {{ first_name }})")
    content.add_argument("--from", dest="from_", metavar="MAILBOX", required=True)
    content.add_argument("--subject", metavar="TEXT", required=True)
    content.add_argument("--text", metavar="FILE", help="the plain text; - is stdin")
    content.add_argument("--html", metavar="FILE", help="the HTML; - is stdin")
    content.add_argument("--reply-to", action="append", metavar="MAILBOX", help="repeatable")
    content.add_argument("--return-path", metavar="ADDRESS", help="where bounces go")
    content.add_argument("--header", action="append", default=[], metavar="'NAME: VALUE'", help="repeatable")
    content.add_argument(
        "--var", action="append", type=pair, default=[], metavar="NAME=VALUE", help="repeatable"
    )
    how = parser.add_argument_group("how")
    how.add_argument("--name", metavar="TITLE", help="for people; no personal data")
    how.add_argument("--relay", metavar="NAME", help="which relay takes it, if there are several")
    how.add_argument("--retry", metavar="SCHEDULE", help="bulk, postfix, 1m,5m,1h or initial=5m,factor=2")
    how.add_argument("--deadline", metavar="TIME", help="1 minute to 7 days: 2d, 36h (5d)")
    how.add_argument("--notify", action="append", metavar="MAILBOX", help="who is told; repeatable")
    how.add_argument("--notify-on", metavar="WHAT,...", help="failure,delay,completion (failure)")
    how.add_argument("--notify-mode", metavar="MODE", help="digest or dsn (digest)")
    how.add_argument("--on-ambiguous", choices=("resend", "stop"), help="no reply to the final dot (resend)")
    how.add_argument("--metadata", action="append", type=pair, default=[], metavar="NAME=VALUE")
    fold = parser.add_argument_group("one of many (of those of a key within a window the best is sent)")
    fold.add_argument("--coalesce", metavar="KEY", help="what belongs together")
    fold.add_argument("--window", metavar="TIME", help="from the first of them on: 1 second to 7 days (1m)")
    fold.add_argument("--rank", type=whole(0), metavar="N", help="the highest is sent (0)")
