"""The options of `postwerk keys`; what it does stands in keys.py."""

from __future__ import annotations

import argparse

SCOPES = ("send", "read", "operate", "admin")
_WHICH = "its id, prefix or name"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Its six verbs."""
    verbs = parser.add_subparsers(required=True, metavar="VERB", title="verbs", dest="verb")
    _create(verbs.add_parser("create", help="Make a key; it alone goes to stdout, once."))
    _list(verbs.add_parser("list", help="The keys that may be used; --all: ended ones too."))
    _one(verbs.add_parser("show", help="One key, and what is left of its quota."))
    _rotate(verbs.add_parser("rotate", help="A new key with the same rights; the old one ends later."))
    _one(verbs.add_parser("revoke", help="End a key, at once and for good."))
    _edit(verbs.add_parser("edit", help="Another name, other domains, another quota or end."))


def _create(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="signs what is done with the key")
    parser.add_argument(
        "--scope", action="append", choices=SCOPES, required=True, help="what it may do; repeatable"
    )
    _add_limits(parser)
    _add_expires(parser)
    _add_by(parser)


def _list(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--all", action="store_true", help="expired and revoked ones too")
    _add_json(parser)


def _one(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("key", metavar="KEY", help=_WHICH)
    _add_by(parser)
    _add_json(parser)


def _rotate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("key", metavar="KEY", help=_WHICH)
    parser.add_argument(
        "--grace", metavar="TIME", default="24h", help="how long the old key goes on; 0: not at all (24h)"
    )
    _add_expires(parser, taken_back=' ("never"; left out: as long as the old one)')
    _add_by(parser)


def _edit(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("key", metavar="KEY", help=_WHICH)
    parser.add_argument("--name", metavar="NAME", help="another name")
    _add_limits(parser, taken_back=' ("any": no limit)')
    _add_expires(parser, taken_back=' ("never": no end)')
    _add_by(parser)
    _add_json(parser)


def _add_limits(parser: argparse.ArgumentParser, *, taken_back: str = "") -> None:
    parser.add_argument(
        "--domain",
        action="append",
        metavar="DOMAIN",
        help=f"From domain it may use, .shop.example: all below; repeatable{taken_back or ' (any)'}",
    )
    parser.add_argument(
        "--quota",
        metavar="N/d",
        help=f"messages at most: 10000/d, 500/h{taken_back or ' (any number)'}",
    )


def _add_expires(parser: argparse.ArgumentParser, *, taken_back: str = "") -> None:
    parser.add_argument(
        "--expires",
        metavar="WHEN",
        help=f"after 90d, or at 2027-01-31T00:00:00Z{taken_back or ' (never)'}",
    )


def _add_by(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--by", metavar="NAME", help="who does it, for the audit trail (login@host)")


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="for scripts: JSON instead of text")
